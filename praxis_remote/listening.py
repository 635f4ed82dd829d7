# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Sockets that listen: how they come by their addresses, and leave them.

Nothing here accepts a connection.
"""

from __future__ import annotations

import errno
import operator
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from .address import Address, AnyAddress, UnixAddress
from .errors import InvalidValueError, UnsupportedTypeError

__all__ = ["bind", "check_socket_mode"]

_BACKLOG = 1024
_ALL_MODES = 0o777

# How long another server may take to bind in the same folder. Somebody else may hold
# the lock for ever, which shall keep no server from starting.
_LOCK_PATIENCE, _LOCK_PAUSE = 1.0, 0.001


def bind(address: AnyAddress, mode: int | None = None) -> socket.socket:
    """Returns a socket that listens, so that an address in use shows at once.

    The file of a UNIX socket goes with it, when it is closed.

    Args:
        address: Where to listen.
        mode: Who may connect, as the permissions of the file of a UNIX socket.

    Raises:
        OSError: The address is in use, or not of this machine.
    """
    return _bind_path(address, mode) if isinstance(address, UnixAddress) else _bind_port(address)


def check_socket_mode(mode: int | None, address: AnyAddress) -> int | None:
    """Returns the permissions of a socket's file, or None for those that the umask leaves.

    Raises:
        InvalidValueError: They are none, or the address has no file.
        UnsupportedTypeError: They are no integer.
    """
    if mode is None:
        return None
    try:
        mode = operator.index(mode)
    except TypeError:
        raise UnsupportedTypeError(
            f"socket_mode: {mode!r}; pass an integer, such as 0o660"
        ) from None
    if not 0 <= mode <= _ALL_MODES:
        raise InvalidValueError(f"socket_mode: {oct(mode)}; allowed: 0 to 0o777, such as 0o660")
    if not isinstance(address, UnixAddress):
        raise InvalidValueError(
            f"socket_mode: {oct(mode)}, and {address} has no file; leave it out, or listen on "
            "unix:PATH"
        )
    return mode


def _bind_port(address: Address) -> socket.socket:
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


def _cannot_listen(address: AnyAddress, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror}")


class _UnixListener(socket.socket):
    """Takes its file with it when it is closed, if the file is still its own."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._file: _File | None = None

    def own(self, path: Path) -> None:
        """Makes the file at a path the one to remove."""
        self._file = _File(path)

    @override
    def close(self) -> None:
        """Removes the file and closes."""
        file, self._file = self._file, None
        if file is not None:
            # As long as the socket is open, no other file can get this one's number.
            file.remove()
        super().close()


class _File:
    """A file that this process has made."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()  # the current folder may be another one at the end
        self._identity = self._identify()
        self._process = os.getpid()

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def remove(self) -> None:
        """Removes it, unless another one has its name, or the process is a forked child."""
        if os.getpid() == self._process and self._identify() == self._identity is not None:
            self._path.unlink(missing_ok=True)


def _bind_path(address: UnixAddress, mode: int | None) -> socket.socket:
    path = Path(address.path)
    sock = _UnixListener()
    try:
        with _alone_in(path.parent):
            _remove_stale(path)
            sock.bind(address.path)
            sock.own(path)
            if mode is not None:
                # Before it listens nobody can connect. The umask is that of all threads.
                path.chmod(mode)
            sock.listen(_BACKLOG)
    except FileNotFoundError as error:
        sock.close()
        missing = OSError(error.errno, f"there is no folder {path.parent}")
        raise _cannot_listen(address, missing) from error
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    return sock


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Has servers that start at once in a folder bind one after the other.

    Between a look at a file and its removal another server could have made it its own,
    and one that has bound and does not listen yet looks like one that is gone.
    """
    import fcntl  # where there are UNIX sockets

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        # Missing, which binding will tell, or not to be read, and then not to be locked.
        yield
        return
    try:
        end = time.monotonic() + _LOCK_PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE)
                continue
            except OSError:
                pass  # some network file systems lock no folders
            break
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Removes the socket file of a server that is gone.

    Raises:
        OSError: A server listens there, or the file is no socket.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "the file that is there is no socket, and was left alone")
    if _is_listening(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    path.unlink(missing_ok=True)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            pass  # so many want to connect that its queue is full
    return True
