# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Memory without a name, which another process of the same user can open: Linux's memfd.

Nothing here knows what is in it.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import socket
import struct
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
    import resource
except ImportError:  # Windows
    AVAILABLE = False
else:
    AVAILABLE = (
        hasattr(os, "memfd_create")
        and hasattr(fcntl, "F_GET_SEALS")
        and hasattr(socket, "SO_PEERCRED")
    )
"""Whether this system has it."""

_NAME = "praxis-remote"
_LINK = re.compile(rf"/memfd:{_NAME} \(deleted\)")
_CREDENTIALS = struct.Struct("3i")


class Credentials(NamedTuple):
    """Who is at the other end of a UNIX socket, as of when it connected."""

    process: int
    user: int


def peer_of(sock: socket.socket) -> Credentials | None:
    """Returns who is at the other end; None if this system does not say so."""
    try:
        # Of some event loops it is no real socket.
        with socket.socket(fileno=os.dup(sock.fileno())) as own:
            if own.family != socket.AF_UNIX:
                return None
            raw = own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (AttributeError, OSError):
        return None
    process, user, _ = _CREDENTIALS.unpack(raw)
    return Credentials(process, user)


def make(size: int) -> tuple[int, mmap.mmap]:
    """Returns the file of so many bytes of memory, which are all there, and the memory.

    Raises:
        OSError: There is not so much, or too many files are open.
    """
    file = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # What is not there yet would be asked for, maybe in vain, at the first touch: SIGBUS.
        os.posix_fallocate(file, 0, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _seals())
        return file, mmap.mmap(file, size)
    except BaseException:
        os.close(file)
        raise


def open_peers(peer: Credentials, file: int, size: int) -> mmap.mmap:
    """Returns memory that another process of this user has made.

    Raises:
        PermissionError: The process is another user's, or the file is none of `make`'s.
        OSError: It cannot be opened, or too many files are.
    """
    if peer.user != os.geteuid():
        raise PermissionError(f"user {peer.user} is not the server's, {os.geteuid()}")
    path = Path(f"/proc/{peer.process}/fd/{file}")
    # Before it is opened, which for other files could wait, or do something.
    if not _LINK.fullmatch(str(path.readlink())):
        raise PermissionError("this file is no shared memory")
    opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_files(opened)
        # Else its maker could shrink it, and whoever reads what is gone gets SIGBUS.
        if fcntl.fcntl(opened, fcntl.F_GET_SEALS) & _seals() != _seals():
            raise PermissionError("it is not sealed against a change of its size")
        if (found := os.fstat(opened).st_size) != size:
            raise PermissionError(f"it has {found} bytes instead of {size}")
        return mmap.mmap(opened, size)
    finally:
        os.close(opened)


def _check_files(opened: int) -> None:
    """Raises unless there may be one more, which the memory keeps: half are for connections.

    Raises:
        OSError: There may not.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # The lowest number that is free, which the memory gets next.
    os.close(number := os.dup(opened))
    if most != resource.RLIM_INFINITY and number >= most // 2:
        raise OSError(errno.EMFILE, "half of the files that may be open are")


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
