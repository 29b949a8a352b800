"""No test reaches another machine: whoever tries is refused, and the test fails, also where the code passes over it."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

tried: list[str] = []
"""Addresses that the present test asked for."""


def guard() -> None:
    """For this process, from now on."""
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def connected(self: socket.socket, address: Any) -> None:
        _refuse(self, address)
        connect(self, address)

    def connected_ex(self: socket.socket, address: Any) -> int:
        _refuse(self, address)
        return connect_ex(self, address)

    def resolved(host: Any, *args: Any, **named: Any) -> Any:
        _refuse_host(host)
        return resolve(host, *args, **named)

    setattr(socket.socket, "connect", connected)  # noqa: B010  # whose own type says less than the library's
    setattr(socket.socket, "connect_ex", connected_ex)  # noqa: B010
    socket.getaddrinfo = resolved


def _refuse(one: socket.socket, address: Any) -> None:
    if one.family in (socket.AF_INET, socket.AF_INET6):
        _refuse_host(address[0])


def _refuse_host(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if not is_here(name):
        tried.append(name)
        raise AssertionError(f"A test would have left this machine, for {name}.")


def is_here(host: str) -> bool:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost", "testserver", socket.gethostname())
    return found.is_loopback or found.is_unspecified
