# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the parts of a call cost: codec, framing, headers, beside the variants that lost.

The losing ones are what the libraries below give as they come: betterproto's messages
for the codec, h2's frames for the framing, hpack's coders for the headers. All of it
in this process and on one core, without a network.
"""

from __future__ import annotations

import argparse
import itertools
import struct
import timeit
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import hpack
from h2.frame_buffer import FrameBuffer
from hyperframe.frame import DataFrame

from benchmarks.options import positive_number
from benchmarks.payloads import payload
from benchmarks.tables import number, table
from praxis_remote import codec, serialization, wire
from praxis_remote.framing import DEFAULT_MAX_MESSAGE_SIZE, MessageReader, MessageWriter
from praxis_remote.http2.headers import RememberingDecoder, RememberingEncoder, volatile
from praxis_remote.http2.patience import Patience
from praxis_remote.http2.receiving import Receiver, Target
from praxis_remote.schema import PredictRequest, PredictResponse

CODEC_PAYLOADS = ("state", "2x224", "16x2x224", "observations-64", "keys-200")
ACTION_PAYLOADS = ("state", "actions")
FRAMING_PAYLOADS = ("state", "2x224", "16x2x224")

# What our ends announce, and what grpcio ends begin with.
LARGE_FRAME, SMALL_FRAME = 2**24 - 1, 2**14

# What a loop gets from a socket at a time.
READ_BYTES = 128 * 1024

_HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/praxis_remote.PolicyService/Predict"),
    (":authority", "127.0.0.1:50051"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "praxis-remote"),
    ("grpc-accept-encoding", "identity,gzip,deflate"),
]

# What is left of a second when a call begins is never quite the same.
_TIMEOUTS = [("grpc-timeout", f"{microseconds}u") for microseconds in range(999_000, 1_000_000)]


class Case(NamedTuple):
    """One thing to do, and the ways to do it, ours first."""

    name: str
    variants: dict[str, Callable[[], object]]


def cases() -> Iterator[Case]:
    """Yields everything that is measured."""
    for name in CODEC_PAYLOADS:
        yield from _requests(name)
    for name in ACTION_PAYLOADS:
        yield from _responses(name)
    for name in FRAMING_PAYLOADS:
        for frame in (LARGE_FRAME, SMALL_FRAME):
            yield from _framing(name, frame)
    yield from _headers()


# ---------------------------------------------------------------- codec


def _requests(name: str) -> Iterator[Case]:
    batch = payload(name).batch
    message = bytearray().join(codec.encode_predict_request(batch))
    data = bytes(message)
    yield Case(
        f"encode request, {name}",
        {
            "codec": lambda: codec.encode_predict_request(batch),
            "betterproto": lambda: bytes(serialization.encode_request(batch)),
        },
    )
    yield Case(
        f"decode request, {name}",
        {
            "codec": lambda: codec.decode_predict_request(message),
            "typed, our reader": lambda: serialization.decode_request(
                wire.read_message(PredictRequest, message)
            ),
            "betterproto": lambda: serialization.decode_request(PredictRequest().parse(data)),
        },
    )


def _responses(name: str) -> Iterator[Case]:
    action = payload(name).action
    message = bytearray().join(codec.encode_predict_response(action))
    data = bytes(message)

    def encode() -> bytes:
        return bytes(PredictResponse(action=serialization.encode_numpy_array(action)))

    def decode() -> object:
        return serialization.decode_numpy_array(PredictResponse().parse(data).action)

    yield Case(
        f"encode response, {name}",
        {"codec": lambda: codec.encode_predict_response(action), "betterproto": encode},
    )
    yield Case(
        f"decode response, {name}",
        {"codec": lambda: codec.decode_predict_response(message), "betterproto": decode},
    )


# ---------------------------------------------------------------- framing


def _framing(name: str, frame: int) -> Iterator[Case]:
    segments = codec.encode_predict_request(payload(name).batch)
    stream = b"".join(DataFrame(1, b"".join(part)).serialize() for part in _chunks(segments, frame))
    where = f"{name}, frames of {frame / 1024:.0f} KiB"
    yield Case(
        f"cut into frames, {where}",
        {
            "framing": lambda: list(_chunks(segments, frame)),
            "joined first": lambda: _join_and_cut(segments, frame),
        },
    )
    yield Case(
        f"assemble, {where}",
        {
            "receiving": lambda: _receive(stream, frame),
            "h2's frames": lambda: _receive_by_h2(stream, frame),
        },
    )


def _chunks(segments: codec.Segments, frame: int) -> Iterator[list[memoryview]]:
    writer = MessageWriter(segments, DEFAULT_MAX_MESSAGE_SIZE, "request")
    while writer.remaining:
        yield writer.take(frame)


def _join_and_cut(segments: codec.Segments, frame: int) -> list[bytes]:
    size = sum(map(len, segments))
    message = b"".join([struct.pack(">BI", 0, size), *segments])
    return [message[start : start + frame] for start in range(0, len(message), frame)]


def _receive(stream: bytes, frame: int) -> bytearray | memoryview | None:
    """Takes a message from frames as a connection does, a read at a time."""
    reader = MessageReader(DEFAULT_MAX_MESSAGE_SIZE, "request")
    call = _Call(reader)
    receiver = Receiver(
        client_side=True,
        max_frame_size=frame,
        max_block=2**14,
        find=lambda _: call,
        feed=lambda _: None,
        headers=lambda *_: None,
        complete=lambda *_: None,
        patience=Patience(),
    )
    _feed_settings(receiver)
    position = 0
    while position < len(stream):
        place = receiver.buffer()
        part = stream[position : position + min(len(place), READ_BYTES)]
        place[: len(part)] = part
        receiver.received(len(part))
        position += len(part)
    return reader.end()


def _feed_settings(receiver: Receiver) -> None:
    settings = bytes.fromhex("000000040000000000")
    receiver.buffer()[: len(settings)] = settings
    receiver.received(len(settings))


class _Call(Target):
    """A call that takes its message from the receiver."""

    def __init__(self, reader: MessageReader) -> None:
        self._reader = reader

    def receive_data(self, data: memoryview) -> None:
        self._reader.feed(data)

    def receive_into(self, size: int) -> memoryview | None:
        return self._reader.space(size)

    def received_into(self, size: int) -> None:
        self._reader.filled(size)


def _receive_by_h2(stream: bytes, frame: int) -> bytearray | memoryview | None:
    reader = MessageReader(DEFAULT_MAX_MESSAGE_SIZE, "request")
    frames = FrameBuffer(server=False)
    frames.max_frame_size = frame
    for start in range(0, len(stream), READ_BYTES):
        frames.add_data(stream[start : start + READ_BYTES])
        for each in frames:
            assert isinstance(each, DataFrame)
            reader.feed(each.data)
    return reader.end()


# ---------------------------------------------------------------- headers


def _headers() -> Iterator[Case]:
    ours = [[*_HEADERS, volatile(*timeout)] for timeout in _TIMEOUTS]
    theirs = [[*_HEADERS, timeout] for timeout in _TIMEOUTS]
    yield Case(
        "compress the headers of a request",
        {
            "headers": _one_by_one(RememberingEncoder().encode, ours),
            "hpack": _one_by_one(hpack.Encoder().encode, theirs),
        },
    )
    blocks = list(map(RememberingEncoder().encode, ours))
    # As ours send it: who sends does not choose who reads.
    yield Case(
        "decompress the headers of a request",
        {
            "headers": _one_by_one(RememberingDecoder().decode, blocks),
            "hpack": _one_by_one(hpack.Decoder().decode, blocks),
        },
    )


def _one_by_one(function: Callable[[Any], object], values: Sequence[Any]) -> Callable[[], object]:
    """Returns what applies a function to the next value each time.

    The first value, which fills hpack's tables, is gone before, and never comes again.
    """
    function(values[0])
    following = itertools.cycle(values[1:])
    return lambda: function(next(following))


# ---------------------------------------------------------------- measuring


def measure(variants: Sequence[Callable[[], object]], rounds: int, seconds: float) -> list[float]:
    """Returns the µs of each variant: the best of several rounds, which alternate."""
    timers = [timeit.Timer(variant) for variant in variants]
    counts = [max(1, int(seconds / max(timer.timeit(1), 1e-7))) for timer in timers]
    best = [float("inf")] * len(timers)
    for _ in range(rounds):
        for index, (timer, count) in enumerate(zip(timers, counts, strict=True)):
            best[index] = min(best[index], timer.timeit(count) / count)
    return [each * 1e6 for each in best]


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        prog="make microbench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=positive_number, default=5, help="times that all is measured"
    )
    parser.add_argument("--seconds", type=float, default=0.05, help="for each round of each")
    parser.add_argument("--only", default="", help="a part of the names, such as decode")
    options = parser.parse_args(arguments)
    chosen = [case for case in cases() if options.only in case.name]
    if not chosen:
        names = "\n  ".join(case.name for case in cases())
        parser.error(f"--only: {options.only!r} is part of no name; there are\n  {names}")
    rows = []
    for case in chosen:
        found = measure(list(case.variants.values()), options.rounds, options.seconds)
        for name, microseconds in zip(case.variants, found, strict=True):
            times = f"{microseconds / found[0]:.2f}"
            rows.append([case.name, name, number(microseconds), times])
    print(table(["", "", "µs", "times ours"], rows))


if __name__ == "__main__":
    main()
