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

KINDS = [face.__name__ for face in FACES]

each_kind = pytest.mark.parametrize("kind", KINDS)


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


def test_of_clients_that_are_killed_nothing_runs_that_waits_and_nothing_is_kept(
    run: Run, server: End, host: str
) -> None:
    server.serve(host)
    before = server.ask("held")
    caller = run()
    for number, kind in enumerate([*KINDS, *KINDS]):
        name = str(number)
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


def test_clients_that_are_frozen_hold_up_nobody_and_get_their_own_answers_when_they_go_on(
    run: Run, server: End, host: str
) -> None:
    server.serve(host)
    before = server.ask("held")
    caller = run()
    for number, kind in enumerate([*KINDS, *KINDS]):
        name = str(number)
        caller.ask("open", name=name, kind=kind, host=host, port=server.port, timeout=WAIT)
        patience = WAIT if number < 2 else 1.5
        caller.ask(
            "begin", name=name, number=number, floats=4 * FLOATS, wait=True, timeout=patience
        )
        wait_for_calls(server, number + 1)
    caller.freeze()
    # Two have waited too long by the server's clock, whatever their own will say.
    until(lambda: server.ask("held"), lambda held: held["calls"] == 2)
    server.ask("let_end", times=2)
    face = BlockingFace()
    client = face.client(server.port, server.host)
    # Answers of 40 MB are on their way to one that does not read.
    assert read_number(client.predict_action(observe(9))) == 9
    face.close()
    caller.thaw()
    ended = [caller.ask("end", name=str(number)) for number in range(4)]
    assert ended[:2] == [{"number": 0}, {"number": 1}]
    assert [each["code"] for each in ended[2:]] == ["DEADLINE_EXCEEDED"] * 2
    for number in range(4):
        caller.ask("close", name=str(number))
    assert server.ask("began") == [0, 1, 9]
    server.settle(before)


@pytest.mark.parametrize("kind", ["BlockingFace", "a program's loop"])
def test_a_call_that_is_interrupted_in_the_queue_never_runs(
    run: Run, server: End, kind: str, calls: ThreadPoolExecutor
) -> None:
    server.serve()
    host = server.host
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
