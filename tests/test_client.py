# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What both clients promise (`face` runs a test with each), and what only blocking ones can."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import Face
from hosts import LOOPBACK, listen, port_of, unused_port
from http2_peers import Peer, RawServer
from test_http2 import answer

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer, current_request
from praxis_remote.address import check_address
from praxis_remote.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    MessageTooLargeError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
    UnsupportedTypeError,
)
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler, connected
from praxis_remote.tls import ClientTLS

BATCH = [{"observation.state": np.zeros(3, np.float32)}]
WAIT = 30.0


def echo_number(prediction: Prediction) -> Any:
    return np.array([prediction.observations[0]["number"]])


# ---------------------------------------------------------------- calls


def test_what_is_sent_arrives_and_what_is_returned_comes_back(face: Face, host: str) -> None:
    action = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    handler = RecordingHandler(lambda _: action)
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    batch: list[Any] = [
        {"image": image, "state": np.array([1, 2], np.float32), "task": "go", "grip": True},
        {"image": image[::2, ::-1], "n": 5, "x": np.float32(0.5), "list": [1.0, 2.0]},
    ]
    kwargs = {"a": [1, None, {"b": (True, "t")}], "c": 2.5}
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server)
        received = client.predict_action(batch, policy_kwargs=kwargs, episode_ids=["e1", "e2"])
    assert received.dtype == np.float64
    assert np.array_equal(received, action)
    received[0] = 1  # writable
    (prediction,) = handler.predictions
    assert prediction.policy_kwargs == {"a": [1, None, {"b": [True, "t"]}], "c": 2.5}
    assert prediction.episode_ids == ("e1", "e2")
    first, second = prediction.observations
    assert list(first) == ["image", "state", "task", "grip"]
    assert np.array_equal(first["image"], image)
    assert (first["task"], first["grip"]) == ("go", True)
    assert np.array_equal(second["image"], image[::2, ::-1])
    assert (second["n"], second["x"]) == (5, 0.5)
    assert np.array_equal(second["list"], [1.0, 2.0])


def test_kwargs_and_ids_that_are_not_sent_arrive_as_none_at_all(face: Face, host: str) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=host, port=0) as server:
        face.client(server).predict_action(BATCH)
    assert handler.predictions[0].policy_kwargs == {}
    assert handler.predictions[0].episode_ids is None


def test_one_observation_may_be_given_in_parts(face: Face, host: str) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server)
        client.predict_action_from_parts(
            np.zeros(2, np.float32),
            {"front": np.zeros((2, 2, 3), np.uint8), "observation.depth": np.ones((2, 2))},
            "pick the cube",
            policy_kwargs={"k": 1},
            episode_id="e",
        )
        client.predict_action_from_parts()
    first, second = handler.predictions
    assert set(first.observations[0]) == {
        "observation.state",
        "observation.images.front",
        "observation.depth",
        "task",
    }
    assert (first.policy_kwargs, first.episode_ids) == ({"k": 1}, ("e",))
    assert (second.observations, second.episode_ids) == ([{}], None)


def test_reset_tells_which_episodes_and_an_empty_list_means_all(face: Face, host: str) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server)
        assert client.reset() is True
        assert client.reset(episode_ids=["a", "b"]) is True
        assert client.reset(episode_ids=[]) is True
    assert handler.resets == [None, ("a", "b"), None]


def test_a_60_mb_batch_and_a_10_mb_action_go_through(face: Face, host: str) -> None:
    action = np.random.default_rng(0).random(1_250_000)
    frames = [np.full((1024, 1024, 3), number, np.uint8) for number in range(19)]
    handler = RecordingHandler(lambda _: action)
    with PolicyServer(handler, host=host, port=0) as server:
        received = face.client(server).predict_action([{"image": frame} for frame in frames])
    assert np.array_equal(received, action)
    for frame, observation in zip(frames, handler.predictions[0].observations, strict=True):
        assert np.array_equal(observation["image"], frame)


