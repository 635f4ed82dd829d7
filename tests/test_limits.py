# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a server grants its peers, as it is told."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from praxis_remote import Limits
from praxis_remote.errors import InvalidValueError


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_limit_that_is_not_positive_is_an_error_that_names_it(name: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=rf"limits: {name}={value}; allowed: .*at least|0"):
        Limits(**dict[str, Any]({name: value}))


@pytest.mark.parametrize("value", [1.5, "many", None])
def test_a_number_of_connections_is_a_whole_one(value: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"limits: connections=.*a whole number"):
        Limits(connections=value)


def test_the_shortest_time_is_known() -> None:
    assert Limits(stall_seconds=0.5).shortest == 0.5
    assert Limits(connections=1).shortest > 1
