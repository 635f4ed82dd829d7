# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import betterproto
import pytest
from oracle import MESSAGES, google_bytes, to_google
from strategies import RICH

from praxis_remote.schema import (
    DType,
    HealthResponse,
    Observation,
    PredictRequest,
    StringField,
    Tensor,
    Value,
)
from praxis_remote.serialization import encode_request
from praxis_remote.wire import read_message, write_message
from praxis_remote.wire.fields import fields_of
from praxis_remote.wire.messages import Blank, attributes_of


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
    data = google_bytes(to_google(*RICH))
    monkeypatch.delattr(betterproto.Message, "_get_field_default")
    request = read_message(PredictRequest, data)
    tensor = request.observations[1].tensors[0].tensor
    assert (tensor.data, list(tensor.shape), tensor.dtype) == (b"", [0, 3], 6)
    assert request.observations[1].tensors[0].key == ""
    assert read_message(HealthResponse, b"").ready is False
    assert read_message(Tensor, b"").dtype is DType.DTYPE_UNSPECIFIED


@pytest.mark.parametrize("cls", MESSAGES)
def test_a_blank_makes_what_betterproto_parses_from_nothing(
    cls: type[betterproto.Message],
) -> None:
    blank = Blank(cls, fields_of(cls))
    (one, attributes), (other, _) = blank.new(), blank.new()
    theirs = cls().parse(b"")
    assert one == theirs
    assert attributes_of(one) is attributes
    assert attributes.keys() == attributes_of(theirs).keys()
    assert attributes["_group_current"] == attributes_of(theirs)["_group_current"]
    for name, value in attributes_of(other).items():
        if isinstance(value, (list, dict)) and not name.startswith("_"):
            assert value is not attributes[name]
