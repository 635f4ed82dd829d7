# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The plain Python types that callers and handlers exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""An array of any shape, of one of the supported dtypes."""

ObservationValue: TypeAlias = Union[
    Array, str, bool, int, float, "np.bool_", "np.integer[Any]", "np.floating[Any]"
]
"""What one key of an observation may hold."""

Observation: TypeAlias = dict[str, ObservationValue]
"""What one environment or robot saw at one step."""

ObservationLike: TypeAlias = Mapping[str, Any]
"""What a client takes for an observation: also lists, torch CPU tensors, and whatever
else ``np.asarray`` turns into an array of a supported dtype. Checked when it is sent."""

PolicyKwargValue: TypeAlias = Union[
    bool,
    int,
    float,
    str,
    "np.bool_",
    "np.integer[Any]",
    "np.floating[Any]",
    Sequence["PolicyKwargValue"],
    Mapping[str, "PolicyKwargValue"],
    None,
]
"""What one policy keyword argument may hold. Arrives as None, bool, int, float,
str, list or dict."""
