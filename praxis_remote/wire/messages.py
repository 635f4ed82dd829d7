# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""betterproto's messages without what it does at every look: new ones, and their attributes.

Nothing here knows how a message is laid out in bytes.
"""

from __future__ import annotations

from typing import Any

import betterproto

from .fields import Field


def attributes_of(message: betterproto.Message) -> dict[str, Any]:
    """Returns what a message holds, to read and to change."""
    # Its own __getattribute__ looks for oneofs and defaults at each access.
    attributes: dict[str, Any] = object.__getattribute__(message, "__dict__")
    return attributes


class Blank:
    """A message before anything is read into it, to make others from."""

    def __init__(self, cls: type[betterproto.Message], fields: list[Field]) -> None:
        self._cls = cls
        self._attributes: dict[str, object] = {item.name: item.default() for item in fields}
        self._attributes.update(_serialized_on_wire=True, _unknown_fields=b"", _group_current={})
        self._groups = {item.group: None for item in fields if item.group is not None}
        self._containers = [item for item in fields if item.repeated or item.mapped]

    def new(self) -> tuple[betterproto.Message, dict[str, Any]]:
        """Returns a message as betterproto would have made it, and its attributes.

        Its ``__init__`` takes 20 µs, and each default it looks up changes the
        process's warning filters for a moment. Absent fields hold their defaults
        from the start, so that no reader of the message causes such a look-up
        (but for absent messages, which must stay absent).
        """
        attributes = self._attributes.copy()
        for item in self._containers:
            attributes[item.name] = {} if item.mapped else []
        if self._groups:
            attributes["_group_current"] = self._groups.copy()
        message = self._cls.__new__(self._cls)
        object.__setattr__(message, "__dict__", attributes)
        return message, attributes
