# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable
from typing import Any

import betterproto
import numpy as np
import pytest
from hypothesis import given, settings
from oracle import (
    describe,
    google_bytes,
    google_class,
    google_parse,
    has_wide_map,
    messages_in,
    to_google,
)
from strategies import Request, WireMaker, block, requests, varint

from praxis_remote import schema
from praxis_remote.errors import DecodeError, InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import (
    DType,
    Empty,
    HealthResponse,
    NamedTensor,
    NullValue,
    Observation,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    ResetResponse,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)
from praxis_remote.serialization import encode_request
from praxis_remote.values import MAX_DEPTH
from praxis_remote.wire import read_message, write_message

MESSAGES = [
    getattr(schema, name)
    for name in schema.__all__
    if isinstance(getattr(schema, name), type)
    and issubclass(getattr(schema, name), betterproto.Message)
]

LEAF = b"\x10\x01"  # the content of Value(bool_value=True)
RICH = Request(
    [
        {"state": np.arange(200, dtype="f4"), "task": "pick", "open": True, "n": -5, "x": 0.5},
        {"": np.zeros((0, 3), "?"), "é": "", "0-d": np.array(3, "i8")},
    ],
    {"a": [1, [None, {"": []}], "b"], "c": {"d": {"e": 1.5}}, "": None},
    ["one", ""],
)


def rich_bytes() -> bytes:
    return google_bytes(to_google(*RICH))


def check_like_protobuf(cls: type[betterproto.Message], data: bytes) -> bool:
    """Holds our reader to Google's verdict and meaning; returns the verdict."""
    theirs = google_parse(cls, data)
    try:
        ours = read_message(cls, data)
    except DecodeError:
        assert theirs is None, f"only we reject {data.hex()}"
        return False
    assert theirs is not None, f"only protobuf rejects {data.hex()}"
    written, expected = write_message(ours), google_bytes(theirs)
    if written != expected:
        # An entry that is kept as an unknown field holds maps in upb's own order.
        again = google_parse(cls, written)
        assert again is not None
        assert expected in (google_bytes(again), written) or sorted(written) == sorted(expected)
        assert has_wide_map(ours) or has_unknown(ours), data.hex()
    return True


def has_unknown(message: betterproto.Message) -> bool:
    return any(vars(inner)["_unknown_fields"] for inner in messages_in(message))


def nested_lists(count: int) -> bytes:
    value = LEAF
    for _ in range(count):
        value = block(6, block(1, value))
    return value


def nested_structs(count: int) -> bytes:
    value = LEAF
    for _ in range(count):
        value = block(7, block(1, block(1, b"k") + block(2, value)))
    return value


def groups(count: int) -> bytes:
    return varint(9 << 3 | 3) * count + varint(9 << 3 | 4) * count


# ---------------------------------------------------------------- the reader's verdict


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


@pytest.mark.parametrize("below", range(97, 102))
@pytest.mark.parametrize("inside", range(5))
def test_groups_count_for_the_depth_limit(below: int, inside: int) -> None:
    data = groups(inside)
    for level in reversed(range(below)):
        data = block(1 if level % 2 else 6, data)
    assert check_like_protobuf(Value, data) == (below + inside <= MAX_DEPTH)


@pytest.mark.parametrize("size", [0, 1, 2, 9, 200])
def test_every_kind_of_buffer_is_read_alike(size: int) -> None:
    data = write_message(Tensor(data=bytes(size), shape=[size], dtype=DType(5)))
    padded = b"ab" + data
    for buffer in (data, bytearray(data), memoryview(data), memoryview(padded)[2:]):
        assert write_message(read_message(Tensor, buffer)) == data
    strided = bytearray(2 * len(data))
    strided[::2] = data
    assert write_message(read_message(Tensor, memoryview(strided)[::2])) == data


def test_what_is_no_buffer_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="not str"):
        read_message(Tensor, "text")  # type: ignore[arg-type]


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


# ---------------------------------------------------------------- what the reader makes


def test_messages_are_made_as_betterproto_makes_them() -> None:
    request = encode_request(RICH.observations, policy_kwargs=RICH.policy_kwargs)
    data = write_message(request)
    ours, theirs = read_message(PredictRequest, data), PredictRequest().parse(data)
    assert ours == theirs
    assert bytes(ours) == bytes(theirs)
    assert vars(ours).keys() == vars(theirs).keys()
    value, reference = ours.policy_kwargs["c"], theirs.policy_kwargs["c"]
    assert vars(value)["_group_current"] == vars(reference)["_group_current"]
    assert vars(value)["_serialized_on_wire"] is True
    assert betterproto.which_one_of(value, "kind")[0] == "struct_value"
    assert betterproto.serialized_on_wire(ours.observations[0].tensors[0].tensor)


