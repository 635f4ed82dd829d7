# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer
from praxis_remote.specs import (
    FlagSpec,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
)
from praxis_remote.testing import RecordingHandler


def serve(**options: Any) -> None:
    PolicyServer(RecordingHandler(), port=0, **options).stop()


def call(**options: Any) -> None:
    PolicyClient(**options).close()


def call_async(**options: Any) -> None:
    asyncio.run(AsyncPolicyClient(**options).close())


FLAGS: list[tuple[Callable[..., object], str]] = [
    (serve, "batched"),
    (serve, "end_episodes_on_disconnect"),
    (serve, "shared_memory"),
    (call, "shared_memory"),
    (call_async, "shared_memory"),
    (TensorSpec, "required"),
    (TextSpec, "required"),
    (FlagSpec, "required"),
    (NumberSpec, "required"),
    (NumberSpec, "whole"),
    (lambda **options: KwargSpec("text", **options), "required"),
    (lambda **options: ObservationSpec({}, **options), "extra_keys"),
    (lambda **options: ObservationSpec({}, **options), "extra_policy_kwargs"),
]


@pytest.mark.parametrize(("make", "name"), FLAGS)
def test_an_option_that_is_on_or_off_takes_nothing_that_merely_counts_as_true(
    make: Callable[..., object], name: str
) -> None:
    for wrong in ("no", 1, 0, None, [True]):
        with pytest.raises(TypeError) as raised:
            make(**{name: wrong})
        assert str(raised.value).startswith(f"{name}: {wrong!r}; pass True or")
    for right in (True, False, np.True_):
        make(**{name: right})
