# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where a server listens: the one place that knows how an address is written."""

from __future__ import annotations

from typing import NamedTuple

from .errors import InvalidValueError

DEFAULT_PORT = 50051
_MAX_PORT = 65535


class Address(NamedTuple):
    """A host and a port; ``str()`` gives ``host:port``, IPv6 hosts in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def check_address(host: str, port: int, lowest_port: int = 1) -> Address:
    """Returns host and port as an address.

    Args:
        host: A name or an IP address, without a port. An IPv6 address may stand
            in brackets.
        port: At most 65535.
        lowest_port: 0 for a server, which may let the system pick one.

    Raises:
        InvalidValueError: The host is empty or the port out of range.
    """
    if not host:
        raise InvalidValueError(f"host: {host!r}; pass a host name or an IP address")
    if "/" in host:
        raise InvalidValueError(f"host: {host!r}; leave out the scheme and the slashes")
    if host.isdigit():
        raise InvalidValueError(f"host: {host!r} is a number; a port goes after a host")
    if host.count(":") == 1:
        raise InvalidValueError(f"host: {host!r}; pass host and port apart")
    number = int(port)
    if not lowest_port <= number <= _MAX_PORT:
        raise InvalidValueError(f"port: {port!r}; allowed: {lowest_port} to {_MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return Address(host, number)


def parse_address(text: str) -> Address:
    """Returns the address in ``host:port``, ``[ipv6]:port`` or ``host``.

    Raises:
        InvalidValueError: The text has another form.
    """
    if "/" in text:
        raise InvalidValueError(f"address: {text!r}; leave out the scheme and the slashes")
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if ":" in host and not host.startswith("["):
        raise InvalidValueError(
            f"address: {text!r}; write an IPv6 address as [{text}]:{DEFAULT_PORT}"
        )
    if not (port.isascii() and port.isdigit()):
        raise InvalidValueError(f"address: {text!r}; allowed: HOST:PORT, [IPV6]:PORT or HOST")
    return check_address(host, int(port))
