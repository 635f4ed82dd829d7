# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import betterproto
import pytest
from betterproto import PLACEHOLDER
from google.protobuf.descriptor import FieldDescriptor
from oracle import MESSAGES, describe

from praxis_remote.errors import UnsupportedTypeError
from praxis_remote.schema import DType, PredictRequest, Tensor, Value, ValueStruct
from praxis_remote.wire import read_message
from praxis_remote.wire.fields import field_tag, fields_of


def test_a_class_with_a_field_type_beyond_the_schema_is_refused() -> None:
    import dataclasses

    @dataclasses.dataclass(eq=False, repr=False)
    class Other(betterproto.Message):
        number: int = betterproto.uint32_field(1)

    with pytest.raises(UnsupportedTypeError, match=r"Other\.number: uint32"):
        read_message(Other, b"")


@pytest.mark.parametrize("cls", MESSAGES)
def test_the_fields_are_those_of_the_schema(cls: type[betterproto.Message]) -> None:
    theirs = sorted(describe(cls.__name__).fields, key=lambda item: item.number)
    ours = fields_of(cls)
    assert ours is fields_of(cls)
    assert [(item.name, item.number) for item in ours] == [
        (item.name, item.number) for item in theirs
    ]
    for item, their in zip(ours, theirs, strict=True):
        oneof = their.containing_oneof
        assert item.group == (None if oneof is None else oneof.name)
        assert (item.repeated or item.mapped) == their.is_repeated
        assert item.packed == their.is_packed
        assert (item.scalar is None) == (their.type == FieldDescriptor.TYPE_MESSAGE)


def test_a_tag_is_that_of_the_last_field_of_a_path() -> None:
    assert field_tag(PredictRequest, "observations") == 0x0A
    assert field_tag(PredictRequest, "policy_kwargs", "value", "float_value") == 0x21
    assert field_tag(PredictRequest, "observations", "tensors", "tensor", "shape") == 0x12
    assert field_tag(ValueStruct, "fields", "key") == 0x0A


def test_an_absent_field_has_its_types_default_or_none() -> None:
    found = {item.name: item.default() for item in fields_of(Tensor)}
    assert found == {"data": b"", "shape": PLACEHOLDER, "dtype": DType.DTYPE_UNSPECIFIED}
    assert {item.default() for item in fields_of(Value)} == {PLACEHOLDER}


def test_an_enum_field_is_read_as_a_member() -> None:
    scalar = fields_of(Tensor)[2].scalar
    assert scalar is not None
    assert scalar.read(b"\x05\x63", 0, 2) == (DType.DTYPE_UINT8, 1)
    assert type(scalar.read(b"\x63", 0, 1)[0]) is DType
