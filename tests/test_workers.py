# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy in several processes behind one address: real processes, real connections."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from authority import Authority
from command import ERROR, TIMEOUT, fails
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded
from http2_peers import RawClient, framed
from processes import POLICIES, Gate, Process, Start, predict_at_gate
from workers import PATIENCE, Serve, Workers, asked, write_policies

from praxis_remote import ClientTLS, PolicyServer
from praxis_remote.calls import PREDICT, SESSION_ID, SHARED_MEMORY
from praxis_remote.errors import RemoteError, StatusCode, UnavailableError
from praxis_remote.schema import Observation as ObservationMessage
from praxis_remote.schema import PredictRequest, PredictResponse
from praxis_remote.schema.generated_health import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthCheckResponseServingStatus,
)
from praxis_remote.serialization import decode_numpy_array
from praxis_remote.testing import RecordingHandler

CHECK = "/grpc.health.v1.Health/Check"
REQUEST = framed(bytes(PredictRequest(observations=[ObservationMessage()])))


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two, for tests that leave them as they are."""
    folder = tmp_path_factory.mktemp("workers")
    write_policies(folder)
    words = ["serve", "policies:Member", "--port", "0", "--workers", "2", "--devices", "3,5"]
    words += ["--metrics-port", "0", "--limit", "handshake_seconds=0.2"]
    group = Workers(Process(*words, cwd=folder, patience=PATIENCE), 2)
    yield group
    group.close()
    group.stop()


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two, for tests that kill one and wait until it is back."""
    folder = tmp_path_factory.mktemp("mortal")
    write_policies(folder)
    words = ["serve", "policies:Member", "--port", "0", "--workers", "2"]
    group = Workers(Process(*words, cwd=folder, patience=PATIENCE), 2)
    yield group
    group.close()
    group.stop()


# ---------------------------------------------------------------- who goes where


def test_clients_are_shared_out_and_each_stays_with_one_process_and_device(
    workers: Workers,
) -> None:
    clients = [workers.client() for _ in range(8)]

    def ask_often(number: int) -> set[tuple[int, int]]:
        return {asked(clients[number]) for _ in range(20)}

    with ThreadPoolExecutor(8) as pool:
        homes = list(pool.map(ask_often, range(8)))
    assert [len(home) for home in homes] == [1] * 8
    found = [home for (home,) in homes]
    assert sorted(found.count(home) for home in set(found)) == [4, 4]
    assert {device for _, device in found} == {3, 5}
    for client in clients:
        client.close()


def test_a_session_finds_its_process_again_wherever_there_is_less_to_do(workers: Workers) -> None:
    homes = {}
    for number in range(6):
        with workers.client(session_id=f"robot-{number}") as client:
            homes[number] = asked(client)
    crowd = [workers.client() for _ in range(5)]
    for client in crowd:
        asked(client)
    for number in [*range(6), *range(6)]:
        with workers.client(session_id=f"robot-{number}") as client:
            assert asked(client) == homes[number]
    assert len(set(homes.values())) == 2
    for client in crowd:
        client.close()


def raw_predict(client: RawClient, *, flush: bool = True, session: str = "raw") -> int:
    stream = client.request(PREDICT.path, (SESSION_ID, session), flush=flush)
    client.h2.send_data(stream, REQUEST, end_stream=True)
    if flush:
        client.flush()
    return stream


def raw_answer(client: RawClient, stream: int) -> int:
    """Returns the process that answers."""
    data = client.wait_for(DataReceived, stream).data
    client.wait_for(StreamEnded, stream)
    return int(decode_numpy_array(PredictResponse().parse(data[5:]).action)[0])


def test_a_request_in_pieces_and_several_at_once_are_answered_as_any_other(
    workers: Workers,
) -> None:
    with workers.client(session_id="raw") as client:
        home, _ = asked(client)
    with closing(RawClient(workers.port)) as slow:
        stream = raw_predict(slow, flush=False)
        slow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in slow.h2.data_to_send():
            slow.sock.sendall(bytes([byte]))
        assert raw_answer(slow, stream) == home
        assert raw_answer(slow, raw_predict(slow)) == home
    with closing(RawClient(workers.port)) as quick:
        streams = [raw_predict(quick, flush=False) for _ in range(30)]
        quick.flush()
        assert {raw_answer(quick, stream) for stream in streams} == {home}


