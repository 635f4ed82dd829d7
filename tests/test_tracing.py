# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Spans of both ends, collected by OpenTelemetry's own exporter.

The server's spans are all there once it has stopped.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest
from command import ROOT, TIMEOUT
from faces import Face
from h2.events import RequestReceived
from hosts import LOOPBACK, unused_port
from hpack import NeverIndexedHeaderTuple
from http2_peers import Peer, RawServer
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace import StatusCode as SpanStatus

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer
from praxis_remote.address import Address
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET, Metadata
from praxis_remote.context import current_request
from praxis_remote.errors import StatusCode, UnavailableError
from praxis_remote.http2 import server_call
from praxis_remote.records import CallRecord
from praxis_remote.schema import Empty, Observation, PredictRequest, StringField
from praxis_remote.testing import GatedHandler, RecordingHandler
from praxis_remote.timing import CallTiming, ServerTiming
from praxis_remote.tracing import CallTrace, RequestTrace, trace_call, trace_request

BATCH = [{"observation.state": np.zeros(3, np.float32)}]
PREDICT_NAME, HEALTH_NAME = PREDICT.path[1:], HEALTH_CHECK.path[1:]

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


class Spans:
    """What a program that traces has exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def of(self, kind: SpanKind, name: str = PREDICT_NAME) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is kind and span.name == name]

    def one(self, kind: SpanKind, name: str = PREDICT_NAME) -> ReadableSpan:
        (span,) = self.of(kind, name)
        return span


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Has this process trace."""
    spans = Spans()
    use(monkeypatch, spans.provider)
    return spans


def use(monkeypatch: pytest.MonkeyPatch, provider: TracerProvider) -> None:
    # A provider is set but once in a process, as far as its functions go.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)


def without_session(metadata: Metadata) -> list[tuple[str, str | bytes]]:
    return [field for field in metadata if field[0] != "praxis-session-id"]


class Tracing(RecordingHandler):
    """A policy with a span of its own, which remembers what the caller sent along."""

    def __init__(self, tracer: trace.Tracer) -> None:
        super().__init__(self._answer)
        self._tracer = tracer
        self.metadata: list[list[tuple[str, str | bytes]]] = []
        self.baggage: list[object] = []

    def _answer(self, _: object) -> Any:
        self.metadata.append(without_session(current_request().metadata))
        self.baggage.append(baggage.get_baggage("robot"))
        with self._tracer.start_as_current_span("forward"):
            return np.zeros((1, 2))


def belongs(span: ReadableSpan, parent: ReadableSpan | trace.Span) -> bool:
    theirs = parent.get_span_context()
    ours = span.get_span_context()
    assert theirs is not None
    assert ours is not None
    known = span.parent is not None and span.parent.span_id == theirs.span_id
    return known and ours.trace_id == theirs.trace_id


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def failures(span: ReadableSpan) -> list[Any]:
    return [
        (event.attributes or {}).get("exception.type")
        for event in span.events
        if event.name == "exception"
    ]


# ---------------------------------------------------------------- one call


def test_a_call_is_one_trace_from_the_callers_span_to_the_policys(
    face: Face, host: str, spans: Spans
) -> None:
    policy = Tracing(spans.tracer)
    with PolicyServer(policy, host=host, port=0) as server:
        client = face.client(server, host=server.host)
        with spans.tracer.start_as_current_span("episode") as episode:
            client.predict_action(BATCH)
            client.predict_action(BATCH, retries=2)
            client.reset()
            client.health_check()
    for name in (PREDICT_NAME, HEALTH_NAME, RESET.path[1:]):
        ours, theirs = spans.of(SpanKind.CLIENT, name), spans.of(SpanKind.SERVER, name)
        assert len(ours) == len(theirs) == (2 if name == PREDICT_NAME else 1)
        assert all(belongs(span, episode) for span in ours)
        assert all(belongs(*pair) for pair in zip(theirs, ours, strict=True))
    first = spans.of(SpanKind.SERVER)[0]
    assert belongs(spans.of(SpanKind.INTERNAL, "forward")[0], first)


def test_the_stub_is_traced_as_well(face: Face, spans: Spans) -> None:
    observation = Observation(strings=[StringField(key="a", value="b")])
    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        stub = face.client(server).stub
        with spans.tracer.start_as_current_span("episode") as episode:
            stub.predict(PredictRequest(observations=[observation]))
            stub.health_check(Empty())
    for name in (PREDICT_NAME, HEALTH_NAME):
        assert belongs(spans.one(SpanKind.CLIENT, name), episode)
        assert belongs(spans.one(SpanKind.SERVER, name), spans.one(SpanKind.CLIENT, name))


