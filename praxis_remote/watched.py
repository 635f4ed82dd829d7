# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is made of files, and made anew when they change: certificates and tokens are renewed.

Nothing here knows what is in them.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from .logs import event

log = logging.getLogger("praxis_remote.files")

T = TypeVar("T")


class Watched(Generic[T]):
    """A value made of files.

    To ask for it costs a look at each file. Files that cannot be used, half written ones
    for example, are told of once, and leave what was made before.

    Args:
        paths: The files, which `make` should read by absolute names.
        make: Makes the value; `OSError` and `ValueError` mean that it cannot be made.

    Raises:
        OSError: The value cannot be made, as of now.
        ValueError: The same.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], make: Callable[[], T]) -> None:
        # Absolute, since the process may go to another folder.
        self._paths = tuple(Path(path).absolute() for path in paths)
        self._make = make
        # A look from another thread must not find the new files and the old value.
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] | None = self._look()
        self._value = make()
        _all.add(self)

    def get(self) -> T:
        """Returns what the files say now, or last said."""
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                # What is written after this look is another change.
                self._seen = seen
                self._make_anew()
            return self._value

    def begin_anew(self) -> None:
        """Has the value made anew when it is needed next, in a forked child.

        Another thread of the parent's may have held the lock, or have been amid a use of
        the value. Files that are gone by now leave what was made before.
        """
        self._lock = threading.Lock()
        self._seen = None

    def _look(self) -> tuple[object, ...]:
        return tuple(map(_identify, self._paths))

    def _make_anew(self) -> None:
        names = ", ".join(map(str, self._paths))
        try:
            self._value = self._make()
        except (OSError, ValueError) as error:
            text, fields = "%s; what was read of %s before stays in use", event("reload_failed")
            log.error(text, error, names, extra=fields)
        else:
            log.info("read again what has changed: %s", names, extra=event("reloaded"))


def _identify(path: Path) -> tuple[int, ...] | None:
    """Returns what is different once a file has changed, or another one has its name."""
    try:
        found = path.stat()
    except OSError:
        return None
    # A link of Kubernetes' to another folder shows by the number of the file.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


_all: weakref.WeakSet[Watched[Any]] = weakref.WeakSet()


def _begin_anew_after_fork() -> None:
    for watched in list(_all):
        watched.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)
