# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""CPU and memory of this process."""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def cpu_seconds() -> float:
    """Returns the CPU time of all threads."""
    return time.process_time()


def peak_bytes() -> int:
    """Returns the most memory that was resident since `reset_peak`, or since the start."""
    return _status("VmHWM") or _max_rss()


def resident_bytes() -> int | None:
    """Returns the memory that is resident now, None where the system does not tell."""
    return _status("VmRSS")


def reset_peak() -> None:
    """Lets the peak begin anew, on Linux; elsewhere it is that of the process's life."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return


def _status(name: str) -> int | None:
    if not _STATUS.exists():
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _max_rss() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
