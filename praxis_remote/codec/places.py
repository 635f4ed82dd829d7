# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where in a message the first tensor's data lies, from the message's first bytes.

So that its memory can be taken such that numpy gets an aligned view of it, not a copy.
A guess: of bytes that are not as usual it may be any place.
"""

from __future__ import annotations

import sys

from ..wire import Buffer
from .fields import UNUSUAL, read_size
from .tags import ACTION, DATA, OBSERVATIONS, TENSOR, TENSOR_KEY, TENSORS

_INSIDE_REQUEST = (OBSERVATIONS, TENSORS, TENSOR)
_INSIDE_RESPONSE = (ACTION,)


def find_data_in_request(head: Buffer) -> int:
    """Returns where the data of the first observation's first tensor lies."""
    return _find_data(head, _INSIDE_REQUEST)


def find_data_in_response(head: Buffer) -> int:
    """Returns where the action's data lies."""
    return _find_data(head, _INSIDE_RESPONSE)


def _find_data(head: Buffer, inside: tuple[int, ...]) -> int:
    position = 0
    try:
        for tag in inside:
            if tag == TENSOR and head[position] == TENSOR_KEY:
                position = _content(head, position)[1]
            if head[position] != tag:
                return 0
            position = _content(head, position)[0]
        return _content(head, position)[0] if head[position] == DATA else 0
    except UNUSUAL:
        return 0


def _content(head: Buffer, position: int) -> tuple[int, int]:
    # Its end is far beyond the head.
    return read_size(head, position + 1, sys.maxsize)
