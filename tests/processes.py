# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command line in processes of their own, and policies that they serve.

The fixtures are there for every test; see ``conftest.py``.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ROOT, TIMEOUT

from praxis_remote import PolicyClient
from praxis_remote.address import parse_address

# The policies that are served in other processes. Where the test has to hold one back,
# it gives the port on which the policy tells that it is there and waits to go on.
POLICIES = """
import atexit, logging, os, socket, sys, threading

import numpy as np

IMPORTED_ON = threading.get_ident()


def wait_for_test(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as gate:
        gate.recv(1)


class Policy:
    def __init__(self, **kwargs):
        self.kwargs = kwargs
        self.made_on = threading.get_ident()

    def predict_action(self, observations, *, policy_kwargs=None):
        logging.getLogger("my.policy").info("predicting %s", sorted(observations[0]))
        if "gate" in observations[0]:
            wait_for_test(observations[0]["gate"])
        return np.array([len(observations)])

    def reset(self, episode_ids=None): ...

    def model_info(self):
        threads = {IMPORTED_ON, self.made_on, threading.get_ident()}
        main = threading.main_thread().ident in threads
        return f"{self.kwargs} on {len(threads)} thread, main: {main}"


class Wandering(Policy):
    def __init__(self):
        super().__init__()
        os.chdir("/")


class Slow(Policy):
    def __init__(self, gate):
        super().__init__()
        wait_for_test(gate)


class Lingering(Policy):
    def __init__(self, gate):
        super().__init__()
        atexit.register(wait_for_test, gate)


class Outer:
    class Broken(Policy):
        def __init__(self):
            raise RuntimeError("no weights")
"""


class Lines:
    """A process's output, line by line, with a limit to every wait."""

    def __init__(self, stream: Any, patience: float = TIMEOUT) -> None:
        self._patience = patience
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.all: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._new.put(line.rstrip("\n"))
        stream.close()
        self._new.put(None)

    def next(self) -> str | None:
        line = None if self._ended else self._new.get(timeout=self._patience)
        if line is None:
            self._ended = True
        else:
            self.all.append(line)
        return line

    def wait_for(self, text: str) -> str:
        while (line := self.next()) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} is in none of {self.all}")

    def rest(self) -> list[str]:
        while self.next() is not None:
            pass
        return self.all


class Process:
    """The command line in a process of its own, or in several."""

    def __init__(
        self,
        *words: str,
        cwd: Path,
        program: Sequence[str] = ("-m", "praxis_remote"),
        patience: float = TIMEOUT,
    ):
        self._patience = patience
        self.process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = (
            Lines(stream, patience) for stream in (self.process.stdout, self.process.stderr)
        )

    def send(self, *signals: signal.Signals) -> None:
        for number in signals:
            self.process.send_signal(number)

    def end(self) -> int:
        """Waits for the exit and returns its code; there must be no traceback."""
        code = self.process.wait(self._patience)
        assert "Traceback" not in "\n".join(self.err.rest())
        self.out.rest()
        return code

    def client(self) -> PolicyClient:
        """Waits for the line that tells the address, and returns a client."""
        line = self.out.next() or "\n".join(self.err.rest())
        match = re.fullmatch(r"serving \w+ on (127\.0\.0\.1:\d+|unix:.+)", line)
        assert match is not None, line
        address = parse_address(match[1])
        return PolicyClient(address.host, address.port, timeout=TIMEOUT)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command line in a folder that holds ``policies.py``."""
    (tmp_path / "policies.py").write_text(POLICIES)
    processes: list[Process] = []

    def start(*words: str, **options: Any) -> Process:
        processes.append(Process(*words, **{"cwd": tmp_path, **options}))
        return processes[-1]

    yield start
    for each in processes:
        each.process.kill()
        each.process.wait(TIMEOUT)
        each.out.rest()
        each.err.rest()


class Gate:
    """Where a policy in another process waits for the test."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        self._waiting: socket.socket | None = None
        self.port: int = self._listener.getsockname()[1]

    def reached(self) -> None:
        self._waiting, _ = self._listener.accept()

    def open(self) -> None:
        if self._waiting is not None:
            self._waiting.close()

    def close(self) -> None:
        self.open()
        self._listener.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def predict_at_gate(
    client: PolicyClient, gate: Gate, pool: ThreadPoolExecutor
) -> Future[np.ndarray[Any, Any]]:
    """Returns a call that the policy works on, until the gate is opened."""
    call = pool.submit(client.predict_action, [{"gate": gate.port}])
    gate.reached()
    return call
