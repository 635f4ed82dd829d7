# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Servers and clients as processes, to see what calls take of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.client import Limit
from benchmarks.process import Process


class Served(NamedTuple):
    """Something that serves, and how much CPU it has used."""

    address: str
    cpu: Callable[[], float]


@contextmanager
def serving(module: str, **options: Any) -> Iterator[Served]:
    """Has a module of `peers` serve."""
    with Process(Path(sys.executable), module) as server:
        address = server.ask("serve", **options)
        yield Served(address, lambda: float(server.ask("usage")["cpu"]))


@contextmanager
def crowd() -> Iterator[Process]:
    """Has a process for clients."""
    with Process(Path(sys.executable), "waiting_async") as process:
        yield process


def connect(crowd: Process, *addresses: str, clients: int, **options: float) -> None:
    """Makes clients at several addresses, in turn."""
    crowd.ask("connect", address=",".join(addresses), clients=clients, **options)


def times_of(crowd: Process, payload: str, seconds: float) -> list[float]:
    """Returns the seconds of each call."""
    limit = Limit(least=1, most=10**9, seconds=seconds)
    times: list[float] = crowd.ask("measure", name=payload, **limit._asdict())["times"]
    return times
