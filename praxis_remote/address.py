# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where a server listens: the one place that knows how an address is written."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import NamedTuple, SupportsIndex, TypeAlias

from .errors import InvalidValueError, UnsupportedTypeError

DEFAULT_PORT = 50051
_MAX_PORT = 65535

_UNIX = "unix:"

# Bytes that fit into the system's sockaddr_un, less one for the zero at the end.
_MAX_PATH_SIZE = 107 if sys.platform == "linux" else 103


class Address(NamedTuple):
    """A host and a port; ``str()`` gives ``host:port``, IPv6 hosts in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """What a request calls the server."""
        return str(self)

    @property
    def local(self) -> bool:
        """Whether no other machine can be on the way, as far as the host alone tells."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


class UnixAddress(NamedTuple):
    """The path of a UNIX socket; ``str()`` gives ``unix:path``."""

    path: str

    def __str__(self) -> str:
        return _UNIX + self.path

    @property
    def host(self) -> str:
        """What stands where others have a host."""
        return str(self)

    @property
    def port(self) -> int:
        """0, for it has none."""
        return 0

    @property
    def authority(self) -> str:
        """What a request calls the server; a path would be no legal name."""
        return "localhost"

    @property
    def local(self) -> bool:
        """True, for no other machine can connect to it."""
        return True


AnyAddress: TypeAlias = Address | UnixAddress
"""Whatever a server may listen on."""


def check_address(host: str, port: int, lowest_port: int = 1) -> AnyAddress:
    """Returns host and port as an address.

    Args:
        host: A name or an IP address, without a port. An IPv6 address may stand
            in brackets. Or ``unix:path``, the path from here or absolute, and
            ``unix:///path``, as gRPC writes them.
        port: At most 65535. Left at its default, or 0, for a UNIX socket.
        lowest_port: 0 for a server, which may let the system pick one.

    Raises:
        InvalidValueError: The host is empty, the port out of range, the path too long.
        UnsupportedTypeError: The host is no text.
    """
    if not isinstance(host, str):
        raise UnsupportedTypeError(f"host: {host!r}; pass a host name or an IP address as a str")
    if host.startswith(_UNIX):
        return _check_unix_address(host, port)
    if not host:
        raise InvalidValueError(f"host: {host!r}; pass a host name or an IP address")
    if "/" in host:
        raise InvalidValueError(f"host: {host!r}; {_without_slashes(host)}")
    if host.isdigit():
        raise InvalidValueError(f"host: {host!r} is a number; a port goes after a host")
    if host.count(":") == 1:
        raise InvalidValueError(f"host: {host!r}; pass host and port apart")
    number = _as_int(port)
    if number is None or not lowest_port <= number <= _MAX_PORT:
        raise InvalidValueError(f"port: {port!r}; allowed: {lowest_port} to {_MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return Address(host, number)


def _as_int(port: object) -> int | None:
    """Returns a port, which may be text, as it comes from an environment."""
    if not isinstance(port, (str, SupportsIndex)):
        return None
    try:
        return int(port)
    except ValueError:
        return None


def _check_unix_address(text: str, port: int) -> UnixAddress:
    if not hasattr(socket, "AF_UNIX"):
        raise InvalidValueError(f"host: {text!r}; this system has no UNIX sockets")
    path = text.removeprefix(_UNIX)
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise InvalidValueError(f"host: {text!r}; write unix:PATH or unix:///ABSOLUTE/PATH")
    if not path or "\0" in path:
        raise InvalidValueError(f"host: {text!r}; write unix:PATH with the path of a socket")
    if (size := len(os.fsencode(path))) > _MAX_PATH_SIZE:
        raise InvalidValueError(
            f"host: {text!r}; the path has {size} bytes, and that of a UNIX socket may have "
            f"{_MAX_PATH_SIZE}"
        )
    if _as_int(port) not in (0, DEFAULT_PORT):
        raise InvalidValueError(f"port: {port!r}; {text} has none, leave it out")
    return UnixAddress(path)


def _without_slashes(text: str) -> str:
    if text.startswith(("/", ".")):
        return f"for a UNIX socket write {_UNIX}{text}"
    return "leave out the scheme and the slashes"


def parse_address(text: str) -> AnyAddress:
    """Returns the address in ``host:port``, ``[ipv6]:port``, ``host`` or ``unix:path``.

    Raises:
        InvalidValueError: The text has another form.
    """
    if text.startswith(_UNIX):
        return check_address(text, DEFAULT_PORT)
    if "/" in text:
        raise InvalidValueError(f"address: {text!r}; {_without_slashes(text)}")
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if ":" in host and not host.startswith("["):
        raise InvalidValueError(
            f"address: {text!r}; write an IPv6 address as [{text}]:{DEFAULT_PORT}"
        )
    if not (port.isascii() and port.isdigit()):
        raise InvalidValueError(
            f"address: {text!r}; allowed: HOST:PORT, [IPV6]:PORT, HOST or unix:PATH"
        )
    return check_address(host, int(port))


def name_peer(peername: object, sockname: object) -> str:
    """Returns the address of a connection's other end, from what the system calls both.

    A client of a UNIX socket has no name of its own as a rule; it goes by the socket's.
    """
    if isinstance(peername, tuple):
        return str(Address(*peername[:2]))
    name = peername or sockname
    if isinstance(name, (str, bytes)):
        # Linux has names that are no paths; they begin with a zero.
        return str(UnixAddress(os.fsdecode(name).replace("\0", "@")))
    return "unknown"
