# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

import betterproto
import pytest
from oracle import describe

from praxis_remote.codec import tags

FIELDS = {
    "PredictRequest": {
        "OBSERVATIONS": "observations",
        "POLICY_KWARGS": "policy_kwargs",
        "EPISODE_IDS": "episode_ids",
    },
    "PredictResponse": {"ACTION": "action"},
    "Observation": {"TENSORS": "tensors", "STRINGS": "strings", "SCALARS": "scalars"},
    "NamedTensor": {"TENSOR_KEY": "key", "TENSOR": "tensor"},
    "Tensor": {"DATA": "data", "SHAPE": "shape", "DTYPE": "dtype"},
    "StringField": {"STRING_KEY": "key", "STRING": "value"},
    "ValueField": {"SCALAR_KEY": "key", "SCALAR": "value"},
    "Value": {
        "NULL": "null_value",
        "BOOL": "bool_value",
        "INT": "int_value",
        "FLOAT": "float_value",
        "TEXT": "string_value",
        "LIST": "list_value",
        "STRUCT": "struct_value",
    },
    "ValueList": {"VALUES": "values"},
    "ValueStruct": {"FIELDS": "fields"},
    "ValueStruct.FieldsEntry": {"ENTRY_KEY": "key", "ENTRY_VALUE": "value"},
}


def test_every_tag_is_tested() -> None:
    ours = {name for name, tag in vars(tags).items() if isinstance(tag, int)}
    assert ours == {tag for fields in FIELDS.values() for tag in fields}


@pytest.mark.parametrize("message", FIELDS)
def test_the_tags_name_the_fields_of_the_schema(message: str) -> None:
    for tag, field in FIELDS[message].items():
        number = describe(message).fields_by_name[field].number
        assert getattr(tags, tag) >> 3 == number


def test_a_tag_of_two_bytes_is_refused_by_name() -> None:
    @dataclasses.dataclass(eq=False, repr=False)
    class Wide(betterproto.Message):
        near: str = betterproto.string_field(15)
        far: str = betterproto.string_field(16)

    assert tags._tag(Wide, "near") == 0x7A
    with pytest.raises(NotImplementedError, match=r"^far: "):
        tags._tag(Wide, "far")
