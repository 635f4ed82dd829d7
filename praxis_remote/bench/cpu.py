# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What cores gave to this process, and how long they let it wait."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

__all__ = ["CpuUse", "cores"]

_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class CpuUse:
    """Seconds of a process, so far or between two looks.

    Attributes:
        wall: On the clock.
        cpu: That its threads ran, together.
        waited: That they could have run and had no core; None where the system does not say.
    """

    wall: float
    cpu: float
    waited: float | None

    @classmethod
    def now(cls) -> Self:
        """Returns what this process has had so far."""
        return cls(time.monotonic(), time.process_time(), _waited())

    def since(self, before: CpuUse) -> CpuUse:
        """Returns what it had since then."""
        waited = None
        if self.waited is not None and before.waited is not None:
            waited = max(0.0, self.waited - before.waited)
        return CpuUse(self.wall - before.wall, self.cpu - before.cpu, waited)


def _waited() -> float | None:
    """Returns for how many seconds the threads that there are have waited for a core."""
    nanoseconds = []
    with suppress(OSError):
        for task in _TASKS.iterdir():
            with suppress(OSError, IndexError, ValueError):  # the thread has just ended
                nanoseconds.append(int((task / "schedstat").read_text().split()[1]))
    return sum(nanoseconds) / 1e9 if nanoseconds else None


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