def test_spans_say_what_was_called_and_where(face: Face, host: str, spans: Spans) -> None:
    with PolicyServer(Tracing(spans.tracer), host=host, port=0) as server:
        face.client(server, host=server.host).predict_action(BATCH)
        address, port = server.host, server.port
    ours, theirs = facts(spans.one(SpanKind.CLIENT)), facts(spans.one(SpanKind.SERVER))
    for each in (ours, theirs):
        assert each["rpc.system"] == "grpc"
        assert each["rpc.service"] == "praxis_remote.PolicyService"
        assert each["rpc.method"] == "Predict"
        assert each["rpc.grpc.status_code"] == 0
    assert ours["server.address"] == address
    assert ours.get("server.port") == (port or None)
    assert theirs["client.address"] == address
    assert ("client.port" in theirs) == (host == LOOPBACK)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:5000", ("::1", 5000)),
        ("unix:/a/b:5000", ("unix:/a/b:5000", None)),
        ("unknown", ("unknown", None)),
    ],
)
def test_any_peer_has_an_address(spans: Spans, peer: str, expected: tuple[str, int | None]) -> None:
    record = CallRecord(PREDICT.path, StatusCode.OK, peer, ServerTiming(), 1.0, 1.0, 0, 0)
    RequestTrace(spans.tracer, PREDICT.path, peer, (), 0.0).end(record)
    said = facts(spans.one(SpanKind.SERVER))
    assert (said["client.address"], said.get("client.port")) == expected


def test_the_clients_span_has_the_phases_that_the_caller_is_told(face: Face, spans: Spans) -> None:
    told: list[CallTiming] = []
    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        face.client(server).predict_action(BATCH, on_timing=told.append)
    (timing,) = told
    assert timing.server is not None
    said = facts(spans.one(SpanKind.CLIENT))
    for name in ("encode", "network", "decode"):
        assert said[f"praxis_remote.{name}"] == getattr(timing, name)
    for name in ServerTiming._fields:
        assert said[f"praxis_remote.server.{name}"] == getattr(timing.server, name)


def test_the_servers_phases_follow_each_other_within_its_span(face: Face, spans: Spans) -> None:
    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        face.client(server).predict_action(BATCH)
    whole = spans.one(SpanKind.SERVER)
    phases = [spans.one(SpanKind.INTERNAL, name) for name in ServerTiming._fields]
    assert all(belongs(phase, whole) for phase in phases)
    at = whole.start_time
    for phase in phases:
        assert phase.start_time is not None
        assert at is not None
        assert abs(phase.start_time - at) <= 2000  # floats of seconds
        at = phase.end_time
    assert at is not None
    assert whole.end_time is not None
    assert at <= whole.end_time
    forward, infer = spans.one(SpanKind.INTERNAL, "forward"), phases[3]
    assert infer.start_time is not None
    assert infer.end_time is not None
    assert forward.start_time is not None
    assert infer.start_time - 10**6 < forward.start_time < infer.end_time + 10**6


def test_baggage_reaches_the_policy(face: Face, spans: Spans) -> None:
    policy = Tracing(spans.tracer)
    with PolicyServer(policy, port=0) as server:
        client = face.client(server)
        token = context.attach(baggage.set_baggage("robot", "left arm"))
        try:
            client.predict_action(BATCH)
        finally:
            context.detach(token)
    assert policy.baggage == ["left arm"]


