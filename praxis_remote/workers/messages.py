# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the door and a worker say to each other, over a socket of their own.

Both are of one installation and trust each other; the messages are JSON all the same, and
no code. Nothing here does I/O.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

__all__ = ["Message", "MessageReader", "write_message"]

# The sizes of the fields and of the body.
_HEAD = struct.Struct(">II")


class Message(NamedTuple):
    """One of those in the table.

    From the door:

    - ``serve``: the address is listened on (``host``, ``port``), and connections follow.
    - ``connection``: one, whose socket comes with it; ``id``, ``since`` and ``peer`` if the
      socket does not tell. The body is what was received on it.
    - ``stop``: no more calls are taken; ``grace``.

    From a worker:

    - ``loaded``: the ``policy`` is.
    - ``failed``: it cannot be, or its warmup has; ``reason``, ``exit_code``.
    - ``warm``: calls are answered.
    - ``taken``: the connection ``id`` is the worker's from now on.
    - ``dropped``: it is closed.

    From both:

    - ``ask``: for ``what``, which is ``status`` (over ``seconds``) or ``metrics``; ``id``.
    - ``answer``: to the question ``id``. The body is the answer, empty if there is none.
    """

    kind: str
    fields: dict[str, Any]
    body: bytes = b""


def write_message(message: Message) -> bytes:
    """Returns a message as it is sent."""
    text = json.dumps([message.kind, message.fields]).encode()
    return _HEAD.pack(len(text), len(message.body)) + text + message.body


class MessageReader:
    """Reads messages, in whatever pieces they come."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Takes the next bytes; returns the messages that are whole with them."""
        self._received += data
        messages, at = [], 0
        while len(self._received) - at >= _HEAD.size:
            size, body_size = _HEAD.unpack_from(self._received, at)
            begin = at + _HEAD.size
            if len(self._received) < begin + size + body_size:
                break
            at = begin + size + body_size
            kind, fields = json.loads(self._received[begin : begin + size])
            messages.append(Message(kind, fields, bytes(self._received[begin + size : at])))
        del self._received[:at]
        return messages
