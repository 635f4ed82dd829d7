# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from .ends import End

Run = Callable[[], End]


class Spares:
    """Ends that start while there is something else to do."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._numbers = itertools.count()
        self._next = self._start()

    def _start(self) -> End:
        return self._stack.enter_context(End(self._folder / f"log{next(self._numbers)}"))

    def take(self) -> End:
        end, self._next = self._next, self._start()
        return end


@pytest.fixture(scope="session")
def spares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spares]:
    with ExitStack() as stack:
        yield Spares(tmp_path_factory.mktemp("ends"), stack)


@pytest.fixture
def run(spares: Spares) -> Iterator[Run]:
    """Starts ends, and kills them after the test."""
    with ExitStack() as stack:

        def run() -> End:
            end = spares.take()
            stack.callback(end.kill)
            return end

        yield run


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[End]:
    """An end for tests that do not kill it."""
    with End(tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def calls() -> Iterator[ThreadPoolExecutor]:
    """Threads to call on while the test does something else."""
    with ThreadPoolExecutor(16) as calls:
        yield calls