# ---------------------------------------------------------------- a trace of the caller's own


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("of", ["client", "call"])
def test_a_traceparent_of_the_callers_reaches_the_policy_untouched(
    face: Face, of: str, traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = Spans()
    if traced:
        use(monkeypatch, spans.provider)
    policy = Tracing(spans.tracer)
    given = [("traceparent", TRACEPARENT), ("tracestate", "lab=1,other=" + "x" * 200)]
    with PolicyServer(policy, port=0) as server:
        client = face.client(server, metadata=given if of == "client" else None)
        token = context.attach(baggage.set_baggage("robot", "left arm"))
        try:
            client.predict_action(BATCH, metadata=given if of == "call" else None)
        finally:
            context.detach(token)
    assert policy.metadata == [given]
    ends = [*spans.of(SpanKind.CLIENT), *spans.of(SpanKind.SERVER)]
    assert len(ends) == (2 if traced else 0)
    for span in ends:
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == SPAN_ID
        assert f"{span.parent.trace_id:032x}" == TRACE_ID


def test_what_is_no_traceparent_begins_a_trace_and_costs_no_call(face: Face, spans: Spans) -> None:
    policy = Tracing(spans.tracer)
    with PolicyServer(policy, port=0) as server:
        face.client(server).predict_action(BATCH, metadata={"traceparent": "nonsense"})
    assert policy.metadata == [[("traceparent", "nonsense")]]
    assert spans.one(SpanKind.SERVER).parent is None


def test_a_trace_that_is_not_sampled_is_carried_and_not_exported(face: Face, spans: Spans) -> None:
    policy = Tracing(spans.tracer)
    span = trace.NonRecordingSpan(
        trace.SpanContext(int(TRACE_ID, 16), int(SPAN_ID, 16), is_remote=False)
    )
    with PolicyServer(policy, port=0) as server:
        client = face.client(server)
        with trace.use_span(span):
            client.predict_action(BATCH)
    assert spans.all() == []
    ((key, value),) = policy.metadata[0]
    assert key == "traceparent"
    assert str(value).startswith(f"00-{TRACE_ID}-")
    assert str(value).endswith("-00")


def test_a_grpcio_clients_traceparent_is_the_parent(spans: Spans) -> None:
    with (
        PolicyServer(Tracing(spans.tracer), port=0) as server,
        grpc.insecure_channel(f"{LOOPBACK}:{server.port}") as channel,
    ):
        call: Any = channel.unary_unary
        sent = {"metadata": (("traceparent", TRACEPARENT),), "timeout": TIMEOUT}
        call(HEALTH_CHECK.path)(b"", **sent)
        with pytest.raises(grpc.RpcError):
            call("/any.Other/Call")(b"", **sent)
    # No span for each path that somebody may think of.
    (span,) = [span for span in spans.all() if span.kind is SpanKind.SERVER]
    assert span.name == HEALTH_NAME
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN_ID


# ---------------------------------------------------------------- at once


def test_a_call_that_another_thread_carries_belongs_to_its_own_callers_span(spans: Spans) -> None:
    policy = GatedHandler()
    with PolicyServer(policy, port=0) as server, PolicyClient(port=server.port) as client:
        client.health_check()

        def drive() -> None:
            with spans.tracer.start_as_current_span("driver"):
                client.predict_action(BATCH)

        thread = threading.Thread(target=drive)
        thread.start()
        policy.wait_begun()  # that thread drives now
        with spans.tracer.start_as_current_span("carried"):
            client.health_check()
        policy.let_end()
        thread.join()
    driver, carried = (spans.one(SpanKind.INTERNAL, name) for name in ("driver", "carried"))
    assert belongs(spans.one(SpanKind.CLIENT), driver)
    ours, theirs = (spans.of(kind, HEALTH_NAME)[1] for kind in (SpanKind.CLIENT, SpanKind.SERVER))
    assert belongs(ours, carried)
    assert belongs(theirs, ours)


def test_each_task_has_its_own_spans(spans: Spans) -> None:
    async def episode(client: AsyncPolicyClient, number: int) -> None:
        with spans.tracer.start_as_current_span(f"episode {number}"):
            for _ in range(3):
                await client.predict_action(BATCH)

    async def main(port: int) -> None:
        async with AsyncPolicyClient(port=port, timeout=TIMEOUT) as client:
            await asyncio.gather(*(episode(client, number) for number in range(8)))

    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        asyncio.run(main(server.port))
    for number in range(8):
        outer = spans.one(SpanKind.INTERNAL, f"episode {number}")
        assert sum(belongs(span, outer) for span in spans.of(SpanKind.CLIENT)) == 3
    servers = {parent_of(span): span for span in spans.of(SpanKind.SERVER)}
    forwards = {parent_of(span): span for span in spans.of(SpanKind.INTERNAL, "forward")}
    assert len(servers) == len(forwards) == 24
    for span in spans.of(SpanKind.CLIENT):
        server_span = servers[own(span)]
        assert belongs(server_span, span)
        assert belongs(forwards[own(server_span)], server_span)


def own(span: ReadableSpan) -> int:
    ours = span.get_span_context()
    assert ours is not None
    return ours.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_in_a_notebook_a_blocking_call_belongs_to_the_span_of_its_cell(spans: Spans) -> None:
    async def cell(port: int) -> None:
        with spans.tracer.start_as_current_span("cell"), PolicyClient(port=port) as client:
            client.predict_action(BATCH)

    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        asyncio.run(cell(server.port))
    assert belongs(spans.one(SpanKind.CLIENT), spans.one(SpanKind.INTERNAL, "cell"))


def test_a_span_that_is_current_where_the_server_runs_is_nobodys_parent(spans: Spans) -> None:
    def call(port: int) -> None:
        with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            reset: Any = channel.unary_unary(RESET.path)
            reset(b"", timeout=TIMEOUT)

    async def main() -> None:
        server = PolicyServer(Tracing(spans.tracer), port=0)
        with spans.tracer.start_as_current_span("operator"):
            serving = asyncio.ensure_future(server.serve_async())
        await asyncio.to_thread(call, server.port)
        server.request_stop()
        await serving

    asyncio.run(main())
    assert spans.one(SpanKind.SERVER, RESET.path[1:]).parent is None


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("error", "code", "servers_fault"),
    [
        (KeyError("weights"), StatusCode.INTERNAL, True),
        (ValueError("no such camera"), StatusCode.INVALID_ARGUMENT, False),
    ],
)
def test_what_the_policy_raises_is_in_both_spans(
    face: Face, spans: Spans, error: Exception, code: StatusCode, servers_fault: bool
) -> None:
    def fail(_: object) -> Any:
        raise error

    with PolicyServer(RecordingHandler(fail), port=0) as server:
        client = face.client(server)
        with pytest.raises(Exception, match=str(error.args[0])):
            client.predict_action(BATCH)
    ours, theirs = spans.one(SpanKind.CLIENT), spans.one(SpanKind.SERVER)
    for span in (ours, theirs):
        assert facts(span)["rpc.grpc.status_code"] == code.value
    assert ours.status.status_code is SpanStatus.ERROR
    assert theirs.status.status_code is (SpanStatus.ERROR if servers_fault else SpanStatus.UNSET)
    assert len(failures(ours)) == 1
    assert failures(theirs) == [type(error).__name__]


