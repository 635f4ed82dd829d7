# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A served policy stops in good order on a signal, and a command ends at once on one."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from command import TIMEOUT
from processes import Gate, Start, predict_at_gate

from praxis_remote.cli import signals
from praxis_remote.errors import UnavailableError


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]],
    ids=["SIGTERM", "SIGINT", "both together"],
)
def test_a_stop_signal_lets_running_and_waiting_calls_finish_and_exits_0(
    start: Start, gate: Gate, pool: ThreadPoolExecutor, signals: list[signal.Signals]
) -> None:
    process = start("serve", "policies:Policy", "--port", "0")
    with process.client() as client:
        call = predict_at_gate(client, gate, pool)
        process.send(*signals)
        process.err.wait_for("stopping: no new calls are taken, running ones get 10 s")
        with pytest.raises(UnavailableError):
            client.predict_action([{"a": 1}])
        gate.open()
        assert call.result(TIMEOUT).tolist() == [1]
    assert process.end() == 0
    assert len(process.out.all) == 1


def test_a_second_signal_stops_at_once_and_exits_0(
    start: Start, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    process = start("serve", "policies:Policy", "--port", "0", "--grace", "1000")
    with process.client() as client:
        call = predict_at_gate(client, gate, pool)
        process.send(signal.SIGINT)
        process.err.wait_for("SIGINT or SIGTERM once more stops at once")
        process.send(signal.SIGTERM)
        with pytest.raises(UnavailableError):
            call.result(TIMEOUT)
    # The gate is still closed: the process leaves although the policy has not returned.
    assert process.end() == 0
    assert "leaving although the policy still works" in process.err.all[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_policy_loads_ends_the_process_at_once(
    start: Start, gate: Gate, number: signal.Signals
) -> None:
    process = start("serve", "policies:Slow", "--port", "0", "--kwarg", f"gate={gate.port}")
    gate.reached()
    process.send(number)
    assert process.end() == -number
    assert process.out.all == process.err.all == []


def test_a_signal_while_the_policy_s_exit_hooks_run_ends_the_process_with_0(
    start: Start, gate: Gate
) -> None:
    process = start("serve", "policies:Lingering", "--port", "0", "--kwarg", f"gate={gate.port}")
    process.client().close()
    process.send(signal.SIGTERM)
    gate.reached()
    process.send(signal.SIGINT)
    assert process.end() == 0


def test_ctrl_c_during_a_call_ends_the_process_without_a_word(start: Start, gate: Gate) -> None:
    process = start("health", f"127.0.0.1:{gate.port}", "--timeout", "inf")
    gate.reached()
    process.send(signal.SIGINT)
    assert process.end() == -signal.SIGINT
    assert process.err.all == []


def test_only_signals_to_stop_are_acted_on() -> None:
    reader, writer = socket.socketpair()
    acted: list[None] = []
    with reader:
        with writer:
            writer.send(bytes([signal.SIGCHLD, signal.SIGINT, signal.SIGWINCH, signal.SIGTERM]))
        signals._watch(reader, lambda: acted.append(None))
    assert len(acted) == 2
