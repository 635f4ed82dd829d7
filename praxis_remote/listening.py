# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Sockets that listen: how they come by their addresses, and leave them.

Nothing here accepts a connection.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from .address import Address

__all__ = ["bind"]

_BACKLOG = 1024


def bind(address: Address) -> socket.socket:
    """Returns a socket that listens, so that an address in use shows at once.

    Raises:
        OSError: The address is in use, or not of this machine.
    """
    family, name = _resolve(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it a restarted server would wait for the old connections' TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" means every interface, those of IPv4 included.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        sock.bind(name)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    return sock


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Returns family and name to bind; of several, such as localhost's, the IPv4 one."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(
            errno.EADDRNOTAVAIL, f"cannot resolve the host {address.host!r}: {error}"
        ) from error
    family, _, _, _, name = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, name


def _cannot_listen(address: Address, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror}")
