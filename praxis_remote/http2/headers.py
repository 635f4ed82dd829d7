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
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hpack.exceptions import OversizedHeaderListError
from hpack.hpack import encode_integer
from typing_extensions import override

from ..calls import Headers

K = TypeVar("K")
V = TypeVar("V")

# RFC 7541, section 6.1: a field from either table in one byte.
_INDEXED = re.compile(rb"[\x81-\xfe]*")

# Section 6.2.3: a field that no table shall hold, whose name is written out.
_NEVER_INDEXED = b"\x10"

# Section 5.1: a length that does not fit into the seven bits beside Huffman's flag.
_LONG = 127

# RFC 9113, section 6.5.2: what each field counts on top of its text.
_EACH = 32

# Sections 4.2 and 6.3: allowed at the start of a block only.
_KIND_MASK, _SIZE_UPDATE = 0xE0, 0x20

# Blocks that are remembered, and the bytes of each; a peer that sends ever new ones shall
# not fill memory.
_MAX_BLOCKS = 64
_MAX_BLOCK = 1024

# The bytes of a deadline, which often comes again; a timing or a span never does.
_MAX_REPEATED = 32

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


def _literal(text: str | bytes) -> bytes:
    """Returns a text of a field, in bytes as they are: Huffman's code costs more than it saves."""
    raw = text if isinstance(text, bytes) else text.encode("latin-1")
    length = bytes([len(raw)]) if len(raw) < _LONG else bytes(encode_integer(len(raw), 7))
    return length + raw


@lru_cache(maxsize=64)
def _literal_name(name: str | bytes) -> bytes:
    return _NEVER_INDEXED + _literal(name)


class RememberingEncoder(Encoder):
    """Compresses headers; volatile ones must come last."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[tuple[Any, ...], bytes] = _Memory(self.header_table)

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
            return self._encode(fields, huffman)
        block = self._encode(fields[:stable], huffman)
        return block + b"".join(
            [_literal_name(name) + _literal(value) for name, value in fields[stable:]]
        )

    def _encode(self, fields: tuple[Any, ...], huffman: bool) -> bytes:
        if self.header_table.resized:
            # The block begins with the table's new size, once.
            return super().encode(list(fields), huffman)
        block = self._blocks.get(fields)
        if block is None:
            block = super().encode(list(fields), huffman)
            self._blocks.put(fields, block, len(block))
        return block


class Fields(tuple[Any, ...]):
    """The headers of a block: pairs of bytes.

    Attributes:
        text: The same as pairs of text, each byte a character.
        plain: Whether they ask nothing of the frames that follow: no interim response
            (status 1xx) and no content-length.
        size: Of all, as HTTP/2 counts it.
    """

    text: Headers
    plain: bool
    size: int

    @classmethod
    def of(cls, pairs: Iterable[Any]) -> Fields:
        """Returns headers together with their text."""
        return _NO_FIELDS.followed_by(pairs)

    def followed_by(self, pairs: Iterable[Any]) -> Fields:
        """Returns these and more, together with their text."""
        more = tuple(pairs)
        fields = Fields((*self, *more))
        text, plain, size = list(self.text), self.plain, self.size
        for field in more:
            # Decodes any byte, where ASCII would close the connection.
            key, value = str(field[0], "latin-1"), str(field[1], "latin-1")
            text.append((key, value))
            size += len(key) + len(value) + _EACH
            if key == "content-length" or (key == ":status" and value.startswith("1")):
                plain = False
        fields.text, fields.plain, fields.size = tuple(text), plain, size
        return fields


_NO_FIELDS = Fields()
_NO_FIELDS.text, _NO_FIELDS.plain, _NO_FIELDS.size = (), True, 0


def _read_literals(data: bytes) -> list[Any] | None:
    """Returns fields as `RememberingEncoder` writes volatile ones; None for any other form."""
    fields: list[Any] = []
    at, size = 0, len(data)
    while at < size:
        if data[at] != _NEVER_INDEXED[0] or at + 1 >= size:
            return None
        value_at = at + 2 + data[at + 1]
        if data[at + 1] >= _LONG or value_at >= size or data[value_at] >= _LONG:
            return None
        end = value_at + 1 + data[value_at]
        if end > size:
            return None
        name, value = data[at + 2 : value_at], data[value_at + 1 : end]
        fields.append(NeverIndexedHeaderTuple(name, value))
        at = end
    return fields


class RememberingDecoder(Decoder):
    """Decompresses headers, those that it has seen from memory."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: _Memory[bytes, Fields] = _Memory(self.header_table)
        # Apart, so that ever new deadlines drive out nothing but each other.
        self._volatile: _Memory[bytes, Fields] = _Memory(self.header_table)
        self._prefixes: _Memory[bytes, Fields] = _Memory(self.header_table)

    @override
    def decode(self, data: bytes, raw: bool = True) -> Fields:
        """Returns the headers of a block, as bytes whatever ``raw`` says.

        Raises:
            HPACKError: The block is broken, or larger than allowed once decompressed.
        """
        data = bytes(data)
        fields = self._blocks.get(data)
        return self._decode(data) if fields is None else fields

    def _decode(self, data: bytes) -> Fields:
        match = _INDEXED.match(data)
        length = match.end() if match else 0
        short = len(data) - length <= _MAX_REPEATED
        if short and (again := self._volatile.get(data)) is not None:
            return again
        prefix, rest = data[:length], data[length:]
        if not prefix or not rest or rest[0] & _KIND_MASK == _SIZE_UPDATE:
            fields = Fields.of(super().decode(data, raw=True))
            self._blocks.put(data, fields, len(data))
            return fields
        known = self._prefixes.get(prefix)
        if known is None:
            known = Fields.of(super().decode(prefix, raw=True))
            self._prefixes.put(prefix, known, len(prefix))
        more = _read_literals(rest)
        fields = known.followed_by(super().decode(rest, raw=True) if more is None else more)
        if fields.size > self.max_header_list_size:
            # Each part has kept to it; now the whole is held to it.
            raise OversizedHeaderListError(
                f"headers of {fields.size} bytes; allowed: {self.max_header_list_size}"
            )
        if short:
            self._volatile.put(data, fields, len(data))
        return fields
