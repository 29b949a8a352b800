"""By which names the page may be reached, and by whom."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dermiq.errors import InputError
from dermiq.settings import Settings


def host_of(netloc: str) -> str:
    """The name or address in "name:port", in small letters; "" where it is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(:\d{1,5})?", netloc)
    return found.group(1).strip("[]").rstrip(".").lower() if found else ""


@dataclass(frozen=True)
class Hosts:
    """Names that the page answers to. `told`: those that were given to it, whose own pages may also send requests."""

    told: frozenset[str]
    own: frozenset[str] = frozenset()
    addresses: bool = False  # any bare IP address; a foreign name cannot be made to look like one

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> Hosts:
        """InputError at an entry of DERMIQ_HOSTS that is not a name."""
        space = environment.get("SPACE_ID", "")
        named = environment.get("SPACE_HOST", "") or (f"{space.replace('/', '-')}.hf.space" if space else "")
        told = frozenset(_names(f"{settings.hosts or ''},{named}"))
        if is_loopback(settings.host):
            return cls(told)
        machine = socket.gethostname().lower()
        return cls(told, frozenset({host_of(settings.host), machine, f"{machine}.local"}) - {""}, addresses=True)

    def admit(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost" or host in self.told | self.own
        return self.addresses or address.is_loopback or host in self.told


def _names(text: str) -> Iterable[str]:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name = host_of(re.sub("^https?://", "", entry).rstrip("/"))
        if not name:
            raise InputError(
                f"DERMIQ_HOSTS: {entry!r} is not a host name. Write names alone: derm.example, clinic.org."
            )
        yield name


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_public(settings: Settings) -> bool:
    """Whether others reach the page: by its address, or by a name that leads to it through a proxy."""
    return not is_loopback(settings.host) or bool(settings.hosts)
