# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from typing import Any

import h2.connection
import hpack
import pytest
from grpclib import protocol as grpclib_protocol
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame

from praxis_remote.http2.machine import StateMachine

# What this package relies on below its public interfaces. When one of these rows fails,
# upstream has moved: read its changes before widening a version in pyproject.toml.
METHODS: list[tuple[Any, str, str]] = [
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
    table = hpack.Encoder().header_table
    assert (len(table.dynamic_entries), table.resized) == (0, False)
    assert {"_connection", "_transport"} <= set(
        inspect.getclosurevars(grpclib_protocol.Connection.flush).unbound
    )
    assert "processors" in inspect.getclosurevars(grpclib_protocol.EventsProcessor.process).unbound


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
