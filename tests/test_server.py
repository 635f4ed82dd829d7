# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from faces import Face
from hosts import LOOPBACK

from praxis_remote import (
    AsyncPolicyClient,
    PolicyClient,
    PolicyHandler,
    PolicyServer,
    current_request,
)
from praxis_remote.errors import (
    CallCancelledError,
    DeadlineExceededError,
    HandlerError,
    InvalidArgumentError,
    InvalidValueError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
)
from praxis_remote.scheduler import Scheduler
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler, connected

BATCH = [{"observation.state": np.zeros(3, np.float32)}]
WAIT = 30.0


# ---------------------------------------------------------------- binding


def test_a_busy_address_fails_in_the_constructor_and_the_error_names_it(host: str) -> None:
    with connected(RecordingHandler(), host=host, timeout=WAIT) as (server, client):
        busy = f"cannot listen on {server.address}: Address already in use"
        with pytest.raises(OSError, match=busy):
            PolicyServer(RecordingHandler(), host=host, port=server.port)
        assert client.health_check()[0]


def test_port_0_picks_one_and_tells_which() -> None:
    server = PolicyServer(RecordingHandler(), port=0)
    assert server.port > 0
    assert server.address == f"127.0.0.1:{server.port}"
    server.stop()


def test_the_default_host_is_not_reached_from_elsewhere() -> None:
    server = PolicyServer(RecordingHandler(), port=0)
    assert server.host == "127.0.0.1"
    server.stop()


def test_a_unix_socket_has_no_port(socket_folder: Path) -> None:
    server = PolicyServer(RecordingHandler(), host=f"unix://{socket_folder}/a")
    assert (server.host, server.port) == (server.address, 0)
    assert server.address == f"unix:{socket_folder}/a"
    server.stop()


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "127.0.0.1"])
def test_a_host_that_names_this_machine_is_reached_on_ipv4(host: str) -> None:
    with (
        PolicyServer(RecordingHandler(), host=host, port=0) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        assert client.health_check() == (True, "RecordingHandler")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("host", "peer"), [("::1", "::1"), ("[::1]", "::1"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_ipv6_is_served_and_its_any_address_serves_ipv4_as_well(host: str, peer: str) -> None:
    try:
        server = PolicyServer(RecordingHandler(), host=host, port=0)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 address: {error}")
    with server, PolicyClient(peer, server.port, timeout=WAIT) as client:
        assert client.health_check()[0]
    assert server.address == f"[{host.strip('[]')}]:{server.port}"


def test_a_host_that_nobody_knows_is_a_clear_error() -> None:
    with pytest.raises(OSError, match=r"cannot resolve the host 'no\.such\.host\.invalid'"):
        PolicyServer(RecordingHandler(), host="no.such.host.invalid", port=0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"port": -1}, "port: -1"),
        ({"port": 65536}, "port: 65536"),
        ({"host": ""}, "host: ''"),
        ({"host": "unix:a", "port": 1}, "port: 1; unix:a has none"),
        ({"max_message_size": 0}, "max_message_size: 0"),
    ],
)
def test_options_that_cannot_be_are_errors_that_name_them(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        PolicyServer(RecordingHandler(), **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_message_size": "1"}, "max_message_size: '1'; pass an integer"),
        ({"limits": 5}, r"limits: int; pass Limits\(\.\.\.\), or None"),
        ({"observers": print}, "observers: builtin_function_or_method; pass a list of objects"),
        ({"observers": [1]}, r"observers\[0\]: int has no method call_ended\(record\)"),
        ({"socket_mode": "660", "host": "unix:a"}, "socket_mode: '660'; pass an integer"),
    ],
)
def test_options_of_another_type_are_errors_that_say_what_to_pass(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        PolicyServer(RecordingHandler(), **{"port": 0, **options})


def test_an_object_that_is_no_policy_is_refused_with_what_it_lacks() -> None:
    class Half:
        def predict_action(self) -> None: ...

        reset = 5

    with pytest.raises(TypeError, match="Half lacks reset, model_info"):
        PolicyServer(Half(), port=0)  # type: ignore[arg-type]


def test_a_policy_whose_methods_cannot_be_called_is_refused_at_the_start() -> None:
    def policy(**methods: Any) -> Any:
        return type("Policy", (RecordingHandler,), methods)()

    async def waiting(self: Any, observations: Any, **options: Any) -> None: ...

    with pytest.raises(TypeError, match=r"Policy\.predict_action\(observations.*'policy_kwargs'"):
        PolicyServer(policy(predict_action=lambda self, observations: None), port=0)
    with pytest.raises(TypeError, match=r"Policy\.predict_action is a coroutine function"):
        PolicyServer(policy(predict_action=waiting), port=0)
    with pytest.raises(TypeError, match=r"Policy\.reset.*'episode_ids'"):
        PolicyServer(policy(reset=lambda self, episode_ids: None), port=0)


def test_a_class_in_place_of_an_instance_is_refused() -> None:
    with pytest.raises(TypeError, match="RecordingHandler is a class; pass an instance"):
        PolicyServer(RecordingHandler, port=0)  # type: ignore[arg-type]


def test_the_workers_of_0_1_1_are_taken_and_change_nothing() -> None:
    with PolicyServer(RecordingHandler(), port=0, max_workers=4):
        pass


# ---------------------------------------------------------------- the policy's thread


def test_the_policy_runs_on_one_thread_one_call_at_a_time() -> None:
    running = threading.Lock()

    def answer(_: Prediction) -> Any:
        assert running.acquire(blocking=False), "two calls at once"
        running.release()
        return np.zeros(1, np.float32)

    handler = RecordingHandler(answer)
    with connected(handler, timeout=WAIT) as (_, client), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.predict_action(BATCH), range(100)))
    assert len(handler.predictions) == 100
    assert {prediction.thread for prediction in handler.predictions} == {"praxis-remote-handler"}