# ---------------------------------------------------------------- requests at fault


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"observations": []}, ValueError, "batch is empty"),
        ({"observations": {"a": 1}}, TypeError, "pass a list of mappings"),
        ({"observations": [{"a": np.zeros(1, np.float16)}]}, TypeError, "'a'.*float16"),
        ({"observations": [{"a": 2**63}]}, ValueError, "'a'.*9223372036854775808"),
        ({"observations": [{1: 1, "1": 2}]}, ValueError, "'1'"),
        ({"observations": BATCH, "episode_ids": []}, ValueError, "0 ids for 1 observations"),
        ({"observations": BATCH, "episode_ids": "a"}, TypeError, "one text"),
        ({"observations": BATCH, "policy_kwargs": {"k": {"s": {1}}}}, TypeError, "'k'.*'s'.*set"),
        ({"observations": BATCH, "timeout": 0}, ValueError, "timeout: 0"),
        ({"observations": BATCH, "timeout": -1}, ValueError, "timeout: -1"),
    ],
)
def test_a_request_that_cannot_be_sent_is_an_error_that_names_the_key(
    face: Face, arguments: dict[str, Any], kind: type[Exception], text: str
) -> None:
    client = face.client(unused_port(LOOPBACK))
    with pytest.raises(kind, match=text) as raised:
        client.predict_action(**arguments)
    assert isinstance(raised.value, RemoteError)
    assert raised.value.code().name == "INVALID_ARGUMENT"


def test_a_request_over_the_limit_is_an_error_on_either_side(face: Face, host: str) -> None:
    big = [{"a": np.zeros(5000, np.uint8)}]
    handler = RecordingHandler()
    with PolicyServer(handler, host=host, port=0, max_message_size=1000) as server:
        careful = face.client(server, max_message_size=1000)
        with pytest.raises(MessageTooLargeError, match=r"request of 50\d\d bytes .* 1000 bytes"):
            careful.predict_action(big)
        careless = face.client(server)
        with pytest.raises(ResourceExhaustedError, match=r"request of 50\d\d bytes .* 1000 bytes"):
            careless.predict_action(big)
        assert careless.predict_action([{"a": 1}]).shape == (1, 1)
    assert len(handler.predictions) == 1


def test_a_large_request_over_the_limit_is_refused_without_waiting_for_all_of_it(
    face: Face,
    host: str,
) -> None:
    with PolicyServer(RecordingHandler(), host=host, port=0, max_message_size=1000) as server:
        client = face.client(server)
        with pytest.raises(ResourceExhaustedError):
            client.predict_action([{"a": np.zeros(60_000_000, np.uint8)}])
        assert client.health_check()[0]


