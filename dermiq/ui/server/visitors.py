"""Where the visitor of the request that is being answered comes from, and whether they are still there."""

from __future__ import annotations

import ipaddress
import threading
from contextvars import ContextVar

ADDRESS: ContextVar[str] = ContextVar("address", default="")  # "" where no request is at hand, as in the queue
LEFT: ContextVar[threading.Event | None] = ContextVar("left", default=None)  # set once a program no longer waits


def network_of(host: str) -> str:
    """What limits count as one visitor: an IPv4 address, or the 64 bits that one IPv6 customer is given."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)