def test_a_policy_may_be_made_on_the_thread_that_it_runs_on() -> None:
    scheduler = Scheduler()

    class Picky(RecordingHandler):
        def __init__(self) -> None:
            super().__init__(lambda _: np.array([threading.get_ident() == self.home]))
            self.home = threading.get_ident()

    handler = scheduler.call(Picky)
    assert handler.home != threading.get_ident()
    with (
        PolicyServer(handler, port=0, scheduler=scheduler) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
    ):
        assert client.predict_action(BATCH).all()


def test_health_and_new_connections_are_answered_while_the_policy_works(host: str) -> None:
    handler = GatedHandler()
    with (
        connected(handler, host=host, timeout=WAIT) as (server, client),
        ThreadPoolExecutor(1) as pool,
    ):
        client.wait_ready(WAIT)
        call = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        assert client.health_check() == (True, "GatedHandler")
        with PolicyClient(server.host, server.port, timeout=WAIT) as another:
            assert another.health_check() == (True, "GatedHandler")
        assert not call.done()
        handler.let_end()
        call.result()


def test_health_tells_what_the_policy_says_now_when_it_is_idle() -> None:
    class Changing(RecordingHandler):
        info = "first"

        def model_info(self) -> str:
            return self.info

    handler = Changing()
    with connected(handler, timeout=WAIT) as (_, client):
        assert client.health_check() == (True, "first")
        handler.info = "second"
        assert client.health_check() == (True, "second")


def test_a_cancelled_request_leaves_the_queue_without_running(host: str) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, host=host, port=0) as server:

        async def main() -> None:
            async with AsyncPolicyClient(server.host, server.port, timeout=WAIT) as client:
                first = asyncio.ensure_future(client.predict_action(BATCH))
                await asyncio.to_thread(handler.wait_begun)
                waiting = asyncio.ensure_future(
                    client.predict_action(BATCH, policy_kwargs={"name": "cancelled"})
                )
                # Calls of one connection arrive in order: when health is answered, it is queued.
                await client.health_check()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await client.health_check()
                last = asyncio.ensure_future(
                    client.predict_action(BATCH, policy_kwargs={"name": "last"})
                )
                handler.let_end(3)
                await asyncio.gather(first, last)

        asyncio.run(main())
    assert [p.policy_kwargs for p in handler.predictions] == [{}, {"name": "last"}]


