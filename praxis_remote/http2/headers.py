# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Header compression that remembers what it has compressed.

The headers of one call are those of the last one, deadline aside. As long as hpack's
dynamic table does not change, the same headers are the same bytes. Nothing here
decides what a header means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from typing_extensions import override

K = TypeVar("K")
V = TypeVar("V")

# RFC 7541, section 6.1: a field from either table in one byte.
_INDEXED = re.compile(rb"[\x81-\xfe]*")

# Sections 4.2 and 6.3: allowed at the start of a block only.
_KIND_MASK, _SIZE_UPDATE = 0xE0, 0x20

# Blocks that are remembered; a peer that sends ever new ones shall not fill memory.
_MAX_BLOCKS = 64


def volatile(key: str, value: str) -> NeverIndexedHeaderTuple:
    """Returns a header that is sent as it is, and leaves the dynamic table alone."""
    return NeverIndexedHeaderTuple(key, value)


class _Memory(Generic[K, V]):
    """What holds as long as a dynamic table stays as it is."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._state = _state(table)
        self._known: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Returns what is known under a key."""
        if _state(self._table) != self._state:
            self._known.clear()
            self._state = _state(self._table)
        return self._known.get(key)

    def put(self, key: K, value: V) -> None:
        """Remembers something, unless finding it out has changed the table."""
        if _state(self._table) == self._state:
            if len(self._known) >= _MAX_BLOCKS:
                self._known.clear()
            self._known[key] = value


def _state(table: Any) -> tuple[int, int]:
    """Returns what changes with every change of a dynamic table.

    Entries are added in front and dropped at the end.
    """
    entries = table.dynamic_entries
    return (id(entries[0]), len(entries)) if entries else (0, 0)


class RememberingEncoder(Encoder):
    """Compresses headers; volatile ones must come last."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[tuple[Any, ...], bytes] = _Memory(self.header_table)

    @override
    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        """Returns the block of these headers."""
        fields = list(headers)
        stable = len(fields)
        while stable and isinstance(fields[stable - 1], NeverIndexedHeaderTuple):
            stable -= 1
        block = self._encode_stable(tuple(fields[:stable]), huffman)
        return block + super().encode(fields[stable:], huffman) if stable < len(fields) else block

    def _encode_stable(self, fields: tuple[Any, ...], huffman: bool) -> bytes:
        if self.header_table.resized:
            # The block begins with the table's new size, once.
            return super().encode(list(fields), huffman)
        block = self._blocks.get(fields)
        if block is None:
            block = super().encode(list(fields), huffman)
            self._blocks.put(fields, block)
        return block


class RememberingDecoder(Decoder):
    """Decompresses headers, the indexed ones at the start of a block from memory."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[bytes, list[Any]] = _Memory(self.header_table)

    @override
    def decode(self, data: bytes, raw: bool = False) -> Any:
        """Returns the headers of a block."""
        data = bytes(data)
        match = _INDEXED.match(data)
        length = 0 if match is None else match.end()
        prefix, rest = data[:length], data[length:]
        if not raw or not prefix or (rest and rest[0] & _KIND_MASK == _SIZE_UPDATE):
            return super().decode(data, raw)
        fields = self._blocks.get(prefix)
        if fields is None:
            fields = list(super().decode(prefix, raw))
            self._blocks.put(prefix, fields)
        return [*fields, *super().decode(rest, raw)] if rest else list(fields)
