# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What one side of a connection sends, as text: a line for each write, in hex.

``turn`` lets the other side do what it does about it. A client's call may be named first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

TURN = b"turn"
CALLS = (b"health", b"predict", b"reset")


class Conversation(NamedTuple):
    """What is sent.

    Attributes:
        steps: Bytes to write; None for a turn of the other side.
        call: What the client calls, where the client is the other side.
    """

    steps: Sequence[bytes | None]
    call: bytes = CALLS[0]


def pack(conversation: Conversation) -> bytes:
    """Returns a case."""
    lines = [TURN if step is None else step.hex().encode() for step in conversation.steps]
    return b"".join(line + b"\n" for line in (conversation.call, *lines))


def unpack(case: bytes) -> Conversation:
    """Returns what a case says. Lines that say nothing are passed over."""
    lines = case.split(b"\n")
    call = lines[0] if lines[0] in CALLS else CALLS[0]
    return Conversation([step for step in map(_step, lines) if step != b""], call)


def _step(line: bytes) -> bytes | None:
    if line == TURN:
        return None
    try:
        return bytes.fromhex(line.decode("ascii"))
    except ValueError:
        return b""


def merged(steps: Iterable[bytes | None]) -> list[bytes | None]:
    """Returns the same with what is sent in one turn as one."""
    result: list[bytes | None] = []
    for step in steps:
        if step is not None and result and result[-1] is not None:
            result[-1] += step
        else:
            result.append(step)
    return result
