# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A client that is killed, frozen, closed or interrupted, and what the server makes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cutting import Cutter, Fault
from faces import FACES, BlockingFace, Face

from praxis_remote.errors import CallCancelledError

from .conftest import Run
from .endpoint import observe, read_number
from .ends import WAIT, End, until

SIZE = 10_000_000
FLOATS = SIZE // 4

each_kind = pytest.mark.parametrize("kind", [face.__name__ for face in FACES])


def wait_for_calls(server: End, number: int) -> None:
    """Waits until the server has so many calls, and their messages."""
    until(
        lambda: server.ask("held"),
        lambda held: held["calls"] == number and held["jobs"] >= number,
    )


def check_free(server: End, face: Face, before: dict[str, int], began: list[int]) -> None:
    """Checks that somebody else is served, and that nothing else ran or is held."""
    client = face.client(server.port, server.host)
    assert read_number(client.predict_action(observe(9, floats=FLOATS))) == 9
    client.close()
    assert server.ask("began") == [*began, 9]
    server.settle(before)


@each_kind
def test_of_a_client_that_is_killed_nothing_runs_that_waits_and_nothing_is_kept(
    run: Run, server: End, kind: str, host: str
) -> None:
    server.serve(host)
    before = server.ask("held")
    caller = run()
    for number, name in enumerate(("running", "waiting", "waiting too")):
        caller.ask("open", name=name, kind=kind, host=host, port=server.port, timeout=WAIT)
        caller.ask("begin", name=name, number=number, size=SIZE, floats=FLOATS, wait=True)
        wait_for_calls(server, number + 1)
    caller.kill()
    # The one that runs cannot be stopped.
    until(lambda: server.ask("held"), lambda held: (held["calls"], held["jobs"]) == (0, 1))
    server.ask("let_end", times=1)
    check_free(server, BlockingFace(), before, began=[0])


@each_kind
def test_a_client_that_is_killed_amid_a_large_request_leaves_nothing_behind(
    run: Run, server: End, kind: str
) -> None:
    server.serve()
    before = server.ask("held")
    with Cutter(server.host, server.port) as cutter:
        caller = run()
        caller.ask("open", name="", kind=kind, host=cutter.host, port=cutter.port, timeout=WAIT)
        cutter.requests.break_after(20_000_000, Fault.STALL)
        caller.ask("begin", name="", number=1, size=60_000_000)
        cutter.wait_broken()
        until(lambda: server.ask("held"), lambda held: held["memory"] >= 60_000_000)
        caller.kill()
        cutter.go_on()
        check_free(server, BlockingFace(), before, began=[])


@each_kind
def test_a_client_that_is_frozen_holds_up_nobody_and_gets_its_own_answers_when_it_goes_on(
    run: Run, server: End, kind: str, host: str
) -> None:
    server.serve(host)
    before = server.ask("held")
    caller = run()
    for number, name in enumerate(("running", "waiting")):
        caller.ask("open", name=name, kind=kind, host=host, port=server.port, timeout=WAIT)
        timeout = 1.0 if name == "waiting" else None
        caller.ask("begin", name=name, number=number, floats=4 * FLOATS, wait=True, timeout=timeout)
        wait_for_calls(server, number + 1)
    caller.freeze()
    # It has waited too long by the server's clock, whatever its own will say.
    until(lambda: server.ask("held"), lambda held: held["calls"] == 1)
    server.ask("let_end", times=1)
    face = BlockingFace()
    client = face.client(server.port, server.host)
    # The answer of 40 MB is on its way to one that does not read.
    assert read_number(client.predict_action(observe(9))) == 9
    face.close()
    caller.thaw()
    assert caller.ask("end", name="running") == {"number": 0}
    assert caller.ask("end", name="waiting")["code"] == "DEADLINE_EXCEEDED"
    for name in ("running", "waiting"):
        caller.ask("close", name=name)
    assert server.ask("began") == [0, 9]
    server.settle(before)


@pytest.mark.parametrize("kind", ["BlockingFace", "a program's loop"])
def test_a_call_that_is_interrupted_in_the_queue_never_runs(
    run: Run, server: End, kind: str, host: str, calls: ThreadPoolExecutor
) -> None:
    server.serve(host)
    before = server.ask("held")
    face = BlockingFace()
    first = face.client(server.port, host)
    running = calls.submit(first.predict_action, observe(0, wait=True))
    wait_for_calls(server, 1)
    caller = run()
    address = {"host": host, "port": server.port}
    if kind == "BlockingFace":
        caller.ask("open", name="", kind=kind, timeout=WAIT, **address)
        caller.send("call", name="", number=1, size=SIZE)
    else:
        caller.send("call_in_loop", number=1, size=SIZE, **address)
    wait_for_calls(server, 2)
    caller.interrupt()
    assert caller.receive() == {"error": "KeyboardInterrupt"}
    until(lambda: server.ask("held"), lambda held: held["calls"] == 1)
    server.ask("let_end")
    assert read_number(running.result(WAIT)) == 0
    face.close()
    if kind == "BlockingFace":
        assert caller.ask("call", name="", number=2) == {"number": 2}
        caller.ask("close", name="")
    check_free(server, BlockingFace(), before, [0, 2] if kind == "BlockingFace" else [0])


def test_the_calls_of_a_client_that_is_closed_end_and_what_waits_never_runs(
    server: End, host: str, calls: ThreadPoolExecutor
) -> None:
    server.serve(host)
    before = server.ask("held")
    face = BlockingFace()
    client = face.client(server.port, host)
    theirs = []
    for number in range(3):
        batch = observe(number, size=SIZE, wait=True)
        theirs.append(calls.submit(client.predict_action, batch))
        wait_for_calls(server, number + 1)
    client.close()
    for call in theirs:
        with pytest.raises(CallCancelledError, match="the client was closed"):
            call.result(WAIT)
    until(lambda: server.ask("held"), lambda held: (held["calls"], held["jobs"]) == (0, 1))
    server.ask("let_end")
    check_free(server, face, before, began=[0])
    face.close()
