# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Header compression that remembers what it has compressed.

The headers of one call are those of the last one, deadline aside. As long as hpack's
dynamic table does not change, the same headers are the same bytes. Nothing here
decides what a header means.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hpack.exceptions import OversizedHeaderListError
from typing_extensions import override

from ..calls import Headers

K = TypeVar("K")
V = TypeVar("V")

# RFC 7541, section 6.1: a field from either table in one byte.
_INDEXED = re.compile(rb"[\x81-\xfe]*")

# Sections 4.2 and 6.3: allowed at the start of a block only.
_KIND_MASK, _SIZE_UPDATE = 0xE0, 0x20

# Blocks that are remembered, and the bytes of each; a peer that sends ever new ones shall
# not fill memory.
_MAX_BLOCKS = 64
_MAX_BLOCK = 1024

# Of the dynamic table for what we send, whatever more the peer allows.
_MAX_TABLE = 4096

# It logs every header, tokens included; only who asks for it by name shall have that.
_log_of_hpack = logging.getLogger("hpack")
if _log_of_hpack.level == logging.NOTSET:
    _log_of_hpack.setLevel(logging.INFO)


def volatile(key: str, value: str) -> Any:
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
        if not self._state.holds(self._table.dynamic_entries):
            self._known.clear()
            self._state = _state(self._table)
        return self._known.get(key)

    def put(self, key: K, value: V, size: int) -> None:
        """Remembers something small, unless finding it out has changed the table."""
        if size <= _MAX_BLOCK and self._state.holds(self._table.dynamic_entries):
            if len(self._known) >= _MAX_BLOCKS:
                self._known.clear()
            self._known[key] = value


class _State(NamedTuple):
    """What changes with every change of a dynamic table.

    Entries are added in front and dropped at the end. The first one is kept, so that no
    other can take its address.
    """

    first: Any
    length: int

    def holds(self, entries: Sequence[Any]) -> bool:
        """Tells whether these are still the entries."""
        return self.length == len(entries) and (not entries or entries[0] is self.first)


def _state(table: Any) -> _State:
    entries = table.dynamic_entries
    return _State(entries[0] if entries else None, len(entries))


class RememberingEncoder(Encoder):
    """Compresses headers; volatile ones must come last."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[tuple[Any, ...], bytes] = _Memory(self.header_table)
        # Apart, so that ever new deadlines drive out nothing but each other.
        self._volatile: _Memory[tuple[Any, ...], bytes] = _Memory(self.header_table)

    @property
    def header_table_size(self) -> int:
        """Bytes of the dynamic table: as many as the peer allows, within reason."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        size = min(value, _MAX_TABLE)
        if size != self.header_table.maxsize:
            self.header_table.maxsize = size
            # RFC 7541, section 4.2: of several changes the smallest and the last are told.
            smallest = min([size, *self.table_size_changes])
            self.table_size_changes = [smallest, size] if smallest < size else [size]

    @override
    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        """Returns the block of these headers."""
        fields = tuple(headers)
        stable = len(fields)
        while stable and isinstance(fields[stable - 1], NeverIndexedHeaderTuple):
            stable -= 1
        if stable == len(fields):
            return self._encode(self._blocks, fields, huffman)
        block = self._encode(self._blocks, fields[:stable], huffman)
        # Plain text, since Huffman's code costs more time than it saves bytes.
        return block + self._encode(self._volatile, fields[stable:], False)

    def _encode(
        self, memory: _Memory[tuple[Any, ...], bytes], fields: tuple[Any, ...], huffman: bool
    ) -> bytes:
        if self.header_table.resized:
            # The block begins with the table's new size, once.
            return super().encode(list(fields), huffman)
        block = memory.get(fields)
        if block is None:
            block = super().encode(list(fields), huffman)
            memory.put(fields, block, len(block))
        return block


class Fields(tuple[Any, ...]):
    """The headers of a block: pairs of bytes.

    Attributes:
        text: The same as pairs of text, each byte a character.
        plain: Whether they ask nothing of the frames that follow: no interim response
            (status 1xx) and no content-length.
    """

    text: Headers
    plain: bool

    @classmethod
    def of(cls, pairs: Iterable[Any]) -> Fields:
        """Returns headers together with their text."""
        fields = cls(pairs)
        # Decodes any byte, where ASCII would close the connection.
        fields.text = tuple([(str(k, "latin-1"), str(v, "latin-1")) for k, v in fields])
        fields.plain = not any(
            key == "content-length" or (key == ":status" and value.startswith("1"))
            for key, value in fields.text
        )
        return fields


class RememberingDecoder(Decoder):
    """Decompresses headers, those that it has seen from memory."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[bytes, Fields] = _Memory(self.header_table)
        # Apart, so that ever new deadlines drive out nothing but each other.
        self._prefixes: _Memory[bytes, Fields] = _Memory(self.header_table)

    @override
    def decode(self, data: bytes, raw: bool = True) -> Fields:
        """Returns the headers of a block, as bytes whatever ``raw`` says.

        Raises:
            HPACKError: The block is broken, or larger than allowed once decompressed.
        """
        data = bytes(data)
        fields = self._blocks.get(data)
        if fields is None:
            fields = self._decode(data)
            self._blocks.put(data, fields, len(data))
        return fields

    def known(self, data: bytes) -> Fields | None:
        """Returns the headers of a block if they are remembered."""
        return self._blocks.get(data)

    def _decode(self, data: bytes) -> Fields:
        match = _INDEXED.match(data)
        length = 0 if match is None else match.end()
        prefix, rest = data[:length], data[length:]
        if not prefix or not rest or rest[0] & _KIND_MASK == _SIZE_UPDATE:
            return Fields.of(super().decode(data, raw=True))
        fields = self._prefixes.get(prefix)
        if fields is None:
            fields = Fields.of(super().decode(prefix, raw=True))
            self._prefixes.put(prefix, fields, len(prefix))
        both = Fields.of((*fields, *super().decode(rest, raw=True)))
        self._check_size(both)
        return both

    def _check_size(self, fields: Fields) -> None:
        """Holds the whole to the limit that each part has kept."""
        # RFC 9113, section 6.5.2: 32 bytes for each field on top of its text.
        size = sum(len(key) + len(value) + 32 for key, value in fields)
        if size > self.max_header_list_size:
            raise OversizedHeaderListError(
                f"headers of {size} bytes; allowed: {self.max_header_list_size}"
            )