def test_a_request_whose_deadline_passes_in_the_queue_never_runs(host: str) -> None:
    handler = GatedHandler()
    with connected(handler, host=host, timeout=WAIT) as (_, client), ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        with pytest.raises(DeadlineExceededError):
            client.predict_action(BATCH, policy_kwargs={"name": "expired"}, timeout=0.1)
        client.health_check()  # the server's clock for the call began later
        handler.let_end(3)
        call.result()
        client.predict_action(BATCH, policy_kwargs={"name": "next"})
    assert [p.policy_kwargs for p in handler.predictions] == [{}, {"name": "next"}]


def test_requests_run_in_the_order_in_which_they_came() -> None:
    handler = GatedHandler()
    with PolicyServer(handler, port=0) as server:

        async def main() -> None:
            async with AsyncPolicyClient("127.0.0.1", server.port, timeout=WAIT) as client:
                await client.health_check()
                calls = []
                for number in range(20):
                    calls.append(
                        asyncio.ensure_future(
                            client.predict_action(BATCH, policy_kwargs={"number": number})
                        )
                    )
                    await asyncio.sleep(0)
                handler.let_end(20)
                await asyncio.gather(*calls)

        asyncio.run(main())
    assert [p.policy_kwargs for p in handler.predictions] == [{"number": n} for n in range(20)]


# ---------------------------------------------------------------- what the policy sees


def test_a_policy_can_learn_metadata_peer_and_remaining_time(host: str) -> None:
    seen: list[Any] = []

    def answer(_: Prediction) -> Any:
        request = current_request()
        seen.append((request.metadata, request.peer, request.remaining()))
        return np.zeros(1)

    with connected(
        RecordingHandler(answer),
        host=host,
        timeout=WAIT,
        metadata={"robot": "left", "raw-bin": b"\0\xff"},
    ) as (_, client):
        client.predict_action(BATCH)
        client.predict_action(BATCH, timeout=float("inf"))
    (metadata, peer, remaining), (_, _, unlimited) = seen
    session = {"praxis-session-id": client.session_id}
    assert dict(metadata) == {"robot": "left", "raw-bin": b"\0\xff", **session}
    # A client has a port, but no UNIX socket of its own.
    assert re.fullmatch(rf"{host}:\d+" if host == LOOPBACK else host, peer)
    assert 0 < remaining <= WAIT + 1e-3
    assert unlimited is None


def test_a_policy_without_episode_ids_works_for_callers_that_send_none() -> None:
    class Plain:
        def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:
            return np.zeros(len(observations))

        def reset(self) -> None: ...

        def model_info(self) -> str:
            return "plain"

    with connected(cast("PolicyHandler", Plain()), timeout=WAIT) as (_, client):
        assert client.predict_action(BATCH).shape == (1,)
        assert client.reset()
        with pytest.raises(InvalidArgumentError, match="episode_ids"):
            client.predict_action(BATCH, episode_ids=["a"])
        with pytest.raises(InvalidArgumentError, match="episode_ids"):
            client.reset(episode_ids=["a"])


def test_decoded_arrays_belong_to_the_policy_which_may_write_into_them(host: str) -> None:
    def answer(prediction: Prediction) -> Any:
        image = prediction.observations[0]["image"]
        assert isinstance(image, np.ndarray)
        image += 1
        return image

    sent = np.arange(300_000, dtype=np.uint8)
    with connected(RecordingHandler(answer), host=host, timeout=WAIT) as (_, client):
        received = client.predict_action([{"image": sent}])
    assert np.array_equal(received, sent + 1)


