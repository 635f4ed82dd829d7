# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import betterproto
import numpy as np
import pytest
from hypothesis import given, settings
from oracle import (
    MESSAGES,
    check_like_protobuf,
    describe,
    google_bytes,
    google_parse,
    has_wide_map,
    to_google,
)
from strategies import Request, WireMaker, requests

from praxis_remote.errors import InvalidValueError, UnsupportedTypeError
from praxis_remote.schema import (
    DType,
    Empty,
    NamedTensor,
    NullValue,
    Observation,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)
from praxis_remote.serialization import encode_request
from praxis_remote.wire import write_message


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