def test_messages_can_be_changed_like_any_other() -> None:
    first, second = read_message(Value, b"\x10\x01"), read_message(Value, b"")
    first.string_value = "a"
    assert betterproto.which_one_of(first, "kind") == ("string_value", "a")
    assert betterproto.which_one_of(second, "kind") == ("", None)
    one, other = read_message(Observation, b""), read_message(Observation, b"")
    one.strings.append(StringField(key="a"))
    assert other.strings == []


def test_reading_looks_up_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rich_bytes()
    monkeypatch.delattr(betterproto.Message, "_get_field_default")
    request = read_message(PredictRequest, data)
    tensor = request.observations[1].tensors[0].tensor
    assert (tensor.data, list(tensor.shape), tensor.dtype) == (b"", [0, 3], 6)
    assert request.observations[1].tensors[0].key == ""
    assert read_message(HealthResponse, b"").ready is False
    assert read_message(Tensor, b"").dtype is DType.DTYPE_UNSPECIFIED


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


# ---------------------------------------------------------------- the writer


@settings(max_examples=150, deadline=None, derandomize=True)
@given(requests())
def test_written_bytes_are_protobufs(request: Request) -> None:
    message = encode_request(
        request.observations, policy_kwargs=request.policy_kwargs, episode_ids=request.episode_ids
    )
    theirs = google_parse(PredictRequest, write_message(message))
    assert theirs is not None
    assert google_bytes(theirs) == google_bytes(to_google(*request))
    assert has_wide_map(message) or write_message(message) == google_bytes(theirs)
    assert check_like_protobuf(PredictRequest, write_message(message))


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Empty(), ""),
        (PredictResponse(), ""),
        (PredictResponse(action=Tensor()), "0a00"),
        (Value(list_value=ValueList()), "3200"),
        (Value(struct_value=ValueStruct()), "3a00"),
        (ValueStruct(fields={"": Value()}), "0a040a001200"),
        (ValueList(values=[Value(), Value(null_value=NullValue.NULL_VALUE)]), "0a000a020800"),
        (Observation(tensors=[NamedTensor()], scalars=[ValueField()]), "0a001a00"),
        (Value(bool_value=False), "1000"),
        (Value(int_value=0), "1800"),
        (Value(int_value=-1), "18ffffffffffffffffff01"),
        (Value(int_value=2**63 - 1), "18ffffffffffffffff7f"),
        (Value(float_value=0.0), "210000000000000000"),
        (Value(float_value=-0.0), "210000000000000080"),
        (Value(string_value=""), "2a00"),
        (Value(bool_value=True, int_value=5), "1805"),
        (Value(int_value=np.int64(5)), "1805"),
        (Value(bool_value=np.bool_(True)), "1001"),  # type: ignore[arg-type]
        (Value(bool_value=1), "1001"),  # type: ignore[arg-type]
        (Value(int_value=True), "1801"),
        (Value(float_value=np.float32(1.0)), "21000000000000f03f"),
        (Value(float_value=1), "21000000000000f03f"),
        (Tensor(shape=(2, np.int32(300))), "120302ac02"),  # type: ignore[arg-type]
        (Tensor(shape=[-1]), "120affffffffffffffffff01"),
        (Tensor(dtype=DType.try_value(-1)), "18ffffffffffffffffff01"),
        (Tensor(dtype=3), "1803"),  # type: ignore[arg-type]
        (Tensor(data=bytearray(b"ab")), "0a026162"),  # type: ignore[arg-type]
        (Tensor(data=memoryview(np.array([1.0], "<f4"))), "0a040000803f"),  # type: ignore[arg-type]
        (Tensor(data=memoryview(b"abcd")[::2]), "0a026163"),  # type: ignore[arg-type]
        (ResetRequest(episode_ids=["", "a"]), "0a000a0161"),
    ],
)
def test_messages_that_others_get_wrong_are_written_right(
    message: betterproto.Message, data: str
) -> None:
    assert write_message(message).hex() == data
    assert google_parse(type(message), bytes.fromhex(data)) is not None


def test_a_message_that_was_only_looked_at_is_not_written() -> None:
    response = PredictResponse()
    assert response.action.shape == []
    assert write_message(response) == b""
    response.action.shape = [1]
    assert write_message(response) == bytes.fromhex("0a03120101")


