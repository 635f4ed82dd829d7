# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a client says up to the headers of its first request, read without answering it.

Whoever takes the connection over reads the same bytes again, so that nothing here judges:
bytes that are no HTTP/2 are for him to refuse, with the words that he has for it. Nothing
here does I/O.
"""

from __future__ import annotations

import struct

from hpack import Decoder
from hpack.exceptions import HPACKError

from ..calls import SESSION_ID
from .machine import max_headers

__all__ = ["FirstRequest"]

# RFC 9113, sections 3.4, 4.1 and 6.2.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _CONTINUATION = 0x0, 0x1, 0x9
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_PRIORITY_SIZE = 5

# What comes before a request is some hundred bytes of settings; the request's headers are
# 16 KiB at most, and part of its message may have come with them.
_MAX_BYTES = 64 * 1024

_SESSION = SESSION_ID.encode()


class FirstRequest:
    """Reads a connection's first bytes as they come.

    Attributes:
        received: All of them.
        path: What the request is for; empty where that is not known.
        session: What it says of its session; None where it says nothing.
        over: Whether nothing more is to be found out: the request is there, or what came
            is none, or too much.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.path = b""
        self.session: bytes | None = None
        self.over = False
        self._at = 0
        # The block of headers, as far as it has come.
        self._block: bytearray | None = None

    def feed(self, data: bytes) -> bool:
        """Takes the next bytes; returns whether it is over."""
        self.received += data
        while not self.over and self._advance():
            pass
        self.over = self.over or len(self.received) > _MAX_BYTES
        return self.over

    def _advance(self) -> bool:
        """Reads the next part, if it is there."""
        if not self._at:
            return self._read_preface()
        begin = self._at + _HEAD.size
        if len(self.received) < begin:
            return False
        high, low, kind, flags, _ = _HEAD.unpack_from(self.received, self._at)
        end = begin + (high << 8 | low)
        expected = _HEADERS if self._block is None else _CONTINUATION
        if kind == _DATA or (kind != expected and self._block is not None) or end > _MAX_BYTES:
            self.over = True
        elif len(self.received) >= end:
            self._at = end
            if kind == expected:
                self._read_block(bytes(self.received[begin:end]), flags)
            return True
        return False

    def _read_preface(self) -> bool:
        begin = self.received[: len(_PREFACE)]
        self.over = not _PREFACE.startswith(begin)
        if len(begin) == len(_PREFACE):
            self._at = len(begin)
        return self._at > 0

    def _read_block(self, payload: bytes, flags: int) -> None:
        if self._block is None:
            self._block = bytearray()
            if flags & _PADDED:
                payload = payload[1 : max(1, len(payload) - payload[0])] if payload else b""
            if flags & _PRIORITY:
                payload = payload[_PRIORITY_SIZE:]
        self._block += payload
        if flags & _END_HEADERS:
            self.over = True
            fields = _decode(bytes(self._block))
            self.path, self.session = fields.get(b":path", b""), fields.get(_SESSION)


def _decode(block: bytes) -> dict[bytes, bytes]:
    decoder = Decoder(max_header_list_size=max_headers(client_side=False))
    try:
        fields = decoder.decode(block, raw=True)
    except HPACKError:
        return {}
    return {name: value for name, value, *_ in fields}
