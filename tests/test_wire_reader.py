# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import betterproto
import pytest
from oracle import MESSAGES, check_like_protobuf, describe, google_bytes, google_class, to_google
from strategies import RICH, WireMaker, block, groups, nested_lists, nested_structs

from praxis_remote.errors import DecodeError
from praxis_remote.schema import (
    Empty,
    HealthResponse,
    PredictRequest,
    PredictResponse,
    ResetResponse,
    StringField,
    Tensor,
    Value,
    ValueStruct,
)
from praxis_remote.wire import read_message, write_message


def rich_bytes() -> bytes:
    return google_bytes(to_google(*RICH))


@pytest.mark.parametrize("seed", range(60))
def test_random_messages_mean_what_protobuf_says(seed: int) -> None:
    maker = WireMaker(seed)
    accepted = 0
    for _ in range(12):
        for cls in MESSAGES:
            data = maker.message(describe(cls.__name__))
            accepted += check_like_protobuf(cls, data)
            check_like_protobuf(cls, maker.mutate(data))
    assert accepted > 100  # most of them have a meaning to compare


@pytest.mark.parametrize("seed", range(40))
def test_mutations_of_a_whole_request_get_protobufs_verdict(seed: int) -> None:
    maker = WireMaker(seed)
    valid = rich_bytes()
    for _ in range(15):
        once = maker.mutate(valid)
        check_like_protobuf(PredictRequest, once)
        check_like_protobuf(PredictRequest, maker.mutate(once))


def test_every_prefix_gets_protobufs_verdict() -> None:
    data = rich_bytes()
    verdicts = [check_like_protobuf(PredictRequest, data[:size]) for size in range(len(data) + 1)]
    assert verdicts[0]
    assert verdicts[-1]
    assert verdicts.count(True) < 10  # the ends of the outermost fields


@pytest.mark.parametrize("tail", [b"\0", b"\x08", b"\x0a", b"\x48\x01", b"\x0c", b"\x4b\x4c"])
def test_trailing_bytes_get_protobufs_verdict(tail: bytes) -> None:
    check_like_protobuf(PredictRequest, rich_bytes() + tail)


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (Tensor, "0a05aabb"),
        (Tensor, "12020304120105"),
        (Tensor, "120203041005"),
        (Tensor, "1005120203041006"),
        (Tensor, "1200"),
        (Tensor, "120180"),
        (Tensor, "120a" + "80" * 9 + "00"),
        (Tensor, "120b" + "80" * 10 + "00"),
        (Tensor, "120b" + "81" + "ff" * 9 + "01"),
        (Tensor, "120c" + "8101" + "ff" * 9 + "01"),
        (Tensor, "12028080"),
        (Tensor, "1203808001"),
        (Tensor, "120affffffffffffffffff01"),
        (Tensor, "10ffffffffffffffffff7f"),
        (Tensor, "10ffffffffffffffffff00"),
        (Tensor, "10ffffffffffffffffffff01"),
        (Tensor, "18ffffffffffffffffff01"),
        (Tensor, "188080808010"),
        (Tensor, "188180808010"),
        (Tensor, "1863"),
        (Tensor, "0805"),
        (Tensor, "0d01020304"),
        (Tensor, "0b0c"),
        (Tensor, "0b14"),
        (Tensor, "0b"),
        (Tensor, "0c"),
        (Tensor, "0b030c"),
        (Tensor, "0b000c"),
        (Tensor, "0e"),
        (Tensor, "0f"),
        (Tensor, "0000"),
        (Tensor, "0304"),
        (Tensor, "4b00014c"),
        (Tensor, "4b03044c"),
        (Empty, "0001"),
        (Empty, "0304"),
        (Empty, "80808080000000"),
        (Tensor, "0200"),
        (Tensor, "f8ffffff0f00"),
        (Tensor, "808080801000"),
        (Tensor, "c8008100"),
        (Tensor, "98000198800001"),
        (Tensor, "98808080800001"),
        (Tensor, "9880808080800001"),
        (Tensor, "0a818080800041"),
        (Tensor, "0a81808080800041"),
        (Tensor, "0a81808080808080808001" + "41"),
        (Tensor, "0affffffffffffffffff01"),
        (Tensor, "0affffffff0f"),
        (Tensor, "4901020304050607"),
        (Tensor, "4d010203"),
        (Tensor, "4a0541"),
        (ResetResponse, "0880808080808080808002"),
        (ResetResponse, "0880808080808080808001"),
        (ResetResponse, "088080808010"),
        (ResetResponse, "0801" + "0800"),
        (StringField, "0a01ff"),
        (StringField, "0a03eda080"),
        (StringField, "0a0100"),
        (StringField, "0a02c3a9"),
        (PredictResponse, "0a00"),
        (PredictResponse, "0a0318010a0a0318020a"),
        (PredictResponse, "0a0218010a020a00"),
        (PredictResponse, "0a0218010a0212010a021802"),
        (Value, "0800"),
        (Value, "0805"),
        (Value, "08ffffffffffffffffff01"),
        (Value, "1001" + "1805"),
        (Value, "32040a021001" + "32040a021001"),
        (Value, "32040a021001" + "1001" + "32040a021001"),
        (Value, "3200"),
        (Value, "3a00"),
        (Value, "2a00"),
        (Value, "1801" + "3205"),
        (ValueStruct, "0a00"),
        (ValueStruct, "0a030a0161"),
        (ValueStruct, "0a0412021001"),
        (ValueStruct, "0a0a0a0161" + "0a0162" + "12021001"),
        (ValueStruct, "0a070a0161" + "12021001" + "0a070a0161" + "12021000"),
        (ValueStruct, "0a0f0a0161" + "1204320" + "20a00" + "1204320" + "20a00"),
        (ValueStruct, "0a090a0161" + "12021001" + "4801"),
        (ValueStruct, "0a060805" + "12021001"),
        (ValueStruct, "0a050a0161" + "1005"),
        (ValueStruct, "0a0b0a0161" + "4b4b4c4c" + "12021001"),
        (ValueStruct, "0a030a01ff"),
        (ValueStruct, "0a050a01ff4801"),
        (ValueStruct, "0a070a016112021001" + "0a090a0161120210004801"),
        (Empty, ""),
        (Empty, "0a0141"),
        (HealthResponse, "0801120361626318051805"),
    ],
)
def test_odd_and_broken_bytes_get_protobufs_verdict(
    cls: type[betterproto.Message], data: str
) -> None:
    check_like_protobuf(cls, bytes.fromhex(data))