@pytest.mark.parametrize(
    "keep",
    [
        lambda action: action,
        lambda action: action[1:],
        lambda action: action.reshape(1000, -1),
        lambda action: action.data,
    ],
    ids=["itself", "a slice", "a shape", "a memoryview"],
)
def test_an_action_into_which_the_policy_writes_later_arrives_as_it_was_returned(
    keep: Callable[[Any], Any], host: str
) -> None:
    kept: list[Any] = []

    def answer(_: Prediction) -> Any:
        for memory in kept:
            np.asarray(memory)[...] = -1
        action = np.full(500_000, len(kept), np.float32)
        kept.append(keep(action))
        return action

    with (
        connected(RecordingHandler(answer), host=host, timeout=WAIT) as (_, client),
        ThreadPoolExecutor(6) as pool,
    ):
        actions = list(pool.map(lambda _: client.predict_action(BATCH), range(12)))
    assert all((action == action[0]).all() for action in actions)
    assert sorted(int(action[0]) for action in actions) == list(range(12))


# ---------------------------------------------------------------- what goes wrong in a policy


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TypeError("bad type"), InvalidArgumentError, "bad type"),
        (ValueError("bad value"), InvalidArgumentError, "bad value"),
        (RuntimeError("out of memory 🦾"), HandlerError, "out of memory 🦾"),
        (KeyError("k"), HandlerError, "'k'"),
        (RuntimeError(), HandlerError, "RuntimeError"),
        (ValueError(), InvalidArgumentError, "ValueError"),
        (SystemExit("leave"), HandlerError, "leave"),
        (KeyboardInterrupt(), HandlerError, "KeyboardInterrupt"),
        (asyncio.CancelledError(), HandlerError, "CancelledError"),
        (StopIteration("stop"), HandlerError, "stop"),
    ],
)
def test_what_a_policy_raises_is_a_clear_status_and_a_traceback_in_the_log(
    face: Face,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    kind: type[RemoteError],
    text: str,
) -> None:
    def answer(prediction: Prediction) -> Any:
        if prediction.policy_kwargs == {"fail": True}:
            raise error
        return np.ones(1, np.float32)

    with PolicyServer(RecordingHandler(answer), port=0) as server:
        client = face.client(server)
        with pytest.raises(kind) as raised:
            client.predict_action(BATCH, policy_kwargs={"fail": True})
        assert raised.value.details() == text
        assert raised.value.address == server.address
        assert client.predict_action(BATCH) == [1.0]
    records = [record for record in caplog.records if record.exc_info]
    assert len(records) == 1
    assert records[0].levelno == logging.ERROR
    assert "predict_action" in records[0].getMessage()


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (None, "action: dtype object"),
        (np.zeros(2, np.float16), "action: dtype float16"),
        ("text", "action: dtype str"),
        ([[1], [2, 3]], "action: "),
        (object(), "action: dtype object"),
    ],
)
def test_an_action_that_cannot_be_sent_is_a_clear_status(action: object, text: str) -> None:
    with connected(RecordingHandler(lambda _: action), timeout=WAIT) as (_, client):
        with pytest.raises(InvalidArgumentError, match=text):
            client.predict_action(BATCH)
        assert client.health_check()[0]


@pytest.mark.parametrize("action", [[1.5, 2.5], np.float32(1.5), True, [[1, 2], [3, 4]]])
def test_an_action_that_numpy_can_turn_into_an_array_is_sent(action: Any) -> None:
    with connected(RecordingHandler(lambda _: action), timeout=WAIT) as (_, client):
        received = client.predict_action(BATCH)
    assert np.array_equal(received, np.asarray(action))
    assert received.dtype == np.asarray(action).dtype


def test_a_failing_reset_is_a_clear_status() -> None:
    class Failing(RecordingHandler):
        def reset(self, episode_ids: Any = None) -> None:
            raise RuntimeError("cannot reset")

    with (
        connected(Failing(), timeout=WAIT) as (_, client),
        pytest.raises(HandlerError, match="cannot reset"),
    ):
        client.reset()


