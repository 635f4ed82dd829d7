# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A coroutine in a stepper does what it would do in a task of asyncio's."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.stepper import Delivery, Stepper

# ---------------------------------------------------------------- two who run coroutines


class TaskRunner:
    """A task, in the terms that both have in common."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._task = asyncio.ensure_future(coroutine)

    def cancel(self) -> None:
        self._task.cancel()

    @property
    def done(self) -> bool:
        return self._task.done()

    def result(self) -> Any:
        return self._task.result()


class StepperRunner:
    """A stepper, whose steps are taken as soon as they are due."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.stepper = Stepper(coroutine, self.step)
        asyncio.get_running_loop().call_soon(self.step)

    def step(self) -> None:
        if not self.stepper.done:
            self.stepper.step()

    def cancel(self) -> None:
        self.stepper.cancel()

    @property
    def done(self) -> bool:
        return self.stepper.done

    def result(self) -> Any:
        return self.stepper.result()


Runner = TaskRunner | StepperRunner
RUNNERS = [TaskRunner, StepperRunner]


async def settle() -> None:
    """Lets everything happen that can happen by itself."""
    for _ in range(12):
        await asyncio.sleep(0)


def bring(delivery: Delivery[int], value: int | None, error: Exception | None = None) -> None:
    """Delivers as it is done outside of tests: not in the midst of another task."""
    asyncio.get_running_loop().call_soon(delivery.deliver, value, error)


def outcome(runner: Runner) -> object:
    """Returns how a coroutine ended, as something that can be compared."""
    try:
        return "returned", runner.result()
    except asyncio.CancelledError:
        return "cancelled"
    except BaseException as error:
        return type(error), error.args


# ---------------------------------------------------------------- programs

