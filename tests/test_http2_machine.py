# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
import inspect
import signal
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import h2.connection
import h2.stream
import hpack
import pytest
from grpclib import protocol as grpclib_protocol
from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    StreamEnded,
    TrailersReceived,
)
from h2.exceptions import (
    FlowControlError,
    FrameTooLargeError,
    H2Error,
    InvalidBodyLengthError,
    ProtocolError,
    TooManyStreamsError,
)
from h2.settings import SettingCodes
from h2.stream import H2Stream, H2StreamStateMachine, StreamInputs
from http2_peers import raw_frame
from hyperframe.frame import DataFrame, HeadersFrame
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.http2.machine import StateMachine
from praxis_remote.stepper import Delivery

STATE_OF_CONNECTION = [
    "streams",
    "state_machine",
    "encoder",
    "decoder",
    "local_settings",
    "remote_settings",
    "open_inbound_streams",
    "open_outbound_streams",
    "outbound_flow_control_window",
    "max_outbound_frame_size",
    "max_inbound_frame_size",
    "DEFAULT_MAX_HEADER_LIST_SIZE",
]
STATE_OF_STREAM = ["state_machine", "outbound_flow_control_window", "closed"]
_LOOP = asyncio.new_event_loop()
_LOOP.close()

# What this package relies on below its public interfaces. When one of these rows fails,
# upstream has moved: read its changes before widening a version in pyproject.toml.
METHODS: list[tuple[Any, str, str]] = [
    (H2Connection, "_get_or_create_stream", "(self, stream_id, allowed_ids)"),
    (H2Connection, "_begin_new_stream", "(self, stream_id, allowed_ids)"),
    (H2Connection, "_receive_headers_frame", "(self, frame)"),
    (H2Connection, "local_flow_control_window", "(self, stream_id)"),
    (h2.connection.H2ConnectionStateMachine, "process_input", "(self, input_)"),
    (h2.stream.H2StreamStateMachine, "process_input", "(self, input_)"),
    (H2Stream, "receive_headers", "(self, headers, end_stream, header_encoding)"),
    (h2.connection, "_decode_headers", "(decoder, encoded_header_block)"),
    (asyncio, "_set_running_loop", "(loop)"),
    (asyncio, "_get_running_loop", "()"),
    (asyncio.SelectorEventLoop, "run_forever", "(self)"),
    (asyncio.SelectorEventLoop, "call_soon", "(self, callback, args, context)"),
    (asyncio.SelectorEventLoop, "call_at", "(self, when, callback, args, context)"),
    (H2Connection, "_prepare_for_sending", "(self, frames)"),
    (H2Connection, "_receive_frame", "(self, frame)"),
    (H2Connection, "_receive_data_frame", "(self, frame)"),
    (H2Connection, "_receive_goaway_frame", "(self, frame)"),
    (H2Connection, "_terminate_connection", "(self, error_code)"),
    (H2Connection, "clear_outbound_data_buffer", "(self)"),
    (hpack.Encoder, "encode", "(self, headers, huffman)"),
    (hpack.Decoder, "decode", "(self, data, raw)"),
    (grpclib_protocol.Connection, "flush", "(self)"),
    (grpclib_protocol.Connection, "feed", "(self, data)"),
    (grpclib_protocol.Connection, "close", "(self)"),
    (grpclib_protocol.Connection, "resume_writing", "(self)"),
    (grpclib_protocol.Connection, "create_stream", "(self, stream_id, wrapper)"),
    (grpclib_protocol.Stream, "init_stream", "(self, stream_id, connection)"),
    (grpclib_protocol.Stream, "__ended__", "(self)"),
    (grpclib_protocol.Stream, "__terminated__", "(self, reason)"),
    (grpclib_protocol.EventsProcessor, "process", "(self, event)"),
    (grpclib_protocol.EventsProcessor, "register", "(self, stream)"),
    (grpclib_protocol.EventsProcessor, "close", "(self, reason)"),
    (grpclib_protocol.H2Protocol, "connection_lost", "(self, exc)"),
]