def test_a_large_first_request_arrives_whole(workers: Workers) -> None:
    big = {"image": np.zeros((5, 1024, 1024), np.uint8)}
    with workers.client() as client:
        assert len({client.predict_action([big])[0] for _ in range(3)}) == 1


def test_who_says_nothing_is_told_so_and_let_go(workers: Workers) -> None:
    with closing(socket.create_connection(("127.0.0.1", workers.port), TIMEOUT)) as silent:
        said = b""
        while data := silent.recv(4096):
            said += data
    assert b"no HTTP/2 settings came within 0.2 s" in said


def test_who_greets_and_waits_is_served_when_he_calls(workers: Workers) -> None:
    with closing(RawClient(workers.port)) as client:
        # Which a worker says: he has been let in although he has not called.
        client.sock.sendall(b"\0\0\x08\x06\0\0\0\0\0" + b"a ping! ")
        while b"a ping! " not in client.sock.recv(4096):
            pass
        assert raw_answer(client, raw_predict(client, session="late")) > 0


def test_who_speaks_no_http2_hears_the_same_as_from_one_server(workers: Workers) -> None:
    words = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n" + b"x" * 100
    said = []
    with PolicyServer(RecordingHandler(), port=0) as alone:
        for port in (workers.port, alone.port):
            with closing(socket.create_connection(("127.0.0.1", port), TIMEOUT)) as web:
                web.sendall(words)
                said.append(b"".join(iter(lambda: web.recv(4096), b"")))
    assert said[0] == said[1]
    workers.process.err.wait_for("the peer broke the protocol: Invalid HTTP/2 preamble")


# ---------------------------------------------------------------- other clients


def test_grpcio_is_served_and_finds_the_health_service(workers: Workers) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{workers.port}") as channel:
        grpc.channel_ready_future(channel).result(TIMEOUT)
        check = channel.unary_unary(
            CHECK,
            request_serializer=bytes,
            response_deserializer=lambda data: HealthCheckResponse().parse(data),
        )
        answer = check(HealthCheckRequest(), timeout=TIMEOUT)
        assert answer.status == HealthCheckResponseServingStatus.SERVING
        predict = channel.unary_unary(
            PREDICT.path,
            request_serializer=bytes,
            response_deserializer=lambda data: PredictResponse().parse(data),
        )
        request = PredictRequest(observations=[ObservationMessage()])
        pids = {
            int(decode_numpy_array(predict(request, timeout=TIMEOUT).action)[0]) for _ in range(3)
        }
    assert len(pids) == 1


# ---------------------------------------------------------------- numbers


def test_one_scrape_has_the_numbers_of_each_worker(workers: Workers) -> None:
    lines = workers.process.err.all or [workers.process.err.wait_for("metrics on http")]
    url = next(line for line in lines if "metrics on http" in line).split(" ")[-1]
    with workers.client() as client:
        _, device = asked(client)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            text = response.read().decode()
    for worker in (0, 1):
        assert f'praxis_remote_worker_up{{worker="{worker}"}} 1.0' in text
        assert f'praxis_remote_worker_restarts_total{{worker="{worker}"}} 0.0' in text
    own = f'praxis_remote_calls_total{{method="Predict",status="OK",worker="{(device - 3) // 2}"}}'
    match = re.search(rf"^{re.escape(own)} (.+)$", text, re.M)
    assert match is not None, text
    assert float(match[1]) > 0
    assert text.count("# TYPE praxis_remote_calls_total counter") == 1


def test_the_status_is_that_of_all_workers_together(mortal: Workers) -> None:
    clients = [mortal.client() for _ in range(4)]
    for client in clients:
        asked(client)
    for client in clients:
        status = client.status(seconds=300)
        assert status.connections == 4
        (predicted,) = (count for count in status.counts if "Predict" in count.method)
        assert predicted.calls == 4
        (recent,) = (each for each in status.recent if "Predict" in each.method)
        assert (recent.calls, recent.succeeded) == (4, 4)
        assert recent.total.max > 0
    for client in clients:
        client.close()


# ---------------------------------------------------------------- crashes


