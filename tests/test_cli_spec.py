# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a served policy expects is printed, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from command import fails, says

from praxis_remote import PolicyServer
from praxis_remote.specs import (
    FlagSpec,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
)
from praxis_remote.testing import SpecifiedHandler

SPEC = ObservationSpec(
    {
        "observation.state": TensorSpec(["float32", "float64"], (7,)),
        "observation.images.front": TensorSpec("uint8", (..., "H", None, 3)),
        "task": TextSpec(required=False),
        "grip": FlagSpec(),
        "step": NumberSpec(whole=True),
        "\x1b[31m\n": NumberSpec(),
    },
    policy_kwargs={"temperature": KwargSpec(["number", "null"])},
    extra_policy_kwargs=False,
)


@pytest.fixture
def specified(host: str) -> Iterator[str]:
    with PolicyServer(SpecifiedHandler(SPEC), host=host, port=0) as server:
        yield server.address


def test_a_spec_is_printed_as_a_table(capsys: pytest.CaptureFixture[str], specified: str) -> None:
    assert says(capsys, "spec", specified).splitlines() == [
        "observation               expected                 required",
        "observation.state         float32 or float64 (7,)  yes",
        "observation.images.front  uint8 (..., H, any, 3)   yes",
        "task                      text                     no",
        "grip                      flag                     yes",
        "step                      whole number             yes",
        r"\x1b[31m\n                number                   yes",
        "any other                 anything                 no",
        "",
        "policy_kwargs  expected        required",
        "temperature    number or null  no",
        "any other      not allowed     no",
    ]


def test_a_spec_is_printed_as_json(capsys: pytest.CaptureFixture[str], specified: str) -> None:
    found = json.loads(says(capsys, "spec", specified, "--json"))
    assert found == SPEC.as_dict()
    assert found["keys"]["observation.images.front"] == {
        "kind": "tensor",
        "required": True,
        "dtypes": ["uint8"],
        "shape": ["...", "H", None, 3],
    }
    assert found["policy_kwargs"] == {
        "temperature": {"kinds": ["number", "null"], "required": False}
    }


def test_of_a_policy_that_has_none_that_is_said(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert says(capsys, "spec", address) == f"{address} publishes no observation spec\n"
    assert says(capsys, "spec", address, "--json") == "null\n"


def test_a_spec_of_nobody_exits_1(capsys: pytest.CaptureFixture[str], nobody: str) -> None:
    assert fails(capsys, 1, "spec", nobody).startswith("UNAVAILABLE: ")


def test_what_is_wrong_with_an_observation_is_one_line_of_the_shell(
    capsys: pytest.CaptureFixture[str], specified: str
) -> None:
    said = fails(capsys, 1, "predict", specified, "--json", '{"grip": 1}')
    assert "in 5 ways: 1. observations[0]['observation.state']: got nothing, expected" in said
