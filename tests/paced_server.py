# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server in a process of its own, whose policy's pace a test sets, by lines of JSON.

Of its own, so that a test's forked children have no copies of its sockets.
"""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from praxis_remote import PolicyServer

INFO = "paced"


def checksum(payload: np.ndarray[Any, Any]) -> int:
    """Returns a number that float64 holds exactly."""
    return int(payload[::61].sum())


class Paced:
    """Echoes what it is asked, and notes what it ran; some calls wait until they may end."""

    def __init__(self, ran: Counter[int], overlaps: list[int]) -> None:
        self._ran, self._overlaps = ran, overlaps
        self._busy = threading.Lock()
        self._gate = threading.Semaphore(0)
        self._free = False

    def let_end(self, times: int) -> None:
        self._gate.release(times)

    def set_free(self) -> None:
        self._free = True
        self._gate.release(10**6)

    def predict_action(
        self, observations: Any, *, policy_kwargs: Any = None, episode_ids: Any = None
    ) -> Any:
        token = policy_kwargs["token"]
        self._begin(token)
        try:
            if policy_kwargs["gated"] and not self._free:
                self._gate.acquire()
            action = np.full((1, policy_kwargs["answer"]), token, np.float64)
            action[0, 1] = checksum(observations[0]["payload"])
            return action
        finally:
            self._busy.release()

    def reset(self, episode_ids: Any = None) -> None:
        self._begin(int(episode_ids[0]))
        self._busy.release()

    def model_info(self) -> str:
        return INFO

    def _begin(self, token: int) -> None:
        if not self._busy.acquire(blocking=False):
            self._overlaps.append(token)
            self._busy.acquire()
        self._ran[token] += 1


class Commands:
    """What the lines say."""

    def __init__(self) -> None:
        self._ran: Counter[int] = Counter()
        self._overlaps: list[int] = []
        self._server: PolicyServer | None = None

    def start(self, port: int) -> int:
        self._policy = Paced(self._ran, self._overlaps)
        self._server = PolicyServer(self._policy, port=port)
        self._server.serve(block=False)
        return self._server.port

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
            self._policy.set_free()

    def let_end(self, times: int) -> None:
        self._policy.let_end(times)

    def set_free(self) -> None:
        self._policy.set_free()

    def ran(self) -> dict[str, Any]:
        return {"ran": dict(self._ran), "overlaps": self._overlaps}

    def left(self) -> list[int]:
        """Forgets a program, and returns how many threads and files there are."""
        self._ran.clear()
        files = Path("/dev/fd")
        return [threading.active_count(), len(list(files.iterdir())) if files.exists() else 0]

    def dump(self) -> None:
        faulthandler.dump_traceback(all_threads=True)


class PacedServer:
    """The test's end of the line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._turn = threading.Lock()

    def ask(self, name: str, *arguments: int) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()


def main() -> None:
    commands = Commands()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(commands, name)(*arguments)), flush=True)
    commands.stop()


if __name__ == "__main__":
    main()
