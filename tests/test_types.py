# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""`typing/api.py` has what the type checker makes of these; here is what they hold."""

from __future__ import annotations

from typing import get_args, get_origin

from praxis_remote import Observation, ObservationValue, PolicyKwargValue


def test_an_observation_is_a_dict_from_text_to_the_values_it_may_hold() -> None:
    assert get_origin(Observation) is dict
    assert get_args(Observation) == (str, ObservationValue)


def test_plain_values_may_be_observed_and_passed_to_a_policy() -> None:
    for kind in (str, bool, int, float):
        assert kind in get_args(ObservationValue)
        assert kind in get_args(PolicyKwargValue)
    assert type(None) in get_args(PolicyKwargValue)
    assert type(None) not in get_args(ObservationValue)
