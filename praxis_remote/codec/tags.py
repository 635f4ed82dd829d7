# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The tag of each field, from the schema's classes.

Nothing here reads or writes.
"""

from __future__ import annotations

import betterproto

from ..schema import (
    NamedTensor,
    PredictRequest,
    PredictResponse,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)
from ..schema import Observation as ObservationMessage
from ..wire import field_tag


def _tag(cls: type[betterproto.Message], *path: str) -> int:
    tag = field_tag(cls, *path)
    if tag >= 0x80:
        raise NotImplementedError(f"{path[-1]}: this package takes tags of one byte only")
    return tag


OBSERVATIONS = _tag(PredictRequest, "observations")
POLICY_KWARGS = _tag(PredictRequest, "policy_kwargs")
EPISODE_IDS = _tag(PredictRequest, "episode_ids")
ACTION = _tag(PredictResponse, "action")
TENSORS = _tag(ObservationMessage, "tensors")
STRINGS = _tag(ObservationMessage, "strings")
SCALARS = _tag(ObservationMessage, "scalars")
TENSOR_KEY = _tag(NamedTensor, "key")
TENSOR = _tag(NamedTensor, "tensor")
DATA = _tag(Tensor, "data")
SHAPE = _tag(Tensor, "shape")
DTYPE = _tag(Tensor, "dtype")
STRING_KEY = _tag(StringField, "key")
STRING = _tag(StringField, "value")
SCALAR_KEY = _tag(ValueField, "key")
SCALAR = _tag(ValueField, "value")
NULL = _tag(Value, "null_value")
BOOL = _tag(Value, "bool_value")
INT = _tag(Value, "int_value")
FLOAT = _tag(Value, "float_value")
TEXT = _tag(Value, "string_value")
LIST = _tag(Value, "list_value")
STRUCT = _tag(Value, "struct_value")
VALUES = _tag(ValueList, "values")
FIELDS = _tag(ValueStruct, "fields")
ENTRY_KEY = _tag(ValueStruct, "fields", "key")
ENTRY_VALUE = _tag(ValueStruct, "fields", "value")
