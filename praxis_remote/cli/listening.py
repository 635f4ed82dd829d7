# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What to do about an address on which a command cannot listen."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..address import AnyAddress, UnixAddress
from .errors import CommandError

__all__ = ["advice_on"]

_NEXT_AFTER_ERRNO: dict[int, str] = {
    errno.EADDRINUSE: "stop what listens there, or choose another {port} (0 lets the system pick)",
    errno.EACCES: "ports below 1024 take privileges; choose another {port}",
    errno.EADDRNOTAVAIL: "give {host} an address of this machine, or 0.0.0.0 for all of them",
}

_NEXT_AFTER_ERRNO_OF_PATH: dict[int, str] = {
    errno.EADDRINUSE: "stop what listens there, or give {host} another path",
    errno.EEXIST: "move it away, or give {host} another path",
    errno.ENOENT: "make it, or give {host} another path",
    errno.EACCES: "give {host} a path in a folder that you may write to",
}


@contextmanager
def advice_on(address: AnyAddress, *, host: str = "--host", port: str = "--port") -> Iterator[None]:
    """Tells what keeps the address from being listened on, and which option to change.

    Raises:
        CommandError: Something does.
    """
    table, otherwise = _NEXT_AFTER_ERRNO, "check {host} and {port}"
    if isinstance(address, UnixAddress):
        table, otherwise = _NEXT_AFTER_ERRNO_OF_PATH, "check {host}"
    try:
        yield
    except OSError as error:
        advice = table.get(error.errno or 0, otherwise).format(host=host, port=port)
        raise CommandError(f"{error.strerror}; {advice}") from error
