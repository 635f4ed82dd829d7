# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""policy_kwargs, both ways, as deep as protobuf parses them and without recursion.

Nothing here knows observations, or what a value without others looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..values import (
    KWARGS_DEPTH,
    LIST_STEP,
    MAX_DEPTH,
    STRUCT_STEP,
    as_plain,
    check_depth,
    is_list,
    unique_items,
)
from ..wire import Buffer, write_varint
from .fields import CostlyError, Parts, enter, expect, read_size, read_text, write_field
from .leaves import read_leaf, write_leaf
from .tags import ENTRY_KEY, ENTRY_VALUE, FIELDS, LIST, POLICY_KWARGS, STRUCT, VALUES


class _Container(NamedTuple):
    """A mapping or list of policy_kwargs that is being written."""

    items: Iterator[tuple[str | int, Any]]
    name: str
    tag: int
    mapped: bool
    depth: int


class KwargsWriter:
    """Adds policy_kwargs to the parts, with what is open on a stack of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._size = 0
        self._slots: list[tuple[int, int]] = []
        self._stack: list[_Container] = []

    def add(self, policy_kwargs: Mapping[str, Any]) -> None:
        """Adds all of them.

        Raises:
            UnsupportedTypeError, InvalidValueError: One has no form on the wire.
        """
        name = "policy_kwargs"
        items = unique_items(policy_kwargs, name)
        self._stack = [_Container(items, name, POLICY_KWARGS, True, KWARGS_DEPTH)]
        while self._stack:
            item = next(self._stack[-1].items, None)
            if item is not None:
                self._add_item(*item)
                continue
            self._stack.pop()
            if self._stack:
                self._end_item(self._stack[-1])

    def _add_item(self, key: str | int, value: Any) -> None:
        parent = self._stack[-1]
        name = f"{parent.name}[{key!r}]"
        check_depth(parent.depth, name)
        if isinstance(value, Mapping):
            check_depth(parent.depth + 1, name)
            self._begin_item(parent, key)
            items: Iterator[tuple[str | int, Any]] = unique_items(value, name)
            self._begin(STRUCT)
            self._stack.append(_Container(items, name, FIELDS, True, parent.depth + STRUCT_STEP))
        elif is_list(value):
            check_depth(parent.depth + 1, name)
            self._begin_item(parent, key)
            self._begin(LIST)
            items = enumerate(value)
            self._stack.append(_Container(items, name, VALUES, False, parent.depth + LIST_STEP))
        else:
            self._add_leaf(parent, key, write_leaf(as_plain(value, name)))

    def _add_leaf(self, parent: _Container, key: str | int, content: bytes) -> None:
        if parent.mapped:
            # Entries have both fields always, an empty key too.
            named = write_field(ENTRY_KEY, str(key).encode()) + write_field(ENTRY_VALUE, content)
            self._put(write_field(parent.tag, named))
        else:
            self._put(write_field(parent.tag, content))

    def _begin_item(self, parent: _Container, key: str | int) -> None:
        self._begin(parent.tag)
        if parent.mapped:
            self._put(write_field(ENTRY_KEY, str(key).encode()))
            self._begin(ENTRY_VALUE)

    def _end_item(self, parent: _Container) -> None:
        for _ in range(3 if parent.mapped else 2):
            self._end()

    def _begin(self, tag: int) -> None:
        """Begins a message whose size is put into its slot at its end."""
        self._put(bytes((tag,)))
        self._slots.append((len(self._parts), self._size))
        self._parts.append(b"")

    def _end(self) -> None:
        slot, start = self._slots.pop()
        self._parts[slot] = size = write_varint(self._size - start)
        self._size += len(size)

    def _put(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)


class _Filling(NamedTuple):
    """A mapping or list of policy_kwargs that is being read."""

    container: dict[str, Any] | list[Any]
    tag: int
    end: int
    depth: int


def read_kwargs(
    buffer: Buffer, position: int, end: int, policy_kwargs: dict[str, Any], items: int
) -> int:
    """Reads entries into policy_kwargs, with what is open on a stack of its own.

    Returns how many more items may be read.
    """
    top = _Filling(policy_kwargs, POLICY_KWARGS, end, KWARGS_DEPTH)
    stack = [top]
    while stack:
        top = stack[-1]
        if position == top.end:
            stack.pop()
            continue
        expect(buffer[position] == top.tag and top.depth <= MAX_DEPTH)
        start, stop = read_size(buffer, position + 1, top.end)
        key = ""
        if isinstance(top.container, dict):
            key, start = read_text(buffer, start, stop, ENTRY_KEY)
            start = enter(buffer, start, stop, ENTRY_VALUE)
        inner = _begin_container(buffer, start, stop, top)
        value: Any
        if inner is None:
            value, position = read_leaf(buffer, start, stop), stop
        else:
            value, position = inner.container, enter(buffer, start, stop, buffer[start])
            stack.append(inner)
        if isinstance(top.container, dict):
            top.container[key] = value
        else:
            top.container.append(value)
        items -= 1
        if items < 0:
            raise CostlyError
    return items


def _begin_container(buffer: Buffer, start: int, stop: int, parent: _Filling) -> _Filling | None:
    expect(start < stop)
    tag = buffer[start]
    if tag not in (LIST, STRUCT):
        return None
    expect(parent.depth + 1 <= MAX_DEPTH)
    # What lies in a list is the step of a list deeper than the list's own Value.
    if tag == LIST:
        return _Filling([], VALUES, stop, parent.depth + LIST_STEP)
    return _Filling({}, FIELDS, stop, parent.depth + STRUCT_STEP)