def test_a_failing_model_info_is_a_clear_status_and_the_policy_can_be_asked() -> None:
    class Shy(RecordingHandler):
        def model_info(self) -> str:
            raise ValueError("no info")

    with connected(Shy(), timeout=WAIT) as (_, client):
        with pytest.raises(HandlerError, match="no info"):
            client.health_check()
        assert client.predict_action(BATCH).shape == (1, 1)


def test_a_response_over_the_limit_is_an_error_with_both_numbers() -> None:
    handler = RecordingHandler(lambda _: np.zeros(2000, np.uint8))
    with (
        PolicyServer(handler, port=0, max_message_size=1000) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT) as client,
        pytest.raises(RemoteError, match=r"response of 20\d\d bytes .* limit of 1000 bytes"),
    ):
        client.predict_action([{"a": 1}])


# ---------------------------------------------------------------- starting and stopping


def test_serve_blocks_until_another_thread_stops_it(host: str) -> None:
    server = PolicyServer(RecordingHandler(), host=host, port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    with PolicyClient(server.host, server.port, timeout=WAIT) as client:
        client.wait_ready(WAIT)
        assert thread.is_alive()
        server.stop()
        thread.join(WAIT)
        assert not thread.is_alive()
        with pytest.raises(UnavailableError):
            client.health_check()


def test_a_signal_handler_may_stop_a_server_that_blocks_the_main_thread(host: str) -> None:
    server = PolicyServer(RecordingHandler(), host=host, port=0)
    previous = signal.signal(signal.SIGUSR1, lambda *_: server.stop())
    try:

        def send_when_ready() -> None:
            with PolicyClient(server.host, server.port, timeout=WAIT) as client:
                client.wait_ready(WAIT)
            os.kill(os.getpid(), signal.SIGUSR1)

        thread = threading.Thread(target=send_when_ready)
        thread.start()
        server.serve()
        thread.join(WAIT)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_ctrl_c_stops_a_server_that_blocks_the_main_thread(host: str) -> None:
    server = PolicyServer(RecordingHandler(), host=host, port=0)

    def interrupt() -> None:
        with PolicyClient(server.host, server.port, timeout=WAIT) as client:
            client.wait_ready(WAIT)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        server.serve()
    thread.join(WAIT)
    with (
        PolicyClient(server.host, server.port, timeout=WAIT) as client,
        pytest.raises(UnavailableError, match="cannot connect"),
    ):
        client.health_check()


def test_stopping_is_fine_before_serving_twice_and_from_several_threads(host: str) -> None:
    server = PolicyServer(RecordingHandler(), host=host, port=0)
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="started once"):
        server.serve()
    serving = PolicyServer(RecordingHandler(), host=host, port=0)
    serving.serve(block=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: serving.stop(grace=1), range(4)))