@pytest.mark.parametrize(
    ("owner", "name", "signature"), METHODS, ids=[f"{o.__name__}.{n}" for o, n, _ in METHODS]
)
def test_a_method_below_is_as_this_package_relies_on_it(
    owner: Any, name: str, signature: str
) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"{owner.__module__}.{owner.__name__}.{name} is gone"
    names = ", ".join(inspect.signature(method).parameters)
    assert f"({names})" == signature


def test_the_attributes_below_are_as_this_package_relies_on_them() -> None:
    connection = H2Connection(H2Configuration())
    assert isinstance(connection._data_to_send, bytearray)
    assert connection._frame_dispatch_table[DataFrame] == connection._receive_data_frame
    assert connection._frame_dispatch_table[HeadersFrame] == connection._receive_headers_frame
    table = hpack.Encoder().header_table
    assert (len(table.dynamic_entries), table.resized) == (0, False)
    assert {"_connection", "_transport"} <= set(
        inspect.getclosurevars(grpclib_protocol.Connection.flush).unbound
    )
    assert "processors" in inspect.getclosurevars(grpclib_protocol.EventsProcessor.process).unbound


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((ConnectionInputs, name) for name in ("SEND_HEADERS", "SEND_DATA", "RECV_HEADERS")),
        *(
            (StreamInputs, name)
            for name in (
                "SEND_HEADERS",
                "SEND_DATA",
                "SEND_END_STREAM",
                "RECV_HEADERS",
                "RECV_END_STREAM",
            )
        ),
        *((H2Connection(H2Configuration()), name) for name in STATE_OF_CONNECTION),
        *((H2Stream(1, H2Configuration(), 0, 0), name) for name in STATE_OF_STREAM),
        (H2StreamStateMachine(1), "trailers_sent"),
        (asyncio.Future(loop=_LOOP), "_asyncio_future_blocking"),
        (signal, "_signal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_below_is_there(owner: Any, name: str) -> None:
    assert hasattr(owner, name)


def test_streams_are_told_apart_by_who_may_begin_them() -> None:
    assert (int(AllowedStreamIDs.EVEN), int(AllowedStreamIDs.ODD)) == (0, 1)
    assert AllowedStreamIDs(int(True)) is AllowedStreamIDs.ODD


def test_a_task_asks_of_what_it_awaits_what_a_delivery_has() -> None:
    public = {"add_done_callback", "get_loop", "cancel", "result"}
    assert public <= set(dir(asyncio.Future)) & set(dir(Delivery))
    assert Delivery._asyncio_future_blocking is False


# ---------------------------------------------------------------- what it does


REQUEST = ((":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a"))


def pair() -> tuple[StateMachine, StateMachine]:
    """Returns a client and a server that have greeted each other, with a call open."""
    client = StateMachine(H2Configuration(client_side=True))
    server = StateMachine(H2Configuration(client_side=False))
    for machine in (client, server):
        machine.initiate_connection()
    client.send_headers(1, REQUEST)
    for _ in range(2):
        server.receive_data(b"".join(client.take_segments()))
        client.receive_data(b"".join(server.take_segments()))
    return client, server


def test_a_payload_goes_out_unjoined_and_uncopied_behind_its_head() -> None:
    client, server = pair()
    array = bytearray(10_000)
    parts = [memoryview(b"prefix"), memoryview(array)]
    client.send_chunk(1, parts, 10_006, end_stream=True)
    head, prefix, payload = client.take_segments()
    assert (len(head), bytes(prefix)) == (9, b"prefix")
    array[0] = 7
    assert payload[0] == 7
    events = server.receive_data(b"".join([head, prefix, payload]))
    (data,) = [event for event in events if isinstance(event, DataReceived)]
    assert data.data == b"prefix" + array
    assert any(isinstance(event, StreamEnded) for event in events)


def test_a_payload_that_was_taken_elsewhere_is_accounted_for() -> None:
    _, server = pair()
    before = server.remote_flow_control_window(1)
    assert server.receive_payload(1, 1000, end_stream=False) == []
    assert server.remote_flow_control_window(1) == before - 1000
    (ended,) = server.receive_payload(1, 1000, end_stream=True)
    assert isinstance(ended, StreamEnded)
    assert server.remote_flow_control_window(1) == before - 2000


def test_a_payload_beyond_the_window_ends_the_connection() -> None:
    _, server = pair()
    with pytest.raises(ProtocolError):
        server.receive_payload(1, 70_000, end_stream=False)
    assert server.state_machine.state is h2.connection.ConnectionState.CLOSED
    assert server.take_segments()  # says goodbye


def test_nothing_is_sent_twice() -> None:
    client, _ = pair()
    client.ping(b"12345678")
    assert len(b"".join(client.take_segments())) == 17
    assert client.take_segments() == []


# ---------------------------------------------------------------- as h2 itself

Headers = tuple[tuple[str, str], ...]
Frame = tuple[int, int, int, bytes]
DATA, HEADERS, RST_STREAM, CONTINUATION = 0, 1, 3, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

LONG = (("x-long", "v" * 30_000),)
BLOCKS: dict[str, Headers] = {
    "request": REQUEST,
    "request of 5 bytes": (*REQUEST, ("content-length", "5")),
    "response": ((":status", "200"), ("x-a", "1")),
    "response of 5 bytes": ((":status", "200"), ("content-length", "5")),
    "trailers": (("grpc-status", "0"),),
    "long request": REQUEST + LONG,
    "long trailers": LONG,
}
# What is not sent by this package, but may arrive. Long blocks take another way: `Receiver`.
FOREIGN_BLOCKS: dict[str, Headers] = {
    **{name: block for name, block in BLOCKS.items() if not name.startswith("long")},
    "interim response": ((":status", "103"),),
    "nothing": (),
    "no length": ((":status", "200"), ("content-length", "-")),
}


def frames_of(data: bytes) -> Iterator[bytes]:
    """Returns the frames of a connection's bytes, the preface like one of them."""
    if data.startswith(PREFACE):
        yield PREFACE
        data = data[len(PREFACE) :]
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        yield data[:size]
        data = data[size:]


def fields_of(frame: bytes) -> Frame:
    """Returns kind, flags, stream and payload of a frame."""
    return frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:]


