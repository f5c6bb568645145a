"""Addresses on the command line: HOST:PORT, [IPV6]:PORT, or :PORT for every address of this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from parkeeper.errors import ConfigError


class Address(NamedTuple):
    """Where to listen, or whom to ask; host None: every address of this machine, IPv4 and IPv6."""

    host: str | None
    port: int

    @property
    def reachable(self) -> str:
        """A host to connect to: what listens everywhere is reached here."""
        return {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host or "")

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Of HOST:PORT, [IPV6]:PORT or :PORT.

    Raises: `ConfigError`, whose text names what is wrong.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{text!r} is not an address: an IPv6 address stands in brackets, as in [::1]:2181")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (bracketed and not host):
        raise ConfigError(f"{text!r} is not an address: expected HOST:PORT, as in 0.0.0.0:2181")
    return Address(host or None, int(port))


def parse_addresses(texts: Iterable[str]) -> list[Address]:
    """Of several, each of which may hold some more, separated by commas.

    Raises: `ConfigError`.
    """
    return [parse_address(part) for text in texts for part in text.split(",") if part.strip()]