def test_a_server_that_is_stopped_while_it_starts_stops(host: str) -> None:
    for _ in range(20):
        server = PolicyServer(RecordingHandler(), host=host, port=0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        server.stop()
        thread.join(WAIT)
        assert not thread.is_alive()


def test_a_server_can_be_started_once() -> None:
    with (
        PolicyServer(RecordingHandler(), port=0) as server,
        pytest.raises(RuntimeError, match="started once"),
    ):
        server.serve()


def test_an_address_is_free_again_after_stopping(host: str) -> None:
    with connected(RecordingHandler(), host=host, timeout=WAIT) as (server, client):
        client.health_check()
    with PolicyServer(RecordingHandler(), host=host, port=server.port):
        pass


def test_the_grace_lets_running_and_waiting_calls_finish_and_takes_no_new_ones(host: str) -> None:
    handler = GatedHandler()
    with (
        connected(handler, host=host, timeout=WAIT) as (server, client),
        ThreadPoolExecutor(4) as pool,
    ):
        running = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        waiting = pool.submit(client.predict_action, BATCH)
        client.health_check()
        stopping = pool.submit(server.stop, grace=WAIT)
        # New calls are refused from the moment that the server has taken notice.
        refusal = None
        while refusal is None:
            try:
                client.health_check()
            except UnavailableError as error:
                refusal = error
        assert re.search("shutting down|cannot connect", refusal.details())
        assert not stopping.done()
        handler.let_end(2)
        assert running.result().shape == (1, 1)
        assert waiting.result().shape == (1, 1)
        stopping.result()


def test_a_large_reply_is_sent_whole_before_a_server_with_grace_is_gone(host: str) -> None:
    handler = GatedHandler(lambda _: np.ones(5_000_000))
    for _ in range(3):
        with (
            connected(handler, host=host, timeout=WAIT) as (server, client),
            ThreadPoolExecutor(1) as pool,
        ):
            call = pool.submit(client.predict_action, BATCH)
            handler.wait_begun()
            server.request_stop(grace=WAIT)
            handler.let_end()
            server.stop(grace=WAIT)
            assert call.result().sum() == 5_000_000


def test_a_second_stop_shortens_the_grace_of_the_first(host: str) -> None:
    handler = GatedHandler()
    with (
        connected(handler, host=host, timeout=WAIT) as (server, client),
        ThreadPoolExecutor(1) as pool,
    ):
        call = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        server.request_stop(grace=10 * WAIT)
        server.stop(grace=0)
        with pytest.raises(UnavailableError, match="shutting down"):
            call.result()
        handler.let_end()


def test_a_server_whose_socket_fails_says_so_and_has_stopped(host: str) -> None:
    server = PolicyServer(RecordingHandler(), host=host, port=0)
    server._socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        server.serve()
    server.stop()


def test_calls_that_do_not_finish_within_the_grace_get_unavailable(host: str) -> None:
    handler = GatedHandler()
    with (
        connected(handler, host=host, timeout=WAIT) as (server, client),
        ThreadPoolExecutor(1) as pool,
    ):
        call = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        server.stop(grace=0.05)
        with pytest.raises(UnavailableError, match="shutting down"):
            call.result()
        handler.let_end()


def test_a_program_with_an_event_loop_serves_on_it_and_stops_by_cancelling(host: str) -> None:
    async def main() -> None:
        server = PolicyServer(RecordingHandler(), host=host, port=0)
        serving = asyncio.ensure_future(server.serve_async())
        async with AsyncPolicyClient(server.host, server.port, timeout=WAIT) as client:
            assert await client.wait_ready(WAIT) == "RecordingHandler"
            assert (await client.predict_action(BATCH)).shape == (1, 1)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            with pytest.raises(UnavailableError):
                await client.health_check()

    asyncio.run(main())


def test_a_server_on_the_callers_loop_stops_by_request_as_well(host: str) -> None:
    async def main() -> None:
        server = PolicyServer(RecordingHandler(), host=host, port=0)
        serving = asyncio.ensure_future(server.serve_async())
        async with AsyncPolicyClient(server.host, server.port, timeout=WAIT) as client:
            await client.wait_ready(WAIT)
            server.request_stop()
            await serving

    asyncio.run(main())


def test_a_client_that_is_closed_during_a_call_has_it_cancelled_and_the_server_goes_on(
    host: str,
) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, host=host, port=0) as server, ThreadPoolExecutor(1) as pool:
        client = PolicyClient(server.host, server.port, timeout=WAIT)
        call = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        client.close()
        with pytest.raises(CallCancelledError):
            call.result()
        handler.let_end(2)
        with PolicyClient(server.host, server.port, timeout=WAIT) as another:
            assert another.predict_action(BATCH).shape == (1, 1)


# ---------------------------------------------------------------- when there is too much to do


