# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a server holds for its clients, counted."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from praxis_remote import PolicyServer

_FILES = next((p for p in map(Path, ("/proc/self/fd", "/dev/fd")) if p.exists()), None)


def held(server: PolicyServer) -> dict[str, int]:
    """Returns what a server holds: connections, calls, jobs, and bytes of memory in use."""
    listener = server._listener
    return {
        "connections": len(listener.connections),
        "calls": len(listener._running),
        "jobs": server._scheduler.unfinished,
        "memory": sum(block.size for block in list(listener.memory._blocks) if not block.spare),
    }


def held_by_process() -> dict[str, int]:
    """Returns how many files and threads this process has."""
    files = 0 if _FILES is None else len(os.listdir(_FILES))  # noqa: PTH208 - names are enough
    return {"files": files, "threads": threading.active_count()}