def test_a_killed_worker_costs_its_own_calls_and_comes_back(
    mortal: Workers, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    group = mortal
    (dead, [lost, idle, *_]), (alive, [kept, *_]) = group.clients_by_worker(2).items()
    running = predict_at_gate(lost, gate, pool)
    elsewhere = Gate()
    going_on = predict_at_gate(kept, elsewhere, pool)
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(UnavailableError) as error:
        running.result(TIMEOUT)
    assert not error.value.never_ran
    text = group.process.err.wait_for("is started again")
    assert re.search(r"worker [01] was killed by SIGKILL; its [1-9] connections are lost", text)
    elsewhere.close()
    assert going_on.result(TIMEOUT)[0] == alive
    group.process.err.wait_for("is back")
    # The session is free to go anywhere, and there is least to do where nobody is.
    assert asked(group.client(session_id=idle.session_id))[0] not in (dead, alive)
    assert asked(kept)[0] == alive


def test_a_connection_that_a_dying_worker_has_not_taken_goes_to_another(mortal: Workers) -> None:
    group = mortal
    (home, [dying, *_]), (alive, [living, *_]) = group.clients_by_worker(1).items()
    for client in (dying, living):
        client.close()
    os.kill(home, signal.SIGSTOP)
    try:
        client = group.client(session_id=dying.session_id, retries=0)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(asked, client)
            # The door has nothing else to do: it has handed that over when it accepts another.
            with closing(RawClient(group.port)) as other:
                raw_answer(other, raw_predict(other, session=living.session_id))
            os.kill(home, signal.SIGKILL)
            assert call.result(TIMEOUT)[0] == alive
    finally:
        with suppress(ProcessLookupError):
            os.kill(home, signal.SIGKILL)
    group.process.err.wait_for("is back")


def test_without_a_worker_callers_learn_that_nothing_of_theirs_ran_and_one_is_tried_again(
    serve_workers: Serve, tmp_path: Path
) -> None:
    group = serve_workers(number=1)
    client = group.client(retries=0)
    pid, _ = asked(client)
    (tmp_path / "no").write_text("it is not there")
    os.kill(pid, signal.SIGKILL)
    group.process.err.wait_for("worker 0 cannot serve, and is tried again: policies:Member")
    group.process.err.wait_for("worker 0 cannot serve, and is tried again: policies:Member")
    other = group.client(retries=0)
    with pytest.raises(UnavailableError, match="all workers are down") as error:
        asked(other)
    assert error.value.never_ran
    (tmp_path / "no").unlink()
    group.process.err.wait_for("worker 0 is back")
    assert asked(other)[0] != pid
    group.stop()


def test_when_the_door_is_killed_its_workers_end(serve_workers: Serve) -> None:
    group = serve_workers(number=1)
    client = group.client()
    asked(client)
    group.process.send(signal.SIGKILL)
    assert group.process.process.wait(TIMEOUT) == -signal.SIGKILL
    # Which is open as long as any of them lives.
    group.process.err.rest()
    with pytest.raises(UnavailableError):
        asked(client)


# ---------------------------------------------------------------- start and stop


def test_a_signal_to_all_processes_lets_running_calls_finish(
    serve_workers: Serve, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    group = serve_workers("--grace", str(TIMEOUT))
    clients = group.clients_by_worker(1)
    (here, [client, *_]), *_ = clients.items()
    call = predict_at_gate(client, gate, pool)
    for number in (signal.SIGINT, signal.SIGTERM):
        for pid in clients:
            os.kill(pid, number)
    group.process.send(signal.SIGTERM)
    group.process.err.wait_for("waiting for calls to finish")
    gate.open()
    assert call.result(TIMEOUT)[0] == here
    assert group.process.end() == 0


def test_a_second_signal_stops_at_once(
    serve_workers: Serve, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    group = serve_workers("--grace", str(TIMEOUT), number=1)
    call = predict_at_gate(group.client(), gate, pool)
    group.process.send(signal.SIGINT)
    group.process.err.wait_for("waiting for calls to finish")
    group.process.send(signal.SIGINT)
    with pytest.raises(UnavailableError, match="shutting down"):
        call.result(TIMEOUT)
    assert group.process.end() == 0


def test_a_policy_that_cannot_be_loaded_or_warmed_is_told_of_as_by_one_server(
    start: Start, tmp_path: Path
) -> None:
    write_policies(tmp_path)
    words = ["--port", "0", "--log-level", "error", "--workers", "1"]
    broken = start("serve", "policies:Outer.Broken", *words, patience=PATIENCE)
    place = POLICIES.splitlines().index('            raise RuntimeError("no weights")') + 1
    assert broken.end() == 1
    assert broken.err.all == [
        f"{ERROR}policies:Outer.Broken: calling Outer.Broken failed with RuntimeError: no weights, "
        f"raised at {tmp_path / 'policies.py'}:{place}; for its traceback add --log-level debug"
    ]
    cold = start("serve", "policies:Cold", *words, patience=PATIENCE)
    assert cold.end() == 1
    assert cold.err.all == [
        f"{ERROR}the policy's warmup() failed: RuntimeError: no heat; for its traceback add "
        "--log-level debug"
    ]


def test_a_worker_that_dies_while_it_loads_is_told_of(start: Start, tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    words = ["--port", "0", "--workers", "1"]
    process = start("serve", "dying:Policy", *words, patience=PATIENCE)
    assert process.end() == 1
    assert process.err.all[-1] == f"{ERROR}worker 0 was killed by SIGKILL"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--devices", "0"], "add --workers"),
        (["--workers", "1", "--devices", "0,1"], "2 for 1 workers"),
        (["--workers", "2", "--devices", "0,,1"], "commas"),
        (["--workers", "2", "--devices", "0 1"], "'0 1'; CUDA_VISIBLE_DEVICES has names such as"),
        (["--workers", "2", "--devices", "cuda:0,cuda:1"], "'cuda:0'; CUDA_VISIBLE_DEVICES has"),
        (["--workers", "0"], "at least 1"),
        (["--workers", "2", "--inspect-port", "0"], "--inspect-port"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in fails(capsys, 2, "serve", "policies:Member", *words)


# ---------------------------------------------------------------- UNIX sockets, TLS, tokens


def test_a_unix_socket_is_served_and_its_file_goes(
    serve_workers: Serve, socket_folder: Path
) -> None:
    path = socket_folder / "policy.sock"
    group = serve_workers("--host", f"unix:{path}", "--socket-mode", "600")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(group.clients_by_worker(1)) == 2
    group.stop()
    assert not path.exists()


def test_with_tls_and_tokens_sessions_find_their_process_and_others_nothing(
    serve_workers: Serve, authority: Authority, tmp_path: Path
) -> None:
    server, robot = authority.issue("server"), authority.issue("client", "robot-7")
    (tmp_path / "tokens").write_text("secret\n")
    group = serve_workers(
        *["--tls-cert", str(server.cert), "--tls-key", str(server.key)],
        *["--tls-client-ca", str(authority.ca), "--token-file", "tokens"],
    )
    tls = ClientTLS(authority.ca, robot.cert, robot.key)
    options: dict[str, Any] = {"tls": tls, "token": "secret"}
    homes = group.clients_by_worker(2, **options)
    for home, clients in homes.items():
        for client in clients:
            client.close()
            assert asked(group.client(session_id=client.session_id, **options))[0] == home
    big = {"image": np.arange(3 * 2**20, dtype=np.uint8)}
    with group.client(**options) as client:
        assert len(client.predict_action([big])) == 2
    with pytest.raises(RemoteError, match="token") as refused:
        asked(group.client(tls=tls, token="wrong", retries=0))
    assert refused.value.code() is StatusCode.UNAUTHENTICATED
    with pytest.raises(RemoteError, match="wants a certificate"):
        asked(group.client(tls=ClientTLS(authority.ca), retries=0))
    assert "the client showed no certificate" in group.process.err.wait_for("no connection was")
    with pytest.raises(RemoteError):
        asked(group.client(retries=0))
    group.stop()


def test_a_client_that_speaks_tls_shares_no_memory_with_the_door(
    serve_workers: Serve, authority: Authority
) -> None:
    server = authority.issue("server")
    group = serve_workers("--tls-cert", str(server.cert), "--tls-key", str(server.key), number=1)
    with closing(RawClient(group.port, authority.raw_client())) as client:
        offer = f"request=0;{'00' * 16};4096;64;64"
        stream = client.request(PREDICT.path, (SHARED_MEMORY, offer))
        client.data(stream, REQUEST)
        headers = dict(client.wait_for(ResponseReceived, stream).headers)
    assert headers.get("grpc-message") is None
    group.stop()


def test_a_client_that_is_told_to_go_away_was_told_by_a_worker(serve_workers: Serve) -> None:
    group = serve_workers(number=1)
    with closing(RawClient(group.port)) as client:
        raw_answer(client, raw_predict(client))
        group.process.send(signal.SIGTERM)
        goodbye = client.wait_for(ConnectionTerminated)
        assert goodbye.additional_data == b"the server is shutting down"
    assert group.process.end() == 0