def test_calls_beyond_the_limit_are_refused_at_once_and_those_within_run_in_order(
    host: str,
) -> None:
    handler = GatedHandler()
    with (
        PolicyServer(handler, host=host, port=0, max_pending=2) as server,
        PolicyClient(server.host, server.port, timeout=WAIT) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        running = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        waiting = []
        for number in range(1, 3):
            waiting.append(pool.submit(client.predict_action, BATCH))
            while server._scheduler.unfinished < 1 + number:
                client.health_check()
        for _ in range(20):
            with pytest.raises(ResourceExhaustedError, match="2 calls wait for the policy") as told:
                client.predict_action(BATCH)
            assert told.value.never_ran
        with pytest.raises(ResourceExhaustedError, match="2 calls wait"):
            client.reset(retries=0)
        assert client.health_check()[0]
        handler.let_end(3)
        for call in (running, *waiting):
            assert call.result().shape == (1, 1)
        handler.let_end(1)
        assert client.predict_action(BATCH).shape == (1, 1)


def test_a_large_request_that_would_have_to_wait_is_refused_before_it_takes_memory() -> None:
    handler = GatedHandler()
    with (
        PolicyServer(handler, port=0, max_pending=0) as server,
        PolicyClient(server.host, server.port, timeout=WAIT) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        with pytest.raises(ResourceExhaustedError, match="0 calls wait"):
            client.predict_action([{"image": np.zeros(60_000_000, np.uint8)}])
        # Whatever of it was on its way already was given no memory.
        assert server._listener.memory._blocks == []
        handler.let_end(1)
        running.result()


def test_a_caller_that_asks_for_it_gets_its_turn_when_the_queue_has_room_again() -> None:
    handler = GatedHandler()
    with (
        PolicyServer(handler, port=0, max_pending=0) as server,
        PolicyClient(server.host, server.port, timeout=WAIT, retries=100) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(client.predict_action, BATCH)
        handler.wait_begun()
        second = pool.submit(client.predict_action, BATCH)
        handler.let_end(2)
        assert first.result().shape == second.result().shape == (1, 1)


@pytest.mark.parametrize("value", [-1, 1.5, "many"])
def test_a_number_of_waiting_calls_is_a_whole_one_and_none_below_zero(value: Any) -> None:
    with pytest.raises(InvalidValueError, match=rf"max_pending: {value!r}; at least 0"):
        PolicyServer(RecordingHandler(), port=0, max_pending=value)


# ---------------------------------------------------------------- going elsewhere


def test_a_server_that_stops_sends_its_clients_to_its_successor_and_loses_no_call() -> None:
    """Two servers on one port, as a supervisor has them when it replaces one."""
    handler = GatedHandler()
    with ThreadPoolExecutor(8) as pool:
        old = PolicyServer(handler, port=0)
        old.serve(block=False)
        with PolicyClient(old.host, old.port, timeout=WAIT, retries=20) as client:
            accepted = [pool.submit(client.predict_action, BATCH) for _ in range(4)]
            while old._scheduler.unfinished < 4:
                client.health_check()
            stopping = pool.submit(old.stop, grace=WAIT)
            while True:
                try:
                    new = PolicyServer(RecordingHandler(), port=old.port)
                    break
                except OSError:
                    assert not stopping.done()
            with new:
                # The same client's next call goes to the successor, while the old one works.
                assert client.predict_action(BATCH).shape == (1, 1)
                assert not stopping.done()
                handler.let_end(4)
                for call in accepted:
                    assert call.result().shape == (1, 1)
                stopping.result()
                assert client.predict_action(BATCH).shape == (1, 1)


def test_a_server_whose_clients_are_idle_stops_without_waiting_for_them() -> None:
    with connected(RecordingHandler(), host="127.0.0.1", timeout=WAIT) as (server, client):
        client.predict_action(BATCH)
        (connection,) = server._listener.connections
        connection.protocol.connection.last_sent -= 10  # it was that long ago
        assert connection in server._listener.connections
        server.stop(grace=WAIT)
        with pytest.raises(UnavailableError):
            client.predict_action(BATCH)