def test_a_response_over_the_clients_limit_is_an_error_and_the_next_call_is_answered(
    face: Face,
    host: str,
) -> None:
    handler = RecordingHandler(lambda p: np.zeros(p.observations[0]["size"], np.uint8))
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server, max_message_size=1000)
        with pytest.raises(MessageTooLargeError, match=r"response of \d+ bytes .* 1000 bytes"):
            client.predict_action([{"size": 5_000_000}])
        assert client.predict_action([{"size": 10}]).shape == (10,)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"host": ""}, "host: ''"),
        ({"host": "unix:"}, "write unix:PATH"),
        ({"host": "unix:a", "port": 1}, "port: 1; unix:a has none"),
        ({"port": 0}, "port: 0"),
        ({"timeout": 0}, "timeout: 0"),
        ({"timeout": math.nan}, "timeout: nan"),
        ({"port": "grpc"}, "port: 'grpc'; allowed: 1 to 65535"),
        ({"port": 50051.5}, "port: 50051.5; allowed: 1 to 65535"),
        ({"metadata": {5: "x"}}, "metadata: key 5; allowed: lower-case letters"),
        ({"timeout": "soon"}, "timeout: 'soon' seconds; pass a positive number"),
        ({"max_message_size": 0}, "max_message_size: 0"),
        ({"retries": -1}, "retries: -1"),
        ({"keepalive": 0}, "keepalive: 0"),
        ({"keepalive": math.nan}, "keepalive: nan"),
        ({"keepalive": "soon"}, "keepalive: 'soon'"),
        ({"metadata": {"Bad": "x"}}, "'Bad'"),
        ({"metadata": {"praxis-session-id": "x"}}, "give it to the client as session_id="),
        ({"session_id": ""}, "session_id: ''; allowed: at least one character"),
        ({"session_id": " x"}, "session_id: ' x'; .*no spaces around it"),
        ({"session_id": "\u00e9"}, "session_id: '\u00e9'; allowed: printable ASCII"),
        ({"session_id": "a\n"}, "allowed: printable ASCII"),
        ({"session_id": 7}, "session_id: 7; allowed: printable ASCII"),
    ],
)
@pytest.mark.parametrize("kind", [PolicyClient, AsyncPolicyClient])
def test_options_that_cannot_be_are_errors_that_name_them(
    kind: type[Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        kind(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_message_size": "1"}, "max_message_size: '1'; pass an integer"),
        ({"metadata": 5}, "metadata: int; pass a mapping, or pairs of key and value"),
        ({"metadata": "robot"}, "metadata: str; pass a mapping"),
        ({"host": None}, "host: None; pass a host name or an IP address as a str"),
        ({"tls": ClientTLS(5)}, "tls: ca: int; pass a file's path"),  # type: ignore[arg-type]
        ({"on_timing": 3}, "on_timing: int; pass a function of one CallTiming, or None"),
    ],
)
@pytest.mark.parametrize("kind", [PolicyClient, AsyncPolicyClient])
def test_options_of_another_type_are_errors_that_say_what_to_pass(
    kind: type[Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        kind(**options)


# ---------------------------------------------------------------- servers at fault


def test_a_server_that_is_not_there_is_a_connection_error_with_its_address(
    face: Face, host: str
) -> None:
    port = unused_port(host)
    client = face.client(port, host)
    with pytest.raises(UnavailableError, match="is the server running") as raised:
        client.health_check()
    assert isinstance(raised.value, ConnectionError)
    assert raised.value.address == str(check_address(host, port))


def test_a_host_that_nobody_knows_is_a_connection_error(face: Face) -> None:
    client = face._make("no.such.host.invalid", 1, timeout=WAIT)
    try:
        with pytest.raises(UnavailableError, match="cannot connect"):
            client.health_check()
    finally:
        client.close()


def test_a_server_that_accepts_and_says_nothing_costs_no_more_than_the_timeout(
    face: Face, host: str
) -> None:
    with listen(host) as silent:
        client = face.client(port_of(silent), host)
        with pytest.raises(DeadlineExceededError, match="before a connection was made") as raised:
            client.health_check(timeout=0.1)
    assert isinstance(raised.value, TimeoutError)


def test_a_server_that_speaks_something_else_is_a_connection_error(face: Face, host: str) -> None:
    with listen(host) as listener:

        def speak() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                while sock.recv(1000):
                    pass

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        client = face.client(port_of(listener), host)
        with pytest.raises(UnavailableError, match="address of a policy server"):
            client.health_check(retries=0)  # it speaks to the first connection only
        thread.join(WAIT)


def test_a_call_that_takes_too_long_is_a_timeout_and_its_late_answer_goes_to_nobody(
    face: Face,
    host: str,
) -> None:
    handler = GatedHandler(echo_number)
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server)
        with pytest.raises(DeadlineExceededError, match="passed before") as raised:
            client.predict_action([{"number": 1}], timeout=0.1)
        assert raised.value.address == server.address
        handler.let_end(3)
        assert client.predict_action([{"number": 2}]) == [2]
        assert client.predict_action([{"number": 3}]) == [3]


def test_the_clients_own_timeout_holds_for_calls_without_one(face: Face, host: str) -> None:
    handler = GatedHandler()
    with PolicyServer(handler, host=host, port=0) as server:
        client = face.client(server, timeout=0.1)
        with pytest.raises(DeadlineExceededError):
            client.predict_action(BATCH)
        handler.let_end(2)
        client.predict_action(BATCH, timeout=math.inf)


def test_a_server_that_dies_during_a_call_is_a_connection_error_and_a_new_one_is_found(
    face: Face,
    host: str,
) -> None:
    program = textwrap.dedent("""
        import sys
        from praxis_remote import PolicyServer
        from praxis_remote.testing import GatedHandler
        class Loud(GatedHandler):
            def predict_action(self, *args, **kwargs):
                print("begun", flush=True)
                return super().predict_action(*args, **kwargs)
        server = PolicyServer(Loud(), host=sys.argv[1], port=0)
        print(server.port, flush=True)
        server.serve()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, host], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        client = face.client(port, host)

        def kill_when_begun() -> None:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            process.kill()

        killer = threading.Thread(target=kill_when_begun)
        killer.start()
        with pytest.raises(UnavailableError):
            client.predict_action(BATCH)
        killer.join(WAIT)
    with pytest.raises(UnavailableError):
        client.health_check()
    with PolicyServer(RecordingHandler(), host=host, port=port):
        assert client.wait_ready(WAIT) == "RecordingHandler"
        assert client.predict_action(BATCH).shape == (1, 1)


def test_a_restarted_server_is_found_by_the_next_call(face: Face, host: str) -> None:
    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        client = face.client(server)
        assert client.health_check()[0]
    with PolicyServer(RecordingHandler(), host=host, port=server.port):
        # The async client's loop has not run since: it learns of the loss with this call.
        if isinstance(client, PolicyClient):
            assert client.health_check()[0]
        else:
            assert client.wait_ready(WAIT)


def test_waiting_for_a_server_ends_when_it_is_there(face: Face, host: str) -> None:
    port = unused_port(host)
    client = face.client(port, host)
    started: list[PolicyServer] = []
    timer = threading.Timer(
        0.1,
        lambda: started.append(PolicyServer(RecordingHandler(), host=host, port=port).__enter__()),
    )
    timer.start()
    try:
        assert client.wait_ready(WAIT) == "RecordingHandler"
    finally:
        timer.join()
        started[0].stop()


def test_waiting_for_a_server_ends_with_the_timeout_and_says_what_was_met(
    face: Face, host: str
) -> None:
    client = face.client(unused_port(host), host)
    with pytest.raises(DeadlineExceededError, match=r"not ready within 0\.1 s; last: cannot con"):
        client.wait_ready(0.1)


# ---------------------------------------------------------------- metadata


def test_a_clients_metadata_goes_with_every_call(face: Face, host: str) -> None:
    seen = []

    def answer(_: Prediction) -> Any:
        seen.append(dict(current_request().metadata))
        return np.zeros(1)

    with PolicyServer(RecordingHandler(answer), host=host, port=0) as server:
        client = face.client(server, metadata=[("robot", "left"), ("key-bin", b"\0")])
        client.predict_action(BATCH)
    session = {"praxis-session-id": client.session_id}
    assert seen == [{"robot": "left", "key-bin": b"\0", **session}]


# ---------------------------------------------------------------- life of a client


def test_a_closed_client_says_so_and_closing_twice_is_fine(face: Face, host: str) -> None:
    with PolicyServer(RecordingHandler(), host=host, port=0) as server:
        client = face.client(server)
        client.health_check()
        client.close()
        client.close()
        with pytest.raises(CallCancelledError, match="make a new one"):
            client.health_check()


def test_a_client_that_never_called_can_be_closed(face: Face) -> None:
    client = face.client(unused_port(LOOPBACK))
    client.close()
    with pytest.raises(CallCancelledError, match="make a new one"):
        client.health_check()


@pytest.mark.parametrize("kind", [PolicyClient, AsyncPolicyClient])
@pytest.mark.parametrize(("host", "port"), [("gpu-box", 1234), ("unix:policy.sock", 0)])
def test_a_pickled_client_calls_the_same_server_with_the_same_options(
    kind: type[Any], host: str, port: int
) -> None:
    client = kind(host, port, timeout=2.0, metadata={"robot": "left"})
    copy = pickle.loads(pickle.dumps(client))
    assert copy.address == client.address
    assert copy.__getstate__() == client.__getstate__()
    assert repr(copy) == f"{kind.__name__}({client.address!r})"


def test_a_client_that_nobody_closed_is_closed_with_its_last_reference() -> None:
    def script(peer: Peer) -> None:
        answer(peer)
        peer.wait_closed()

    with RawServer(script) as server:  # which waits for the end of the script
        client = PolicyClient("127.0.0.1", server.port, timeout=WAIT)
        client.health_check()
        del client
        gc.collect()


def test_it_works_where_an_event_loop_runs_already_as_in_a_notebook(host: str) -> None:
    async def cell(client: PolicyClient) -> Any:
        return client.predict_action([{"number": 7}])

    with connected(RecordingHandler(echo_number), host=host, timeout=WAIT) as (_, client):
        assert asyncio.run(cell(client)) == [7]


def test_threads_may_share_a_client_and_each_gets_its_own_answer(host: str) -> None:
    with (
        connected(RecordingHandler(echo_number), host=host, timeout=WAIT) as (_, client),
        ThreadPoolExecutor(16) as pool,
    ):
        answers = pool.map(lambda n: int(client.predict_action([{"number": n}])[0]), range(300))
        assert list(answers) == list(range(300))


def test_ctrl_c_ends_a_call_and_its_answer_goes_to_nobody(host: str) -> None:
    handler = GatedHandler(echo_number)

    def interrupt() -> None:
        handler.wait_begun()
        os.kill(os.getpid(), signal.SIGINT)

    with connected(handler, host=host, timeout=WAIT) as (_, client):
        for number in range(5):
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                client.predict_action([{"number": -1}])
            thread.join(WAIT)
            handler.let_end(2)
            assert client.predict_action([{"number": number}]) == [number]
            handler.wait_begun()


def _call_in_child(client: PolicyClient, number: int) -> int:
    return int(client.predict_action([{"number": number}])[0])


def test_a_spawned_worker_gets_a_client_of_its_own(host: str) -> None:
    with connected(RecordingHandler(echo_number), host=host, timeout=WAIT) as (_, client):
        assert client.predict_action([{"number": 1}]) == [1]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            answers = pool.starmap(_call_in_child, [(client, n) for n in range(4)])
        assert answers == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_a_connection_of_its_own_and_the_parent_keeps_its(host: str) -> None:
    program = textwrap.dedent("""
        import os, sys
        from concurrent.futures import ThreadPoolExecutor
        from praxis_remote import PolicyClient
        client = PolicyClient(sys.argv[1], int(sys.argv[2]), timeout=30)
        closed = PolicyClient(sys.argv[1], int(sys.argv[2]), timeout=30)
        closed.close()
        assert client.predict_action([{"number": 1}]) == [1]
        children = []
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                for number in range(100, 120):
                    assert client.predict_action([{"number": number}]) == [number]
                try:
                    closed.health_check()
                except Exception as error:
                    assert "closed" in str(error)
                else:
                    raise AssertionError("a closed client called")
                sys.exit(0)  # with all finalizers, unlike os._exit
            children.append(pid)
        for number in range(200, 250):
            assert client.predict_action([{"number": number}]) == [number]
        for pid in children:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert client.predict_action([{"number": 2}]) == [2]
        # A thread whose call another one carries is still noticed after a child's exit.
        with ThreadPoolExecutor(8) as pool:
            calls = pool.map(lambda n: client.predict_action([{"number": n}]), range(100))
            assert [int(action[0]) for action in calls] == list(range(100))
        client.close()
        print("fine")
    """)
    with PolicyServer(RecordingHandler(echo_number), host=host, port=0) as server:
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, server.host, str(server.port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (result.stdout, result.returncode) == ("fine\n", 0), result.stderr


# ---------------------------------------------------------------- one face of the other


@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "predict_action",
        "predict_action_from_parts",
        "reset",
        "health_check",
        "wait_ready",
        "close",
    ],
)
def test_both_clients_have_the_same_methods_with_the_same_documentation(name: str) -> None:
    blocking, original = getattr(PolicyClient, name), getattr(AsyncPolicyClient, name)
    assert inspect.signature(blocking) == inspect.signature(original)
    assert blocking.__doc__ == original.__doc__


def test_both_clients_offer_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(PolicyClient) == names(AsyncPolicyClient)


def test_invalid_arguments_from_the_server_are_value_errors(face: Face, host: str) -> None:
    def answer(_: Prediction) -> Any:
        raise ValueError("wrong camera")

    with (
        PolicyServer(RecordingHandler(answer), host=host, port=0) as server,
        pytest.raises(InvalidArgumentError, match="wrong camera") as raised,
    ):
        face.client(server).predict_action(BATCH)
    assert isinstance(raised.value, ValueError)
    assert not isinstance(raised.value, UnsupportedTypeError)


def test_an_error_that_is_kept_keeps_no_sockets_of_a_client_that_was_closed() -> None:
    gc.collect()
    before = open_files()
    gc.disable()
    try:
        kept = []
        for _ in range(3):
            client = PolicyClient("127.0.0.1", unused_port(LOOPBACK), timeout=30)
            with pytest.raises(UnavailableError) as raised:
                client.predict_action([{"a": 1}])
            kept.append(raised.value)
            client.close()
        assert open_files() == before
    finally:
        gc.enable()


def open_files() -> int:
    """Returns how many files this process has open."""
    return len(list(Path("/dev/fd").iterdir()))