@pytest.mark.parametrize("make", [nested_lists, nested_structs])
@pytest.mark.parametrize("wrap", [(), (2, 2), (1, 3, 2)], ids=["value", "kwargs", "scalars"])
def test_the_depth_limit_is_protobufs(make: Callable[[int], bytes], wrap: tuple[int, ...]) -> None:
    verdicts = []
    for count in range(55):
        data = make(count)
        for number in reversed(wrap):
            data = block(number, data)
        verdicts.append(check_like_protobuf(PredictRequest if wrap else Value, data))
    assert verdicts == sorted(verdicts, reverse=True)
    assert not verdicts[-1]
    assert verdicts[31]


@pytest.mark.parametrize(
    ("cls", "data", "text"),
    [
        (
            Tensor,
            "0a05aabb",
            "Tensor: a length of 5 where 2 bytes are left at byte 1 of 4, in Tensor.data",
        ),
        (Tensor, "1080", "Tensor: a varint that is cut off at byte 1 of 2, in Tensor.shape"),
        (Tensor, "120180", "Tensor: a varint that is cut off at byte 2 of 3, in Tensor.shape"),
        (
            Tensor,
            "10" + "80" * 10,
            "Tensor: a varint of more than 10 bytes at byte 1 of 11, in Tensor.shape",
        ),
        (Tensor, "0e", "Tensor: wire type 6 at byte 1 of 1, in Tensor"),
        (Tensor, "0000", "Tensor: field number 0 at byte 0 of 2, in Tensor"),
        (Tensor, "808080801000", "Tensor: field number 536870912 at byte 0 of 6, in Tensor"),
        (Tensor, "4d01", "Tensor: a fixed-size number that is cut off at byte 1 of 2, in Tensor"),
        (
            Tensor,
            "4c",
            "Tensor: the end of a group 9 that is not open at byte 1 of 1, in Tensor",
        ),
        (Value, "2101", "Value: a double that is cut off at byte 1 of 2, in Value.float_value"),
        (
            PredictRequest,
            "0a0512030a01ff",
            "PredictRequest: text that is not UTF-8 at byte 6 of 7, in StringField.key",
        ),
    ],
)
def test_an_error_says_what_where_and_in_which_field(
    cls: type[betterproto.Message], data: str, text: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        read_message(cls, bytes.fromhex(data))
    assert str(caught.value) == text


def test_a_message_that_is_too_deep_says_so() -> None:
    with pytest.raises(DecodeError, match="more than 100 messages in one another"):
        read_message(Value, nested_lists(51))


def test_unknown_fields_are_kept_and_written_again() -> None:
    unknown = b"\xc8\x00\x81\x00" + groups(2) + b"\x08\x05"
    message = read_message(Tensor, b"\x18\x01" + unknown[:4] + b"\x12\x01\x03" + unknown[4:])
    assert vars(message)["_unknown_fields"] == unknown
    assert type(vars(message)["_unknown_fields"]) is bytes
    assert write_message(message).endswith(unknown)
    assert bytes(message).endswith(unknown)


# ---------------------------------------------------------------- work


class CountingBytes(bytes):
    """Counts the bytes that are taken out of it."""

    taken = 0

    def __getitem__(self, place: Any) -> Any:
        result = super().__getitem__(place)
        self.taken += 1 if isinstance(result, int) else len(result)
        return result


def work(cls: type[betterproto.Message], data: bytes) -> tuple[int, int]:
    """Returns how many calls reading takes, and how many bytes it takes out."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    buffer = CountingBytes(data)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read_message(cls, buffer)
    finally:
        sys.setprofile(before)
    return calls, buffer.taken


HOSTILE: dict[str, tuple[type[betterproto.Message], Callable[[int], bytes]]] = {
    "unknown varints": (PredictRequest, lambda n: b"\x48\x01" * n),
    "unknown blocks": (PredictRequest, lambda n: b"\x4a\x00" * n),
    "unknown groups": (PredictRequest, lambda n: b"\x4b\x4c" * n),
    "fields of one group": (PredictRequest, lambda n: b"\x4b" + b"\x08\x01" * n + b"\x4c"),
    "empty observations": (PredictRequest, lambda n: b"\x0a\x00" * n),
    "packed shape": (Tensor, lambda n: block(2, b"\x80\x01" * n)),
    "packed shapes": (Tensor, lambda n: b"\x12\x01\x01" * n),
    "unpacked shape": (Tensor, lambda n: b"\x10\x01" * n),
    "one submessage again and again": (PredictResponse, lambda n: b"\x0a\x02\x48\x01" * n),
    "one map key again and again": (ValueStruct, lambda n: b"\x0a\x00" * n),
    "map entries kept as unknown": (ValueStruct, lambda n: b"\x0a\x02\x48\x01" * n),
    "a oneof to and fro": (Value, lambda n: b"\x32\x00\x3a\x00" * n),
    "a large field far down": (Value, lambda n: nested_in_lists(block(5, b"a" * n), 49)),
    "unknown fields far down": (Value, lambda n: nested_in_lists(b"\x48\x01" * n, 49)),
}


def nested_in_lists(value: bytes, count: int) -> bytes:
    for _ in range(count):
        value = block(6, block(1, value))
    return value


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_in_proportion_to_the_bytes(name: str) -> None:
    cls, make = HOSTILE[name]
    small, large = work(cls, make(2000)), work(cls, make(8000))
    assert large[0] <= 4.1 * small[0] + 100
    assert large[1] <= 4.1 * small[1] + 100
    assert large[1] <= 8 * len(make(8000)) + 1000


def test_a_megabyte_of_a_submessage_with_an_unknown_field_is_merged() -> None:
    count = 2**18
    message = read_message(PredictResponse, b"\x0a\x02\x48\x01" * count)
    assert vars(message.action)["_unknown_fields"] == b"\x48\x01" * count


def test_depth_needs_no_stack() -> None:
    data = nested_lists(50)
    message = read_message(Value, data)

    def at_the_end_of_the_stack(frames: int) -> bytes:
        if frames:
            return at_the_end_of_the_stack(frames - 1)
        return write_message(read_message(Value, data))

    assert write_message(message) == data
    assert near_the_limit(at_the_end_of_the_stack) == data


def near_the_limit(call: Callable[[int], bytes]) -> bytes:
    """Calls with as much stack taken as leaves some 25 frames."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return call(sys.getrecursionlimit() - depth - 25)


def test_the_oracle_is_googles_own_class_for_each_message() -> None:
    assert {cls.__name__ for cls in MESSAGES} == {
        google_class(cls.__name__).DESCRIPTOR.name for cls in MESSAGES
    }
