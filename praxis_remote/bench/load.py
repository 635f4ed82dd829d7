# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The load of a plan: processes that call, and what they tell, all in one place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, TypeAlias

from typing_extensions import Self

from .errors import WorkerLostError
from .plan import Plan
from .samples import Samples
from .worker import Assignment, Begin, Done, News, Ready, Stop

__all__ = ["OnProgress", "Progress", "Recording", "generate"]

# How long a stop may go unnoticed, in seconds.
_TICK = 0.1

# From when all are told to begin until they do, so that they begin together.
_HEAD_START = 0.05

_LEAVING = 10.0


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        seconds: Since calls count; None while clients connect and warm up.
        calls: How many have ended well.
        failed: How many have not.
    """

    seconds: float | None
    calls: int
    failed: int


OnProgress: TypeAlias = Callable[[Progress], object]


@dataclass
class Recording:
    """What became of the calls of a run.

    Attributes:
        samples: Those that went well.
        failed: The others, counted by the name of their status.
        examples: The text of the first error with each status.
        cut_off: How many calls the stop cut off.
        not_begun: How many calls were due and found no time.
        stopped: Whether the run was stopped before its end.
        seconds: From the beginning to the end of the last call.
        workers: What each process says at its end.
    """

    samples: Samples = field(default_factory=Samples)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    cut_off: int = 0
    not_begun: int = 0
    stopped: bool = False
    seconds: float = 0.0
    workers: list[Done] = field(default_factory=list)

    def take(self, news: News) -> None:
        """Adds what a worker tells."""
        self.samples.add(news.rows)
        self.failed.update(news.failed)
        self.examples = {**news.examples, **self.examples}


def generate(plan: Plan, stop: threading.Event, on_progress: OnProgress) -> Recording:
    """Makes the calls of a plan.

    Args:
        plan: What to do.
        stop: Once set, ends the run early; calls that run are cut off.
        on_progress: Told how far it is, ten times a second.

    Raises:
        WorkerLostError: A process that should call ended before it had.
    """
    with _Workers(plan) as workers:
        return _Run(workers, stop, on_progress).run()


class _Worker:
    """A process that calls, seen from its parent."""

    def __init__(self, assignment: Assignment) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            # In a session of its own: Ctrl-C is for the parent, which has a table to print.
            self.process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.tell(assignment)

    def tell(self, what: Assignment | Begin | Stop) -> None:
        """Says something, unless nobody listens any more; then its end will tell."""
        try:
            self.connection.send(what)
        except OSError:
            return

    def close(self) -> None:
        try:
            self.process.wait(_LEAVING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.connection.close()


_MODULE = "praxis_remote.bench"


def _environment() -> dict[str, str]:
    """Returns one in which a process imports what this one does, and nothing else."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


class _Workers:
    """All processes of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._stack = ExitStack()
        self._by_connection: dict[Any, _Worker] = {}
        self._working: list[Connection] = []
        with self._stack:
            for clients in plan.shares():
                worker = _Worker(Assignment(plan, clients))
                self._stack.callback(worker.close)
                self._by_connection[worker.connection] = worker
                self._working.append(worker.connection)
            self._stack = self._stack.pop_all()

    @property
    def count(self) -> int:
        return len(self._by_connection)

    def tell(self, what: Begin | Stop) -> None:
        for worker in self._by_connection.values():
            worker.tell(what)

    def hear(self) -> Iterable[Ready | News | Done]:
        """Waits a tick at most, and returns what was said."""
        for connection in wait(self._working, _TICK):
            assert isinstance(connection, Connection)
            try:
                said: Ready | News | Done = connection.recv()
            except (EOFError, OSError):
                raise WorkerLostError(self._by_connection[connection].process.wait()) from None
            if isinstance(said, Done):
                self._working.remove(connection)
            yield said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Those that are done leave by themselves; the others when nobody listens any more.
        for connection in self._working:
            connection.close()
        self._stack.close()


class _Run:
    """One run: first all get ready, then all call, until all are done."""

    def __init__(self, workers: _Workers, stop: threading.Event, on_progress: OnProgress) -> None:
        self._workers = workers
        self._stop = stop
        self._on_progress = on_progress
        self._found = Recording()
        self._ready = 0
        self._begin: float | None = None

    def run(self) -> Recording:
        while len(self._found.workers) < self._workers.count:
            if self._stop.is_set() and not self._found.stopped:
                self._found.stopped = True
                self._workers.tell(Stop())
            for said in self._workers.hear():
                self._take(said)
            self._tell_progress()
        return self._found

    def _take(self, said: Ready | News | Done) -> None:
        if isinstance(said, Ready):
            self._ready += 1
            if self._ready == self._workers.count:
                self._begin = time.monotonic() + _HEAD_START
                self._workers.tell(Begin(self._begin))
        elif isinstance(said, News):
            self._found.take(said)
        else:
            self._found.workers.append(said)
            self._found.cut_off += said.cut_off
            self._found.not_begun += said.not_begun
            self._found.seconds = max(self._found.seconds, said.ended)

    def _tell_progress(self) -> None:
        begun, found = self._begin, self._found
        seconds = None if begun is None else max(0.0, time.monotonic() - begun)
        self._on_progress(Progress(seconds, found.samples.count, found.failed.total()))
