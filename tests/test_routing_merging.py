# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Actions for parts of a batch, put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from praxis_remote.errors import HandlerError
from praxis_remote.routing.merging import Part, merge


@settings(max_examples=examples(100))
@given(
    owners=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    shape=st.sampled_from([(), (2,), (3, 2)]),
    dtype=st.sampled_from([np.float32, np.int64, np.bool_]),
)
def test_rows_come_back_in_the_batchs_order(
    owners: list[int], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    whole = np.arange(len(owners) * int(np.prod(shape))).reshape(len(owners), *shape).astype(dtype)
    parts = []
    for owner in sorted(set(owners)):
        rows = [row for row, of in enumerate(owners) if of == owner]
        parts.append(Part(rows, whole[rows], f"replica {owner}"))
    merged = merge(parts[::-1])
    assert merged.dtype == whole.dtype
    np.testing.assert_array_equal(merged, whole)


@pytest.mark.parametrize("shape", [(), (1, 2), (3, 2)])
def test_an_action_without_a_row_for_each_observation_is_named(shape: tuple[int, ...]) -> None:
    parts = [
        Part([0], np.zeros((1, 2), np.float32), "replica one"),
        Part([1, 2], np.zeros(shape, np.float32), "replica two"),
    ]
    with pytest.raises(HandlerError) as error:
        merge(parts)
    assert error.value.details().startswith(
        f"replica two returned float32 of shape {shape} for 2 of a batch"
    )


@pytest.mark.parametrize(
    "other", [np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float64)], ids=["shape", "dtype"]
)
def test_actions_that_do_not_go_together_are_named(other: np.ndarray) -> None:
    parts = [Part([1], np.zeros((1, 2), np.float32), "A"), Part([0], other, "B")]
    with pytest.raises(HandlerError) as error:
        merge(parts)
    assert f"B returned {other.dtype} of shape {other.shape}" in error.value.details()
    assert "A returned float32 of shape (1, 2)" in error.value.details()