def test_an_error_that_is_found_before_anything_is_sent_is_in_the_span(
    face: Face, spans: Spans
) -> None:
    client = face.client(1)
    with pytest.raises(TypeError):
        client.predict_action([{"a": object()}])
    span = spans.one(SpanKind.CLIENT)
    assert span.status.status_code is SpanStatus.ERROR
    assert len(failures(span)) == 1


def test_all_tries_are_one_span_that_tells_of_each(face: Face, spans: Spans) -> None:
    client = face.client(unused_port(LOOPBACK))
    with pytest.raises(UnavailableError):
        client.predict_action(BATCH, retries=2)
    span = spans.one(SpanKind.CLIENT)
    assert facts(span)["rpc.grpc.status_code"] == StatusCode.UNAVAILABLE.value
    assert [event.name for event in span.events] == ["retry", "retry", "exception"]


def test_a_call_that_is_cancelled_says_so_at_both_ends(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> Any:
        raise RuntimeError("too late to be of interest")

    policy = GatedHandler(fail)

    async def main(port: int) -> None:
        async with AsyncPolicyClient(port=port, timeout=TIMEOUT) as client:
            call = asyncio.ensure_future(client.predict_action(BATCH))
            await asyncio.to_thread(policy.wait_begun)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await client.health_check()  # by now the server knows
            policy.let_end()
            await client.reset()  # and by now the policy is done

    with PolicyServer(policy, port=0) as server:
        asyncio.run(main(server.port))
    ours, theirs = spans.one(SpanKind.CLIENT), spans.one(SpanKind.SERVER)
    assert belongs(theirs, ours)
    for span in (ours, theirs):
        assert facts(span)["rpc.grpc.status_code"] == StatusCode.CANCELLED.value
    assert ours.status.status_code is SpanStatus.ERROR
    assert theirs.status.status_code is SpanStatus.UNSET
    reached = {span.name for span in spans.all() if belongs(span, theirs)}
    assert reached == {"receive", "decode", "queue"}
    assert "ended span" not in caplog.text


@pytest.mark.parametrize("when", ["made", "ended"])
def test_a_processor_of_spans_that_fails_costs_neither_call_nor_connection(
    face: Face, spans: Spans, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    class Failing(SimpleSpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if span.kind is SpanKind.SERVER and when == "made":
                raise OSError("no collector")

        def on_end(self, span: ReadableSpan) -> None:
            if span.kind is SpanKind.SERVER:
                raise OSError("no collector")

    spans.provider.add_span_processor(Failing(InMemorySpanExporter()))
    with PolicyServer(RecordingHandler(), port=0) as server:
        client = face.client(server)
        client.predict_action(BATCH)
        client.predict_action(BATCH)
        assert server.status().connections == 1
    assert f"could not be {when}" in caplog.text


# ---------------------------------------------------------------- on the wire


def test_what_is_sent_with_one_call_alone_is_kept_out_of_the_compressions_table(
    face: Face, spans: Spans
) -> None:
    received: list[Any] = []

    def take(peer: Peer) -> None:
        received.extend(peer.wait_for(RequestReceived).headers)
        peer.close()

    with RawServer(take) as server:
        client = face.client(server.port, metadata={"robot": "left"})
        with pytest.raises(UnavailableError):
            client.predict_action(BATCH, metadata={"step": "7"})
    never = {str(field[0]) for field in received if isinstance(field, NeverIndexedHeaderTuple)}
    assert never == {"step", "traceparent", "grpc-timeout"}


def test_ever_new_traces_do_not_drive_out_what_the_server_remembers(spans: Spans) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, port=0) as server, PolicyClient(port=server.port) as client:
        client.predict_action(BATCH)
        before = server_call._remember_headers.cache_info().misses
        for _ in range(3):
            client.predict_action(BATCH)
        assert server_call._remember_headers.cache_info().misses == before


def test_a_deadline_and_the_callers_metadata_hold_beside_a_trace(face: Face, spans: Spans) -> None:
    seen: list[tuple[float | None, list[str]]] = []

    def look(_: object) -> Any:
        request = current_request()
        seen.append((request.remaining(), [key for key, _ in without_session(request.metadata)]))
        return np.zeros((1, 2))

    with PolicyServer(RecordingHandler(look), port=0) as server:
        client = face.client(server, metadata={"robot": "left"})
        client.predict_action(BATCH, timeout=50, metadata={"step": "7"})
    ((seconds, keys),) = seen
    assert seconds is not None
    assert 0 < seconds <= 50
    assert keys == ["robot", "step", "traceparent"]


# ---------------------------------------------------------------- programs that do not trace


def test_a_program_that_has_set_no_provider_sends_nothing(face: Face) -> None:
    policy = Tracing(trace.NoOpTracer())
    with PolicyServer(policy, port=0) as server:
        face.client(server).predict_action(BATCH)
    assert policy.metadata == [[]]
    # Nor is anything made for its calls.
    assert type(trace_call(PREDICT.path, Address("a", 1), (), ())) is CallTrace
    assert trace_request(PREDICT.path, "a:1", (), 0.0) is None


def test_opentelemetrys_own_switch_turns_it_off(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    spans = Spans()
    use(monkeypatch, spans.provider)
    policy = Tracing(spans.tracer)
    with PolicyServer(policy, port=0) as server:
        face.client(server).predict_action(BATCH)
    assert policy.metadata == [[]]
    assert spans.all() == []


# Runs the program after what a test puts in front of it.
CALL = """
import sys

import numpy as np

from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.testing import RecordingHandler

with PolicyServer(RecordingHandler(), port=0) as server, PolicyClient(port=server.port) as client:
    client.predict_action([{"a": 1}], metadata={"traceparent": "00-1-2-01"})
    client.health_check()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""

BLOCKED = """
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ImportError(name)


sys.meta_path.insert(0, Blocker())
"""


def test_a_look_while_another_thread_imports_opentelemetry_finds_nothing(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    with PolicyServer(RecordingHandler(), port=0) as server:
        face.client(server).predict_action(BATCH)


@pytest.mark.parametrize("before", ["", BLOCKED])
def test_opentelemetry_is_neither_needed_nor_imported(before: str) -> None:
    assert run(before + CALL) == "[]"


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Calls the port that it is given, within a span, and prints its ids.
CALLER = """
import json
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from praxis_remote import PolicyClient

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with PolicyClient(port=PORT, timeout=20) as client:
    client.predict_action([{"a": 1}])
(span,) = exporter.get_finished_spans()
print(json.dumps([span.context.trace_id, span.context.span_id]))
"""


def test_two_processes_have_one_trace(spans: Spans) -> None:
    with PolicyServer(Tracing(spans.tracer), port=0) as server:
        trace_id, span_id = json.loads(run(CALLER.replace("PORT", str(server.port))))
    span = spans.one(SpanKind.SERVER)
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (trace_id, span_id)
    assert span.parent.is_remote
