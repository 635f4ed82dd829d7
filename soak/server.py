# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The server's process: ``python -m soak.server``.

It tells its port; each line that it gets is answered with what it has at the moment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import sys
import threading
from collections import Counter
from pathlib import Path

from typing_extensions import override

from praxis_remote import PolicyServer
from praxis_remote.http2 import ServerCall

from .policy import Policy

_STATM = Path("/proc/self/statm")

# What the soak asks for: see `kinds`.
_ASKED_FOR = "%s: the policy's %s rejected a request"


class _Log(logging.Handler):
    """Counts errors, and tells the first of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: Counter[str] = Counter()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = str(record.msg)
        if text == _ASKED_FOR:
            return
        if text not in self.errors:
            sys.stderr.write(self.format(record) + "\n")
        self.errors[text] += 1


def _resident() -> int:
    """Returns the memory in use, in bytes; where the system does not tell, the most ever."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def look(server: PolicyServer, log: _Log, *, deep: bool) -> dict[str, int]:
    """Returns what the process has.

    Args:
        server: The server.
        log: What it has logged.
        deep: Also count objects that should be gone, which takes time.
    """
    listener, loop = server._listener, server._loop
    assert loop is not None

    async def inside() -> dict[str, int]:
        made = [each for each in listener.connections if each.protocol.made]
        return {
            "connections": len(listener.connections),
            "streams": sum(len(each.protocol.processor.streams) for each in made),
            "calls": len(listener._running),
            "tasks": len(asyncio.all_tasks()),
            "budget": listener._budget.used,
            "pool": sum(block.size for block in listener.memory._blocks),
        }

    found = asyncio.run_coroutine_threadsafe(inside(), loop).result()
    found["rss"] = _resident()
    # The listing takes one itself.
    found["fds"] = sum(1 for _ in Path("/dev/fd").iterdir()) - 1
    found["threads"] = threading.active_count()
    found["errors"] = sum(log.errors.values())
    if deep:
        gc.collect()
        found["objects"] = sum(isinstance(each, ServerCall) for each in gc.get_objects())
    return found


def main() -> None:
    """Serves until the end of the input."""
    log = _Log()
    logging.getLogger().addHandler(log)
    with PolicyServer(Policy(), port=0) as server:
        print(json.dumps(server.port), flush=True)
        for line in sys.stdin:
            print(json.dumps(look(server, log, deep=json.loads(line) == "deep")), flush=True)


if __name__ == "__main__":
    main()