PLACES = 3
Step = tuple[Any, ...]
place = st.integers(0, PLACES - 1)
wait = st.one_of(
    st.tuples(st.just("delivery"), place),
    st.tuples(st.sampled_from(["future", "shield"]), place),
    st.just(("sleep",)),
)
simple = st.one_of(
    wait,
    wait,
    wait,
    st.tuples(st.just("cancel and go on to"), wait),
    st.just(("raise",)),
)
step: st.SearchStrategy[Step] = st.recursive(
    simple,
    lambda inner: st.tuples(
        st.sampled_from(["swallow", "handle", "finally", "await"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
programs = st.lists(step, min_size=2, max_size=5)
event = st.one_of(
    st.tuples(st.sampled_from(["set", "fail", "cancel future"]), place),
    st.just(("cancel",)),
    st.tuples(st.just("set and cancel"), place),
)
scripts = st.lists(event, max_size=8)


class Machine:
    """Runs a program in one way or the other, and notes what it does."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.futures = [loop.create_future() for _ in range(PLACES)]
        self.deliveries: list[Delivery[int]] = [Delivery(loop) for _ in range(PLACES)]
        self.runner: Runner | None = None
        self.log: list[object] = []

    async def main(self, program: list[Step]) -> str:
        await self.run(program)
        # What was asked for in the last step is still to come.
        await asyncio.sleep(0)
        return "end"

    async def run(self, program: list[Step]) -> None:
        for number, (kind, *rest) in enumerate(program):
            self.log.append((number, kind))
            self.log.append(await self.do(kind, *rest))

    async def do(self, kind: str, *rest: Any) -> object:
        if kind == "sleep":
            await asyncio.sleep(0)
            return None
        if kind == "future":
            return await self.futures[rest[0]]
        if kind == "delivery":
            return await self.deliveries[rest[0]]
        if kind == "shield":
            return await asyncio.shield(self.futures[rest[0]])
        if kind == "raise":
            raise ValueError(len(self.log))
        if kind == "cancel and go on to":
            assert self.runner is not None
            self.runner.cancel()
            return await self.do(*rest[0])
        await self.guard(kind, rest[0])
        return None

    async def guard(self, kind: str, program: list[Step]) -> None:
        if kind == "await":
            await self.run(program)
            return
        try:
            await self.run(program)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            if kind != "swallow":
                raise
        except ValueError as error:
            self.log.append(error.args)
            if kind != "handle":
                raise
        finally:
            if kind == "finally":
                await asyncio.sleep(0)
                self.log.append("finally")

    def play(self, kind: str, where: int = 0) -> None:
        assert self.runner is not None
        future, delivery = self.futures[where], self.deliveries[where]
        if kind.startswith("set"):
            if not future.done():
                future.set_result(where)
            bring(delivery, where)
        elif kind == "fail":
            if not future.done():
                future.set_exception(ValueError("f"))
                future.exception()  # not all of them are awaited
            bring(delivery, None, ValueError("d"))
        elif kind == "cancel future":
            future.cancel()
        if kind in ("cancel", "set and cancel"):
            self.runner.cancel()


def play(make: Callable[[Any], Runner], program: list[Step], script: list[Step]) -> object:
    """Returns what a program did, and how it ended, while a script was played to it."""

    async def main() -> object:
        machine = Machine()
        runner = machine.runner = make(machine.main(program))
        await settle()
        for step in script:
            machine.play(*step)
            await settle()
        for number in range(PLACES):
            machine.play("set", number)
            await settle()
        while not runner.done:
            runner.cancel()
            await settle()
        return machine.log, outcome(runner)

    return asyncio.run(main())


def without_deliveries_awaited_twice(program: list[Step]) -> bool:
    """A delivery is for one value, and its error is raised once."""
    text = repr(program)
    return all(text.count(f"('delivery', {number})") <= 1 for number in range(PLACES))


@given(programs.filter(without_deliveries_awaited_twice), scripts)
def test_any_program_does_the_same_and_ends_the_same_as_in_a_task(
    program: list[Step], script: list[Step]
) -> None:
    assert play(StepperRunner, program, script) == play(TaskRunner, program, script)


# ---------------------------------------------------------------- each kind of waiting


class Waits:
    """Something to wait for, of each kind."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.future = loop.create_future()
        self.never: Delivery[int] = Delivery(loop)

    def start(self, kind: str) -> Awaitable[object]:
        kinds: dict[str, Callable[[], Awaitable[object]]] = {
            "future": lambda: self.future,
            "delivery": lambda: self.never,
            "bare yield": lambda: asyncio.sleep(0),
            "timer": lambda: asyncio.sleep(1000),
            "coroutine": self.nested,
            "shield": lambda: asyncio.shield(self.future),
            "event": lambda: asyncio.Event().wait(),
            "queue": lambda: asyncio.Queue[int]().get(),
            "task": lambda: asyncio.ensure_future(self.nested()),
            "tasks": lambda: asyncio.wait({asyncio.ensure_future(self.nested())}),
        }
        return kinds[kind]()

    async def nested(self) -> object:
        return await asyncio.shield(self.future)


KINDS = [
    "future",
    "delivery",
    "bare yield",
    "timer",
    "coroutine",
    "shield",
    "event",
    "queue",
    "task",
    "tasks",
]


@pytest.mark.parametrize("make", RUNNERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reaction", ["end", "swallow", "wait again", "raise"])
def test_a_cancellation_is_raised_wherever_it_waits_and_may_be_met_in_any_way(
    make: Callable[[Any], Runner], kind: str, reaction: str
) -> None:
    async def main() -> tuple[list[str], object]:
        waits, log = Waits(), ["begin"]

        async def work() -> str:
            try:
                await waits.start(kind)
                log.append("not cancelled")
            except asyncio.CancelledError:
                log.append("cancelled")
                if reaction == "end":
                    raise
                if reaction == "raise":
                    raise ValueError("instead") from None
                if reaction == "wait again":
                    await asyncio.sleep(0)
                    await asyncio.shield(later)
            log.append("goes on")
            return "end"

        later = asyncio.get_running_loop().create_future()
        runner = make(work())
        if kind == "bare yield":
            await asyncio.sleep(0)  # it waits from one turn to the next
        else:
            await settle()
        runner.cancel()
        await settle()
        if not runner.done:
            later.set_result(None)
            await settle()
        return log, outcome(runner)

    log, end = asyncio.run(main())
    goes_on = reaction in ("swallow", "wait again")
    assert log == ["begin", "cancelled"] + ["goes on"] * goes_on
    expected: dict[str, object] = {"end": "cancelled", "raise": (ValueError, ("instead",))}
    assert end == expected.get(reaction, ("returned", "end"))


@pytest.mark.parametrize("make", RUNNERS)
def test_each_of_two_cancellations_is_raised(make: Callable[[Any], Runner]) -> None:
    async def main() -> tuple[int, object]:
        swallowed = 0

        async def work() -> None:
            nonlocal swallowed
            while True:
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    swallowed += 1
                    if swallowed == 2:
                        raise

        runner = make(work())
        for _ in range(2):
            await settle()
            runner.cancel()
        await settle()
        return swallowed, outcome(runner)

    assert asyncio.run(main()) == (2, "cancelled")


@pytest.mark.parametrize("make", RUNNERS)
def test_one_that_is_cancelled_before_it_has_begun_never_begins(
    make: Callable[[Any], Runner],
) -> None:
    async def main() -> tuple[list[str], object]:
        log: list[str] = []

        async def work() -> None:
            log.append("begun")

        runner = make(work())
        runner.cancel()
        await settle()
        return log, outcome(runner)

    assert asyncio.run(main()) == ([], "cancelled")


@pytest.mark.parametrize("make", RUNNERS)
def test_to_cancel_one_that_has_ended_changes_nothing(make: Callable[[Any], Runner]) -> None:
    async def main() -> object:
        async def work() -> str:
            return "end"

        runner = make(work())
        await settle()
        runner.cancel()
        return outcome(runner)

    assert asyncio.run(main()) == ("returned", "end")


@pytest.mark.parametrize("make", RUNNERS)
@pytest.mark.parametrize("kind", ["own step", "outside"])
def test_what_it_waits_for_is_cancelled_with_it(make: Callable[[Any], Runner], kind: str) -> None:
    """Wherever the cancellation comes from."""

    async def main() -> tuple[bool, object]:
        async def forever() -> None:
            await asyncio.get_running_loop().create_future()

        async def work() -> None:
            if kind == "own step":
                runner.cancel()
            await inner

        inner = asyncio.ensure_future(forever())
        runner = make(work())
        await settle()
        if kind == "outside":
            runner.cancel()
            await settle()
        return inner.cancelled(), outcome(runner)

    assert asyncio.run(main()) == (True, "cancelled")


# ---------------------------------------------------------------- where they differ


def test_a_cancellation_does_not_wait_for_what_it_interrupts() -> None:
    """A task would wait until the other one has ended, and take its result."""

    async def main() -> object:
        may_end = asyncio.get_running_loop().create_future()

        async def stubborn() -> str:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                await may_end
            return "at last"

        async def work() -> str:
            return await inner

        inner = asyncio.ensure_future(stubborn())
        runner = StepperRunner(work())
        await settle()
        runner.cancel()
        assert runner.done
        may_end.set_result(None)
        assert await inner == "at last"
        return outcome(runner)

    assert asyncio.run(main()) == "cancelled"


def test_a_cancellation_in_the_last_step_comes_too_late() -> None:
    async def main() -> object:
        async def work() -> str:
            runner.cancel()
            return "end"

        runner = StepperRunner(work())
        await settle()
        return outcome(runner)

    assert asyncio.run(main()) == ("returned", "end")


def test_it_ends_in_the_very_call_that_brings_the_last_value() -> None:
    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        first, second = Delivery[int](loop), Delivery[int](loop)

        async def work() -> int:
            return await first + await second

        stepper: Stepper[int] = Stepper(work(), lambda: stepper.step())
        stepper.step()
        first.deliver(1)
        seen: list[object] = [stepper.done]
        second.deliver(2)
        return [*seen, stepper.done, stepper.result()]

    assert asyncio.run(main()) == [False, True, 3]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_shall_end_the_program_goes_to_whoever_drives_the_loop(
    kind: type[BaseException],
) -> None:
    async def main() -> None:
        async def work() -> None:
            raise kind

        stepper: Stepper[None] = Stepper(work(), lambda: None)
        with pytest.raises(kind):
            stepper.step()
        assert stepper.done
        with pytest.raises(asyncio.CancelledError):
            stepper.result()

    asyncio.run(main())


# ---------------------------------------------------------------- deliveries


@pytest.mark.parametrize("make", RUNNERS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [None, KeyError("k")])
def test_a_value_or_an_error_arrives_whether_it_was_waited_for_or_not(
    make: Callable[[Any], Runner], when: str, error: Exception | None
) -> None:
    async def main() -> object:
        delivery: Delivery[int] = Delivery(asyncio.get_running_loop())

        async def work() -> int:
            return await delivery

        if when == "before":
            delivery.deliver(5, error)
        runner = make(work())
        await settle()
        if when == "after":
            bring(delivery, 5, error)
            await settle()
        return outcome(runner)

    expected = ("returned", 5) if error is None else (KeyError, ("k",))
    assert asyncio.run(main()) == expected


@pytest.mark.parametrize("make", RUNNERS)
def test_of_several_values_the_first_one_counts(make: Callable[[Any], Runner]) -> None:
    async def main() -> object:
        delivery: Delivery[int] = Delivery(asyncio.get_running_loop())

        async def work() -> int:
            return await delivery

        runner = make(work())
        await settle()
        bring(delivery, 1)
        bring(delivery, 2)
        bring(delivery, None, ValueError())
        await settle()
        return outcome(runner)

    assert asyncio.run(main()) == ("returned", 1)


@pytest.mark.parametrize("make", RUNNERS)
def test_a_value_that_comes_after_the_cancellation_goes_to_nobody(
    make: Callable[[Any], Runner],
) -> None:
    async def main() -> object:
        delivery: Delivery[int] = Delivery(asyncio.get_running_loop())

        async def work() -> int:
            return await delivery

        runner = make(work())
        await settle()
        runner.cancel()
        bring(delivery, 1)
        await settle()
        return outcome(runner)

    assert asyncio.run(main()) == "cancelled"


# ---------------------------------------------------------------- memory


class Payload:
    """Something that shall not live longer than it must."""


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["return", "raise", "cancel", "delivered error"])
def test_nothing_lives_on_in_a_reference_cycle_however_it_ends(end: str) -> None:
    async def main() -> None:
        delivery: Delivery[int] = Delivery(asyncio.get_running_loop())

        async def wait(payload: Payload) -> None:
            await delivery

        async def work(payload: Payload) -> None:
            await asyncio.sleep(0)
            if end == "raise":
                raise ValueError
            if end == "cancel":
                await delivery
            if end == "delivered error":
                with suppress(ValueError):
                    await wait(payload)

        def run() -> weakref.ref[Payload]:
            payload = Payload()
            runners.append(StepperRunner(work(payload)))
            return weakref.ref(payload)

        runners: list[StepperRunner] = []
        alive = run()
        await settle()
        if end == "cancel":
            runners[0].cancel()
        if end == "delivered error":
            bring(delivery, None, ValueError())
            await settle()
        outcome(runners.pop())
        await settle()
        assert alive() is None

    asyncio.run(main())
