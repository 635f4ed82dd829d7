# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

import pytest

from praxis_remote.batching import Batching, Ticket
from praxis_remote.calls import Deadline
from praxis_remote.errors import DeadlineExceededError
from praxis_remote.scheduler import Scheduler, _Job


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> Iterator[Scheduler]:
    scheduler = Scheduler(clock=clock)
    yield scheduler
    scheduler.close()


class Gate:
    """A job that says when it runs, and waits until it may end."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.running.set()
        assert self.may_end.wait(30)
        return "gate"

    async def wait_running(self) -> None:
        assert await asyncio.to_thread(self.running.wait, 30)


async def queued() -> None:
    """Lets tasks that were just made hand their jobs over."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_jobs_run_one_at_a_time_in_order_and_on_one_thread(scheduler: Scheduler) -> None:
    ran: list[tuple[int, int]] = []

    async def main() -> list[int]:
        def job(number: int) -> int:
            ran.append((number, threading.get_ident()))
            return number

        return await asyncio.gather(
            *(scheduler.run(lambda number=number: job(number)) for number in range(50))  # type: ignore[misc]
        )

    assert asyncio.run(main()) == list(range(50))
    assert [number for number, _ in ran] == list(range(50))
    assert len({thread for _, thread in ran}) == 1
    assert threading.get_ident() not in {thread for _, thread in ran}


@pytest.mark.parametrize(
    "error", [ValueError("v"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_whatever_a_job_raises_reaches_its_owner_and_the_thread_goes_on(
    scheduler: Scheduler, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        scheduler.call(fail)
    assert scheduler.call(lambda: 5) == 5


def test_jobs_that_cannot_be_run_as_one_are_run_alone_and_the_thread_goes_on(
    scheduler: Scheduler,
) -> None:
    def together(names: Sequence[str]) -> Sequence[str]:
        joined.append(names)
        raise MemoryError

    def run(name: str) -> asyncio.Task[str]:
        ticket = Ticket("like", payload=name, together=together)
        return asyncio.create_task(scheduler.run(lambda: name, ticket=ticket))

    async def main() -> None:
        scheduler.join(Batching(8, 0.0))
        gate = Gate()
        first = asyncio.create_task(scheduler.run(gate))
        await gate.wait_running()
        tasks = [run("a"), run("b")]
        await queued()
        gate.may_end.set()
        assert await asyncio.gather(first, *tasks) == ["gate", "a", "b"]
        assert await run("c") == "c"

    joined: list[Sequence[str]] = []
    asyncio.run(asyncio.wait_for(main(), 30))
    assert joined == [["a", "b"]]


def test_what_a_batch_costs_does_not_grow_with_those_who_wait(scheduler: Scheduler) -> None:
    class Kind:
        """Of one job alone."""

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return self is other

        __hash__ = None  # type: ignore[assignment]  # nobody needs it

    async def main() -> list[int]:
        scheduler.join(Batching(8, 0.0))
        gate = Gate()
        first = asyncio.create_task(scheduler.run(gate))
        await gate.wait_running()
        waiting = [
            asyncio.create_task(scheduler.run(functools.partial(ran.append, n), None, ticket))
            for n, ticket in enumerate(Ticket(Kind()) for _ in range(1000))  # type: ignore[arg-type]
        ]
        await queued()
        gate.may_end.set()
        await asyncio.gather(first, *waiting)
        return ran

    ran: list[int] = []
    compared: list[object] = []
    assert asyncio.run(asyncio.wait_for(main(), 30)) == list(range(1000))
    # Each time: once to learn whether the batch is full, once when it leaves.
    assert 0 < len(compared) <= 1000 * 2 * 128


def test_a_job_whose_deadline_passed_in_the_queue_never_runs(
    scheduler: Scheduler, clock: Clock
) -> None:
    ran: list[str] = []

    async def main() -> None:
        gate = Gate()
        first = asyncio.ensure_future(scheduler.run(gate))
        await gate.wait_running()
        late = asyncio.ensure_future(scheduler.run(lambda: ran.append("late"), Deadline(5.0)))
        timely = asyncio.ensure_future(scheduler.run(lambda: ran.append("timely"), Deadline(7.0)))
        await queued()
        clock.now = 6.0
        gate.may_end.set()
        assert await first == "gate"
        with pytest.raises(DeadlineExceededError, match="in the queue"):
            await late
        await timely

    asyncio.run(main())
    assert ran == ["timely"]
    assert scheduler.idle


def test_a_cancelled_job_never_runs_and_what_it_held_is_free_at_once(scheduler: Scheduler) -> None:
    class Payload:
        pass

    ran: list[Payload] = []

    async def main() -> None:
        gate = Gate()
        first = asyncio.ensure_future(scheduler.run(gate))
        await gate.wait_running()
        payload = Payload()
        alive = weakref.ref(payload)
        waiting = asyncio.ensure_future(
            scheduler.run(lambda payload=payload: ran.append(payload))  # type: ignore[misc]
        )
        await queued()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        del payload, waiting
        gc.collect()
        assert alive() is None
        gate.may_end.set()
        await first

    asyncio.run(main())
    scheduler.call(lambda: None)
    assert ran == []
    assert scheduler.idle


def test_a_job_that_is_cancelled_while_it_runs_ends_and_its_result_goes_to_nobody(
    scheduler: Scheduler,
) -> None:
    async def main() -> str:
        gate = Gate()
        first = asyncio.ensure_future(scheduler.run(gate))
        await gate.wait_running()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.ensure_future(scheduler.run(lambda: "second"))
        await queued()
        gate.may_end.set()
        return await second

    assert asyncio.run(main()) == "second"
    assert scheduler.idle


def test_it_is_idle_only_when_nothing_runs_or_waits(scheduler: Scheduler) -> None:
    async def main() -> list[bool]:
        seen = [scheduler.idle]
        gate = Gate()
        first = asyncio.ensure_future(scheduler.run(gate))
        await gate.wait_running()
        seen.append(scheduler.idle)
        gate.may_end.set()
        await first
        return [*seen, scheduler.idle]

    assert asyncio.run(main()) == [True, False, True]


def test_a_loop_that_was_closed_meanwhile_does_no_harm(scheduler: Scheduler) -> None:
    gate = Gate()

    async def main() -> None:
        task = asyncio.ensure_future(scheduler.run(gate))
        await gate.wait_running()
        task.cancel()

    asyncio.run(main())
    gate.may_end.set()
    assert scheduler.call(lambda: "still there") == "still there"


def test_jobs_that_were_handed_over_before_it_is_closed_still_run() -> None:
    scheduler = Scheduler("mine")
    thread = scheduler.call(threading.current_thread)
    assert thread.name == "mine"
    assert thread.daemon
    scheduler.close()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("now", [1.0, 5.0], ids=["in time", "too late"])
def test_what_a_job_held_is_free_when_its_end_is_told(now: float) -> None:
    class Request:
        """Something large."""

    def function() -> Callable[[], bool]:
        request = Request()
        held.append(weakref.ref(request))
        return lambda: request is not None

    held: list[weakref.ref[Request]] = []
    found: list[object] = []
    job = _Job(function(), Deadline(4.0), lambda result, _: found.extend((result, held[0]())))
    job.work(lambda: now)
    assert found == [True if now < 4 else None, None]