class Plain:
    """An end of a connection as h2 has it."""

    def __init__(self, *, client: bool) -> None:
        self.h2: Any = self.make(
            H2Configuration(
                client_side=client,
                header_encoding="latin-1",
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_inbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.initiate_connection()
        self.inbox: list[bytes] = []
        self.over = False
        self._decoder = hpack.Decoder()
        self._decoder.max_header_list_size = 2**20

    def make(self, config: H2Configuration) -> H2Connection:
        return H2Connection(config)

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        self.h2.send_data(stream_id, data, end_stream=end_stream)

    def receive(self, frame: bytes) -> list[Event]:
        events: list[Event] = self.h2.receive_data(frame)
        return events

    def outgoing(self) -> bytes:
        data: bytes = self.h2.data_to_send()
        return data

    def meaning(self, data: bytes) -> list[object]:
        """Returns what bytes tell the peer, however headers are compressed and cut."""
        told: list[object] = []
        block, begin = b"", (0, 0)
        for frame in frames_of(data):
            if frame == PREFACE:
                told.append(frame)
                continue
            kind, flags, stream_id, payload = fields_of(frame)
            if kind not in (HEADERS, CONTINUATION):
                told.append((kind, flags, stream_id, payload))
                continue
            if kind == HEADERS:
                block, begin = b"", (stream_id, flags & END_STREAM)
            block += payload
            if flags & END_HEADERS:
                told.append((*begin, plain_fields(self._decoder.decode(block, raw=True))))
        return told


class Ours(Plain):
    """An end of a connection as this package has it."""

    def make(self, config: H2Configuration) -> H2Connection:
        machine = StateMachine(config)
        # As large as h2's own, for what is compared with it.
        machine.decoder.max_header_list_size = H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE
        return machine

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        half = len(data) // 2
        parts = [memoryview(data[:half]), memoryview(data[half:])]
        self.h2.send_chunk(stream_id, parts, len(data), end_stream=end_stream)

    def receive(self, frame: bytes) -> list[Event]:
        if frame != PREFACE:
            kind, flags, stream_id, payload = fields_of(frame)
            end_stream = bool(flags & END_STREAM)
            if kind == DATA and payload:
                return self.h2.receive_payload(stream_id, len(payload), end_stream=end_stream)  # type: ignore[no-any-return]
            if kind == HEADERS and flags & END_HEADERS:
                return self.h2.receive_block(stream_id, payload, end_stream=end_stream)  # type: ignore[no-any-return]
        return super().receive(frame)

    def outgoing(self) -> bytes:
        return b"".join(self.h2.take_segments())


def plain_fields(fields: Iterable[Any]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((bytes(key), bytes(value)) for key, value in fields)


def told_of(event: Event) -> object:
    """Returns what an event says, without a payload that may be elsewhere."""
    told: dict[str, object] = {"": type(event).__name__}
    for name in ("stream_id", "error_code", "flow_controlled_length", "delta", "last_stream_id"):
        told[name] = getattr(event, name, None)
    if hasattr(event, "headers"):
        told["headers"] = [tuple(field) for field in event.headers or ()]
    if hasattr(event, "changed_settings"):
        told["settings"] = {k: v.new_value for k, v in event.changed_settings.items()}
    return told


def literal(headers: Headers) -> bytes:
    """Returns a block that any decoder reads, whatever it has read before."""
    encoder = hpack.Encoder()
    return encoder.encode([hpack.NeverIndexedHeaderTuple(k, v) for k, v in headers], huffman=False)


class Pair:
    """Two ends, and all that is seen of them while they are told what to do."""

    def __init__(self, kind: type[Plain]) -> None:
        self.ends = {"client": kind(client=True), "server": kind(client=False)}
        self.seen: list[object] = []

    def do(self, action: str, side: str, *rest: Any) -> None:
        end, peer = self.ends[side], self.ends["server" if side == "client" else "client"]
        try:
            getattr(self, action)(end, *rest)
        except H2Error as error:
            # That a frame is too large for the window or for the peer is one error here.
            kind = FlowControlError if isinstance(error, FrameTooLargeError) else type(error)
            self.seen.append((action, kind.__name__))
        data = end.outgoing()
        self.seen.append((action, side, end.meaning(data)))
        peer.inbox += frames_of(data)

    def headers(self, end: Plain, stream_id: int, block: str, end_stream: bool) -> None:
        end.h2.send_headers(stream_id, BLOCKS[block], end_stream=end_stream)

    def data(self, end: Plain, stream_id: int, size: int, end_stream: bool) -> None:
        end.send_data(stream_id, bytes(size), end_stream=end_stream)

    def reset(self, end: Plain, stream_id: int) -> None:
        end.h2.reset_stream(stream_id, error_code=ErrorCodes.CANCEL)

    def settings(self, end: Plain, code: int, value: int) -> None:
        end.h2.update_settings({code: value})

    def window(self, end: Plain, stream_id: int | None, size: int) -> None:
        end.h2.increment_flow_control_window(size, stream_id)

    def goaway(self, end: Plain) -> None:
        end.h2.close_connection(error_code=ErrorCodes.INTERNAL_ERROR)

    def foreign(
        self, end: Plain, kind: int, stream_id: int, what: str | int, end_stream: bool
    ) -> None:
        """Has something arrive at this end that the peer would not send."""
        payload = literal(FOREIGN_BLOCKS[what]) if isinstance(what, str) else bytes(what)
        flags = END_STREAM * end_stream | END_HEADERS * (kind == HEADERS)
        end.inbox.append(raw_frame(kind, stream_id, payload, flags))

    def deliver(self, end: Plain) -> None:
        frames, end.inbox = end.inbox, []
        for frame in frames:
            if end.over:
                return
            try:
                for event in end.receive(frame):
                    if isinstance(event, DataReceived):
                        # Ours does so by itself, and says nothing.
                        end.h2.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    else:
                        self.seen.append(told_of(event))
            except H2Error:
                end.over = True
                raise


stream = st.sampled_from([1, 1, 1, 3, 3, 5, 2])
side = st.sampled_from(["client", "server"])
end_stream = st.booleans()
operation = st.one_of(
    st.tuples(st.just("headers"), side, stream, st.sampled_from(sorted(BLOCKS)), end_stream),
    st.tuples(st.just("headers"), st.just("client"), stream, st.just("request"), end_stream),
    st.tuples(st.just("headers"), st.just("server"), stream, st.just("response"), end_stream),
    st.tuples(st.just("data"), side, stream, st.sampled_from([1, 5, 16_384, 40_000]), end_stream),
    st.tuples(st.just("deliver"), side),
    st.tuples(st.just("deliver"), side),
    st.tuples(st.just("reset"), side, stream),
    st.tuples(
        st.just("settings"),
        side,
        st.just(SettingCodes.MAX_CONCURRENT_STREAMS),
        st.sampled_from([0, 1, 2]),
    ),
    st.tuples(
        st.just("settings"),
        side,
        st.just(SettingCodes.INITIAL_WINDOW_SIZE),
        st.sampled_from([0, 10, 2**20]),
    ),
    st.tuples(st.just("settings"), side, st.just(SettingCodes.MAX_FRAME_SIZE), st.just(2**15)),
    st.tuples(
        st.just("settings"),
        side,
        st.just(SettingCodes.HEADER_TABLE_SIZE),
        st.sampled_from([0, 60, 4096]),
    ),
    st.tuples(st.just("window"), side, st.none(), st.sampled_from([1, 100_000])),
    st.tuples(st.just("goaway"), side),
    st.tuples(
        st.just("foreign"),
        side,
        st.just(HEADERS),
        stream,
        st.sampled_from(sorted(FOREIGN_BLOCKS)),
        end_stream,
    ),
    st.tuples(st.just("foreign"), side, st.just(DATA), stream, st.sampled_from([1, 5]), end_stream),
)
GREETING: list[tuple[Any, ...]] = [
    ("deliver", "server"),
    ("deliver", "client"),
    ("deliver", "server"),
]
REPLY: list[tuple[Any, ...]] = [
    ("headers", "client", 1, "request", False),
    ("data", "client", 1, 5, True),
    ("deliver", "server"),
]


ENDED_FOR_ONE_TOO_MANY = ("deliver", TooManyStreamsError.__name__)


def play(kind: type[Plain], operations: list[tuple[Any, ...]]) -> list[object]:
    pair = Pair(kind)
    for operation in [*GREETING, *operations, ("deliver", "server"), ("deliver", "client")]:
        pair.do(*operation)
    return pair.seen


@given(st.lists(operation, max_size=25), st.sampled_from([[], REPLY]))
def test_whatever_is_sent_and_arrives_it_does_and_says_what_h2_does(
    operations: list[tuple[Any, ...]], before: list[tuple[Any, ...]]
) -> None:
    ours, plain = (play(kind, before + operations) for kind in (Ours, Plain))
    if ENDED_FOR_ONE_TOO_MANY in plain:
        # Where h2 ends the connection, ours refuses the stream; tested below.
        end = plain.index(ENDED_FOR_ONE_TOO_MANY)
        ours, plain = ours[:end], plain[:end]
    assert ours == plain


# ---------------------------------------------------------------- what that means for calls


@pytest.fixture
def ours() -> Pair:
    """Two ends that have greeted each other, with a request sent that is not answered."""
    pair = Pair(Ours)
    for operation in [*GREETING, *REPLY, *GREETING]:
        pair.do(*operation)
    return pair


def arrive(pair: Pair, *frames: tuple[int, int, str | int, bool]) -> list[Event]:
    """Has frames arrive at the client, and returns what it makes of them."""
    end = pair.ends["client"]
    for frame in frames:
        pair.foreign(end, *frame)
    arrived, end.inbox = end.inbox, []
    return [event for frame in arrived for event in end.receive(frame)]


def of_kind(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("size", [1, 4, 6])
def test_a_body_of_another_length_than_announced_ends_the_connection(ours: Pair, size: int) -> None:
    with pytest.raises(InvalidBodyLengthError):
        arrive(ours, (HEADERS, 1, "response of 5 bytes", False), (DATA, 1, size, True))
    assert ours.ends["client"].outgoing()  # says goodbye


def test_a_body_of_the_announced_length_is_fine(ours: Pair) -> None:
    events = arrive(
        ours,
        (HEADERS, 1, "response of 5 bytes", False),
        (DATA, 1, 2, False),
        (DATA, 1, 3, False),
        (HEADERS, 1, "trailers", True),
    )
    assert len(of_kind(events, StreamEnded)) == 1


def test_an_announced_length_that_is_no_number_ends_the_connection(ours: Pair) -> None:
    with pytest.raises(ProtocolError):
        arrive(ours, (HEADERS, 1, "no length", False))


def test_interim_responses_come_before_the_response(ours: Pair) -> None:
    events = arrive(
        ours,
        (HEADERS, 1, "interim response", False),
        (HEADERS, 1, "interim response", False),
        (HEADERS, 1, "response", False),
        (HEADERS, 1, "trailers", True),
    )
    interim = of_kind(events, InformationalResponseReceived)
    assert [event.headers for event in interim] == [((":status", "103"),)] * 2
    (trailers,) = of_kind(events, TrailersReceived)
    assert trailers.headers == (("grpc-status", "0"),)


def test_an_interim_response_cannot_be_the_last_word(ours: Pair) -> None:
    with pytest.raises(ProtocolError):
        arrive(ours, (HEADERS, 1, "interim response", True))


def test_trailers_end_the_stream_whoever_sends_them(ours: Pair) -> None:
    with pytest.raises(ProtocolError, match=r"(?i)trailers"):
        arrive(ours, (HEADERS, 1, "response", False), (HEADERS, 1, "trailers", False))
    server = ours.ends["server"].h2
    server.send_headers(1, BLOCKS["response"])
    with pytest.raises(ProtocolError, match=r"(?i)trailers"):
        server.send_headers(1, BLOCKS["trailers"])


def test_headers_on_a_stream_that_was_reset_are_answered_with_a_reset(ours: Pair) -> None:
    client = ours.ends["client"]
    client.h2.reset_stream(1)
    client.outgoing()
    assert arrive(ours, (HEADERS, 1, "response", False)) == []
    kinds = [fields_of(frame)[:3] for frame in frames_of(client.outgoing())]
    assert kinds == [(RST_STREAM, 0, 1)]


def test_headers_on_a_stream_that_has_ended_end_the_connection(ours: Pair) -> None:
    arrive(ours, (HEADERS, 1, "response", True))
    with pytest.raises(ProtocolError):
        arrive(ours, (HEADERS, 1, "trailers", True))


def test_a_block_that_is_refused_is_read_all_the_same(ours: Pair) -> None:
    """Else what both know of headers would differ from then on."""
    client, server = ours.ends["client"], ours.ends["server"]
    client.h2.reset_stream(1)
    told = (("x-new", "value"),)
    server.h2.send_headers(1, (*BLOCKS["response"], *told))
    for frame in frames_of(server.outgoing()):
        client.receive(frame)
    client.h2.send_headers(3, REQUEST)
    for frame in frames_of(client.outgoing()):
        server.receive(frame)
    server.h2.send_headers(3, (*BLOCKS["response"], *told))
    events = [event for frame in frames_of(server.outgoing()) for event in client.receive(frame)]
    assert events[0].headers[-1] == told[0]  # type: ignore[attr-defined]


def test_no_more_streams_than_the_peer_allows_are_begun_or_accepted() -> None:
    pair = Pair(Ours)
    pair.do("settings", "server", SettingCodes.MAX_CONCURRENT_STREAMS, 2)
    for operation in GREETING * 2:
        pair.do(*operation)
    client, server = pair.ends["client"], pair.ends["server"]
    for stream_id in (1, 3):
        client.h2.send_headers(stream_id, REQUEST)
    with pytest.raises(TooManyStreamsError):
        client.h2.send_headers(5, REQUEST)
    for frame in frames_of(client.outgoing()):
        server.receive(frame)
    assert server.receive(raw_frame(HEADERS, 5, literal(REQUEST), END_HEADERS)) == []
    refusal = raw_frame(RST_STREAM, 5, struct.pack(">I", ErrorCodes.REFUSED_STREAM))
    assert server.outgoing().endswith(refusal)
    # Told before anything is sent, so that the stream may be begun later.
    client.h2.reset_stream(1)
    client.h2.send_headers(5, REQUEST)


@pytest.mark.parametrize("frame_size", [2**14, 2**14 + 1, 2**15])
def test_a_block_that_is_larger_than_a_frame_is_continued_in_others(frame_size: int) -> None:
    pair = Pair(Ours)
    pair.do("settings", "server", SettingCodes.MAX_FRAME_SIZE, frame_size)
    for operation in GREETING * 2:
        pair.do(*operation)
    client, server = pair.ends["client"], pair.ends["server"]
    # In plain text, so that its size is known.
    headers = (*REQUEST, hpack.NeverIndexedHeaderTuple("x-long", "v" * 40_000))
    client.h2.send_headers(1, headers, end_stream=True)
    frames = list(frames_of(client.outgoing()))
    kinds = [fields_of(frame)[:3] for frame in frames]
    between = [(CONTINUATION, 0, 1)] * (len(frames) - 2)
    assert kinds == [(HEADERS, END_STREAM, 1), *between, (CONTINUATION, END_HEADERS, 1)]
    assert all(len(frame) == 9 + frame_size for frame in frames[:-1])
    events = [event for frame in frames for event in server.receive(frame)]
    assert dict(events[0].headers)["x-long"] == "v" * 40_000  # type: ignore[attr-defined]
    assert of_kind(events, StreamEnded)


@pytest.mark.parametrize(
    ("extra", "frames"), [(-1, 1), (0, 1), (1, 2)], ids=["smaller", "as large", "larger"]
)
def test_a_block_that_just_fits_a_frame_is_not_cut(extra: int, frames: int) -> None:
    pair = Pair(Ours)
    for operation in GREETING:
        pair.do(*operation)
    client = pair.ends["client"]
    overhead = len(literal((("x", "v" * 10_000),))) - 10_000
    value = "v" * (2**14 - overhead + extra)
    client.h2.send_headers(1, (hpack.NeverIndexedHeaderTuple("x", value),))
    assert len(list(frames_of(client.outgoing()))) == frames


def test_no_more_is_sent_than_the_window_or_a_frame_takes(ours: Pair) -> None:
    server = ours.ends["server"].h2
    server.send_headers(1, BLOCKS["response"])
    assert server.sendable(1) == 2**14
    with pytest.raises(FlowControlError, match="16385 bytes; allowed: 16384"):
        server.send_chunk(1, [memoryview(bytes(2**14 + 1))], 2**14 + 1, end_stream=False)
    for _ in range(3):
        server.send_chunk(1, [memoryview(bytes(2**14))], 2**14, end_stream=False)
    assert server.sendable(1) == 2**16 - 1 - 3 * 2**14