def test_random_messages_are_written_in_protobufs_order() -> None:
    maker = WireMaker(1, odd=0)
    for _ in range(300):
        for cls in set(MESSAGES) - {Empty}:
            assert check_like_protobuf(cls, maker.message(describe(cls.__name__)))


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        (
            Value(int_value=2**63),
            InvalidValueError,
            "Value.int_value: 9223372036854775808 is beyond int64",
        ),
        (
            Value(int_value=-(2**63) - 1),
            InvalidValueError,
            "Value.int_value: -9223372036854775809 is beyond int64",
        ),
        (
            Tensor(shape=[1, 2**64]),
            InvalidValueError,
            "Tensor.shape[1]: 18446744073709551616 is beyond int64",
        ),
        (
            Tensor(dtype=2**31),  # type: ignore[arg-type]
            InvalidValueError,
            "Tensor.dtype: 2147483648 is beyond int32",
        ),
        (
            Value(float_value=10**400),
            InvalidValueError,
            f"Value.float_value: {10**400} is beyond a double",
        ),
        (
            StringField(key="\ud800"),
            InvalidValueError,
            "StringField.key: '\\ud800' holds a lone surrogate at 0",
        ),
        (
            StringField(key=None),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "StringField.key: NoneType where a str is needed",
        ),
        (
            Value(string_value=None),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Value.string_value: NoneType where a str is needed",
        ),
        (
            Value(int_value=1.0),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Value.int_value: float where an int is needed",
        ),
        (
            Value(bool_value="yes"),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Value.bool_value: str where a bool is needed",
        ),
        (
            Value(float_value="1"),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Value.float_value: str where a float is needed",
        ),
        (
            Tensor(data="text"),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Tensor.data: str where bytes is needed",
        ),
        (
            Tensor(shape=5),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "Tensor.shape: int where a list is needed",
        ),
        (
            ResetRequest(episode_ids="ab"),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "ResetRequest.episode_ids: str where a list is needed",
        ),
        (
            ValueStruct(fields=[]),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "ValueStruct.fields: list where a dict is needed",
        ),
        (
            PredictResponse(action=Value()),  # type: ignore[arg-type]
            UnsupportedTypeError,
            "PredictResponse.action: Value where a Tensor is needed",
        ),
        (
            ValueStruct(fields={1: Value()}),  # type: ignore[dict-item]
            UnsupportedTypeError,
            "ValueStruct.fields[1].key: int where a str is needed",
        ),
        (
            PredictRequest(
                observations=[Observation(), Observation(tensors=[NamedTensor(key=b"a")])]  # type: ignore[arg-type]
            ),
            UnsupportedTypeError,
            "PredictRequest.observations[1].tensors[0].key: bytes where a str is needed",
        ),
        (
            PredictRequest(policy_kwargs={"a": Value(list_value=ValueList(values=[None]))}),  # type: ignore[list-item]
            UnsupportedTypeError,
            "PredictRequest.policy_kwargs['a'].value.list_value.values[0]: "
            "NoneType where a Value is needed",
        ),
    ],
)
def test_what_has_no_form_on_the_wire_is_refused_by_field(
    message: betterproto.Message, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        write_message(message)
    assert str(caught.value) == text


def test_a_message_that_nobody_could_parse_is_not_written() -> None:
    value = Value()
    value.list_value = ValueList(values=[value])
    with pytest.raises(InvalidValueError, match="more than 100 messages in one another"):
        write_message(value)
    deepest = Value(bool_value=True)
    for _ in range(50):
        deepest = Value(list_value=ValueList(values=[deepest]))
    assert google_parse(Value, write_message(deepest)) is not None
    with pytest.raises(InvalidValueError):
        write_message(Value(list_value=ValueList(values=[deepest])))


def test_every_bit_of_a_float_survives() -> None:
    for number in (0x7FF0000000000001, 0xFFF8000000000123, 0x8000000000000000, 1):
        data = b"\x21" + struct.pack("<Q", number)
        assert write_message(read_message(Value, data)) == data
    assert math.isnan(read_message(Value, b"\x21" + b"\xff" * 8).float_value)


def test_a_class_with_a_field_type_beyond_the_schema_is_refused() -> None:
    import dataclasses

    @dataclasses.dataclass(eq=False, repr=False)
    class Other(betterproto.Message):
        number: int = betterproto.uint32_field(1)

    with pytest.raises(UnsupportedTypeError, match=r"Other\.number: uint32"):
        read_message(Other, b"")


def test_the_oracle_is_googles_own_class_for_each_message() -> None:
    assert {cls.__name__ for cls in MESSAGES} == {
        google_class(cls.__name__).DESCRIPTOR.name for cls in MESSAGES
    }
