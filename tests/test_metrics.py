# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What Prometheus reads is what happened: a real server, scraped over HTTP and parsed."""

from __future__ import annotations

import http.client
import platform
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from hosts import LOOPBACK, listen, port_of
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from praxis_remote import PolicyClient, PolicyServer, __version__
from praxis_remote.calls import METHODS
from praxis_remote.errors import HandlerError, InvalidArgumentError, StatusCode
from praxis_remote.metrics import Metrics, MetricsServer
from praxis_remote.metrics.server import _MAX_CONNECTIONS, _MAX_HEAD
from praxis_remote.records import CallRecord
from praxis_remote.reflection import REFLECTION
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler
from praxis_remote.timing import ServerTiming

WAIT = 30.0
BATCH = [{"observation.state": np.zeros(3, np.float32)}]
PHASES = ServerTiming._fields


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


def ask(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> Reply:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=WAIT)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        return Reply(response.status, dict(response.getheaders()), body)
    finally:
        connection.close()


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str, parse: Callable[[str], Any] = parse_text) -> None:
        self.families = {family.name: family for family in parse(text)}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        value: float = self.samples[f"praxis_remote_{name}", frozenset(labels.items())]
        return value

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Returns the samples by one label, those that are 0 left out."""
        return {
            dict(found)[label]: value
            for (full, found), value in self.samples.items()
            if full == f"praxis_remote_{name}" and labels.items() <= dict(found).items() and value
        }


class Ended:
    """Lets a test wait until calls have been counted, of which the caller learns before."""

    def __init__(self) -> None:
        self._calls = threading.Semaphore(0)

    def call_ended(self, record: CallRecord) -> None:
        self._calls.release()

    def wait(self, calls: int) -> None:
        for _ in range(calls):
            assert self._calls.acquire(timeout=WAIT)


class Scraped(NamedTuple):
    server: PolicyServer
    client: PolicyClient
    ended: Ended
    port: int

    def scrape(self) -> Scrape:
        return Scrape(ask(self.port).body)


@contextmanager
def scraped(handler: Any) -> Iterator[Scraped]:
    metrics, ended = Metrics(), Ended()
    with (
        PolicyServer(handler, port=0, observers=[metrics, ended]) as server,
        PolicyClient(LOOPBACK, server.port, timeout=WAIT) as client,
        MetricsServer(metrics, port=0) as exposed,
    ):
        metrics.watch(server)
        yield Scraped(server, client, ended, exposed.port)


def fail(prediction: Prediction) -> Any:
    kinds = {"value": ValueError("no"), "other": RuntimeError("no")}
    if (kind := (prediction.policy_kwargs or {}).get("raise")) is not None:
        raise kinds[str(kind)]
    return np.zeros((1, 2), np.float32)


def test_calls_are_counted_by_method_and_status() -> None:
    with scraped(RecordingHandler(fail)) as up:
        for _ in range(3):
            up.client.predict_action(BATCH)
        with pytest.raises(InvalidArgumentError):
            up.client.predict_action(BATCH, policy_kwargs={"raise": "value"})
        for _ in range(2):
            with pytest.raises(HandlerError):
                up.client.predict_action(BATCH, policy_kwargs={"raise": "other"})
        up.client.reset()
        up.client.health_check()
        up.ended.wait(8)
        scrape = up.scrape()
    assert scrape.by("calls_total", "status", method="Predict") == {
        "OK": 3,
        "INVALID_ARGUMENT": 1,
        "INTERNAL": 2,
    }
    assert scrape.by("calls_total", "method", status="OK") == {
        "Predict": 3,
        "Reset": 1,
        "HealthCheck": 1,
    }


def test_each_phase_has_as_many_times_as_calls_that_reached_it() -> None:
    with scraped(RecordingHandler(fail)) as up:
        for _ in range(4):
            up.client.predict_action(BATCH)
        with pytest.raises(HandlerError):
            up.client.predict_action(BATCH, policy_kwargs={"raise": "other"})
        up.ended.wait(5)
        calls = [record for record in up.server.recent_calls() if record.path.endswith("Predict")]
        scrape = up.scrape()
    name = "call_phase_duration_seconds"
    assert scrape.by(f"{name}_count", "phase", method="Predict") == {
        "receive": 5,
        "decode": 5,
        "queue": 5,
        "infer": 5,
        "encode": 4,
    }
    for index, phase in enumerate(PHASES):
        total = sum(record.timing[index] for record in calls)
        assert scrape(f"{name}_sum", method="Predict", phase=phase) == pytest.approx(total)
    total = sum(record.total for record in calls)
    assert scrape("call_duration_seconds_count", method="Predict") == 5
    assert scrape("call_duration_seconds_sum", method="Predict") == pytest.approx(total)


def test_bytes_are_counted_by_method() -> None:
    with scraped(RecordingHandler()) as up:
        up.client.predict_action(BATCH)
        up.client.predict_action(BATCH * 5)
        up.client.reset(episode_ids=["a"])
        up.ended.wait(3)
        status, scrape = up.server.status(), up.scrape()
        calls = up.server.recent_calls()
    for field in ("request_bytes", "response_bytes"):
        by_method = scrape.by(f"{field}_total", "method")
        assert by_method["Predict"] == sum(getattr(record, field) for record in calls[:2]) > 0
        assert sum(by_method.values()) == getattr(status, field)


def test_what_waits_and_runs_at_the_moment_is_told() -> None:
    policy = GatedHandler()
    with (
        scraped(policy) as up,
        PolicyClient(LOOPBACK, up.server.port, timeout=WAIT) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(up.client.predict_action, BATCH)
        policy.wait_begun()
        second = pool.submit(other.predict_action, BATCH)
        while up.server.status().waiting < 1:
            assert not second.done()
        scrape = up.scrape()
        policy.let_end(2)
        first.result(WAIT)
        second.result(WAIT)
        up.ended.wait(2)
        later = up.scrape()
    gauges = ("in_flight_calls", "waiting_calls", "connections")
    assert [scrape(name) for name in gauges] == [2, 1, 2]
    assert [later(name) for name in gauges] == [0, 0, 2]
    assert later("held_bytes") == 0
    assert later("uptime_seconds") > scrape("uptime_seconds") > 0


def test_memory_that_calls_hold_is_told() -> None:
    class Server:
        def status(self) -> Any:
            return status._replace(held_bytes=12345)

    with PolicyServer(RecordingHandler(), port=0) as server:
        status = server.status()
    metrics = Metrics()
    metrics.watch(Server())
    assert metrics.registry.get_sample_value("praxis_remote_held_bytes") == 12345


def test_whatever_is_called_the_labels_are_few() -> None:
    metrics = Metrics()

    def names() -> set[Any]:
        return set(Scrape(expose(metrics)).samples)

    for method in METHODS.values():
        for code in StatusCode:
            metrics.call_ended(record(path=method.path, code=code))
    metrics.call_ended(record(path="/a/b", code=StatusCode.UNIMPLEMENTED))
    before = names()
    for number in range(1000):
        path = f"/nobody.Knows/Method{number}"
        metrics.call_ended(
            record(path=path, code=StatusCode.UNIMPLEMENTED, peer=f"10.0.0.{number}")
        )
    assert names() == before
    scrape = Scrape(expose(metrics))
    assert scrape("calls_total", method="other", status="UNIMPLEMENTED") == 1001
    labels = {label for _, found in before for label, _ in found}
    build, stage = {"version", "python"}, {"praxis_remote_stage"}
    assert labels == {"method", "status", "phase", "le"} | build | stage


def expose(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def record(**values: Any) -> CallRecord:
    some: dict[str, Any] = {
        "path": METHODS["Predict"].path,
        "code": StatusCode.OK,
        "peer": "127.0.0.1:1",
        "timing": ServerTiming(),
        "total": 0.0,
        "request_bytes": 0,
        "response_bytes": 0,
        **values,
    }
    left = {name: () for name in CallRecord._fields if name not in some}
    return CallRecord(**{**left, **some})


@pytest.mark.parametrize(
    ("seconds", "le"),
    [
        (1e-9, "5e-05"),
        (50e-6, "5e-05"),
        (51e-6, "0.0001"),
        (0.5, "0.5"),
        (60.0, "60.0"),
        (61, None),
    ],
)
def test_a_time_counts_from_the_first_bound_that_it_does_not_exceed(
    seconds: float, le: str | None
) -> None:
    metrics = Metrics()
    metrics.call_ended(record(total=seconds))
    family = Scrape(expose(metrics)).families["praxis_remote_call_duration_seconds"]
    buckets = {
        sample.labels["le"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["method"] == "Predict"
    }
    bounds = list(buckets)
    assert bounds[-1] == "+Inf"
    assert [float(bound) for bound in bounds] == sorted(map(float, bounds))
    first = bounds.index(le or "+Inf")
    assert list(buckets.values()) == [0] * first + [1] * (len(bounds) - first)


def test_questions_of_tools_about_the_server_are_counted_by_their_own_names() -> None:
    metrics = Metrics()
    for path in ("/grpc.health.v1.Health/Check", *REFLECTION):
        metrics.call_ended(record(path=path))
    assert Scrape(expose(metrics)).by("calls_total", "method") == {
        "Health/Check": 1,
        "ServerReflection/ServerReflectionInfo": 2,
    }


def stage(scrape: Scrape) -> dict[str, float]:
    return scrape.by("stage", "praxis_remote_stage")


def test_the_stage_is_told_from_before_there_is_a_server_until_after_it() -> None:
    metrics = Metrics()
    assert stage(Scrape(expose(metrics))) == {"starting": 1}
    with PolicyServer(RecordingHandler(), port=0) as server:
        metrics.watch(server)
        with PolicyClient(LOOPBACK, server.port, timeout=WAIT) as client:
            client.wait_ready(WAIT)
        assert stage(Scrape(expose(metrics))) == {"serving": 1}
    assert stage(Scrape(expose(metrics))) == {"draining": 1}


def test_the_build_is_told() -> None:
    scrape = Scrape(expose(Metrics()))
    assert scrape("build_info", version=__version__, python=platform.python_version()) == 1


def test_the_users_registry_gets_nothing_but_our_metrics() -> None:
    registry = CollectorRegistry(auto_describe=True)
    metrics = Metrics(registry)
    assert metrics.registry is registry
    assert {family.name.startswith("praxis_remote_") for family in registry.collect()} == {True}


# ---------------------------------------------------------------- HTTP


@pytest.fixture
def exposed() -> Iterator[MetricsServer]:
    with MetricsServer(Metrics(), port=0) as server:
        yield server


def test_a_scraper_that_reads_openmetrics_gets_it(exposed: MetricsServer) -> None:
    reply = ask(exposed.port, Accept="application/openmetrics-text; version=1.0.0,*/*;q=0.1")
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    scrape = Scrape(reply.body, parse_openmetrics)
    assert scrape("calls_total", method="Predict", status="OK") == 0


def test_a_scraper_that_asks_for_nothing_special_gets_text(exposed: MetricsServer) -> None:
    reply = ask(exposed.port, path="/metrics?name=x")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert int(reply.headers["Content-Length"]) == len(reply.body.encode())
    assert "praxis_remote_calls" in Scrape(reply.body).families


def test_head_has_the_headers_alone(exposed: MetricsServer) -> None:
    with socket.create_connection((LOOPBACK, exposed.port), timeout=WAIT) as sock:
        sock.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        with sock.makefile("rb") as answer:
            head, body = answer.read().split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    found = re.search(rb"Content-Length: (\d+)", head)
    assert found is not None
    assert int(found[1]) > 1000
    assert body == b""


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/", 404, "the metrics are at /metrics"),
        ("GET", "/metrics/x", 404, "the metrics are at /metrics"),
        ("POST", "/metrics", 405, "use GET"),
    ],
)
def test_what_is_no_scrape_is_told_what_would_be_one(
    exposed: MetricsServer, method: str, path: str, status: int, said: str
) -> None:
    reply = ask(exposed.port, method, path)
    assert (reply.status, reply.body) == (status, said + "\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\xff\x00 \x80 HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.0\r\nno colon\r\n: x\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\n" + b"a" * _MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_whatever_bytes_come_the_answer_is_http(
    exposed: MetricsServer, sent: bytes, status: int
) -> None:
    with socket.create_connection((LOOPBACK, exposed.port), timeout=WAIT) as sock:
        sock.sendall(sent)
        with sock.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 %d " % status)
    assert ask(exposed.port).status == 200


def test_a_client_that_sends_nothing_is_left_after_a_while() -> None:
    with (
        MetricsServer(Metrics(), port=0, patience=0.01) as server,
        socket.create_connection((LOOPBACK, server.port), timeout=WAIT) as sock,
    ):
        assert received(sock) == b""


def received(sock: socket.socket) -> bytes:
    """Returns what comes until the end, be it a rude one."""
    try:
        return sock.recv(1)
    except ConnectionResetError:
        return b""


def test_clients_beyond_the_most_are_turned_away_and_the_others_served(
    exposed: MetricsServer,
) -> None:
    silent = [
        socket.create_connection((LOOPBACK, exposed.port), timeout=WAIT)
        for _ in range(_MAX_CONNECTIONS + 1)
    ]
    try:
        assert received(silent[-1]) == b""
        silent[0].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert silent[0].recv(12) == b"HTTP/1.1 200"
    finally:
        for sock in silent:
            sock.close()


def test_stopping_closes_the_port_and_the_connections_at_once() -> None:
    server = MetricsServer(Metrics(), port=0, patience=1e6)
    server.start()
    with socket.create_connection((LOOPBACK, server.port), timeout=WAIT) as sock:
        sock.sendall(b"GET ")
        assert ask(server.port).status == 200  # so that it is accepted
        server.stop()
        server.stop()
        assert received(sock) == b""
        with pytest.raises(ConnectionRefusedError):
            ask(server.port)
    assert not [each for each in threading.enumerate() if each.name == "praxis-remote-metrics"]


def test_a_server_that_was_never_started_gives_its_port_back() -> None:
    server = MetricsServer(Metrics(), port=0)
    server.stop()
    with socket.create_server((LOOPBACK, server.port)), pytest.raises(RuntimeError, match="once"):
        server.start()


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with listen(LOOPBACK) as sock, pytest.raises(OSError, match=f"{port_of(sock)}: Address alr"):
        MetricsServer(Metrics(), port=port_of(sock))


def test_what_fails_while_collecting_is_told_and_the_next_scrape_goes_well() -> None:
    class Server:
        broken = True

        def status(self) -> Any:
            if self.broken:
                raise ZeroDivisionError
            return status

    with PolicyServer(RecordingHandler(), port=0) as policy_server:
        status = policy_server.status()
    metrics, watched = Metrics(), Server()
    metrics.watch(watched)
    with MetricsServer(metrics, port=0) as server:
        assert ask(server.port).status == 500
        watched.broken = False
        assert ask(server.port).status == 200


# ---------------------------------------------------------------- without the extra


def test_without_prometheus_client_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import praxis_remote, praxis_remote.cli\n"
        "code = praxis_remote.cli.main(['serve', 'm:X', '--metrics-port', '0'])\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "praxis-remote: error: --metrics-port: metrics need prometheus-client; "
        "pip install 'praxis-remote[metrics]'\n"
    )
