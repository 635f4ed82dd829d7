# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The client's part of shared memory: what it makes for one connection, and lends with calls."""

from __future__ import annotations

import asyncio
import enum
import mmap
import os
import secrets
from typing import NamedTuple

from ..errors import BadResponseError, InvalidArgumentError
from ..framing import Segments
from .area import FREE, GONE, HEAD_BYTES, LARGE_BYTES, LENT, NONCE_BYTES, Area, copy, pad
from .memfd import make
from .reference import MAPPED, REFUSED, UNREAD, Offer, Reference, decode_place

# Pieces of memory that one connection may have, each of which takes a file.
_MAX_PIECES = 8

# What was not used for so long is given back to the system.
_SPARE_SECONDS = 5.0

# So that messages of about the same size find room in the same memory.
_STEP = 2 * 2**20


class _Piece:
    """Memory of this process, which the server may open.

    Attributes:
        area: It.
        loaned: Whether a call of this process uses it.
        recent: Whether one has, of late.
    """

    def __init__(self, size: int) -> None:
        self._file, memory = make(size)
        self.area = Area(memory)
        self.area.nonce = secrets.token_bytes(NONCE_BYTES)
        self.loaned = self.recent = False

    @property
    def free(self) -> bool:
        """Whether no call, no array here and nobody at the server uses it."""
        return not (self.loaned or self.area.claimed or self.area.state != FREE)

    def lend(self) -> None:
        """Has it be the server's, and a call's."""
        self.loaned = self.recent = True
        self.area.state = LENT

    def give_back(self, *, untouched: bool) -> None:
        """Takes the news that the call has ended, and whether the server never looked."""
        self.loaned = False
        if untouched and self.area.state == LENT:
            self.area.state = FREE

    def refer(self, start: int = HEAD_BYTES, length: int = 0) -> Reference:
        """Returns what names it, and a message in it."""
        return Reference(self._file, self.area.nonce, self.area.size, start, length)

    def close(self) -> None:
        """Lets the server know that it is not needed any more."""
        self.area.state = GONE

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class _Loaned(NamedTuple):
    """A piece, and how the server is told of it."""

    piece: _Piece
    reference: Reference


class Loan:
    """What a call has of shared memory.

    Args:
        lender: Whose it is.
        segments: What is to be sent on the socket.
        request: Where the request is, if it is in memory.
        response: Where the response may be.
        asks: Whether it only asks if the server could use memory.

    Attributes:
        segments: See above.
        offer: The metadata that names the memory.
        sent: Whether the server may have got that.
    """

    def __init__(
        self,
        lender: Lender,
        segments: Segments,
        request: _Loaned | None,
        response: _Loaned | None = None,
        *,
        asks: bool = False,
    ) -> None:
        self._lender = lender
        self._lent = [lent for lent in (request, response) if lent is not None]
        self._response = response
        self._asks = asks
        self._word: str | None = None
        self.segments = segments
        self.offer = Offer(request and request.reference, response and response.reference).encode()
        self.sent = False

    @property
    def refused(self) -> bool:
        """Whether the server cannot use the memory, and so has not taken the call."""
        return self._word == REFUSED

    def hear(self, word: str) -> None:
        """Takes what the reply says of the memory."""
        self._word = word

    def read(self, message: bytearray | memoryview) -> bytearray | memoryview:
        """Returns the response, which may be in memory that was lent for it.

        Args:
            message: What came on the socket.

        Raises:
            BadResponseError: It cannot be where the server says.
        """
        if self._response is not None and self._word:
            area = self._response.piece.area
            try:
                place = decode_place(self._word, area.size)
            except InvalidArgumentError as error:
                raise BadResponseError(error.details()) from None
            if place is not None:
                message = area.claim(*place, tell=False)
        return message

    def end(self) -> None:
        """Takes the news that the call has ended, however it did."""
        untouched = not self.sent or self._word in (UNREAD, REFUSED)
        for lent in self._lent:
            lent.piece.give_back(untouched=untouched)
            if self._asks:
                lent.piece.close()
        self._lender.ended(self._word, asked=self._asks)


class _Stage(enum.Enum):
    """What is known of a server."""

    UNKNOWN = enum.auto()
    ASKED = enum.auto()
    ABLE = enum.auto()
    UNABLE = enum.auto()


# To the question whether it can; of a call that was given up, or refused unread, there is none.
_ANSWERS = {MAPPED: _Stage.ABLE, UNREAD: _Stage.UNKNOWN, None: _Stage.UNKNOWN}


class Lender:
    """The memory of one connection. It is made by the calls that need it.

    Args:
        max_message_size: Bytes of a request or a response.
    """

    def __init__(self, max_message_size: int) -> None:
        self._max_bytes = 4 * max_message_size
        self._pieces: list[_Piece] = []
        self._stage = _Stage.UNKNOWN
        # Bytes that the next response of a method may have: those of the last one.
        self._expected: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wants(self, path: str, size: int) -> bool:
        """Tells whether a call of a method, with a request of so many bytes, shall lend any."""
        return size >= LARGE_BYTES or path in self._expected

    def note_response(self, path: str, size: int) -> None:
        """Takes note of a response; the next one of the method may have the same size."""
        if size >= LARGE_BYTES:
            self._expected[path] = size
        elif self._expected:
            self._expected.pop(path, None)

    async def lend(self, path: str, segments: Segments) -> Loan | None:
        """Returns the loan for a call; None where the socket has to do."""
        if self._stage is _Stage.UNKNOWN:
            return self._ask(segments)
        if self._stage is not _Stage.ABLE:
            return None
        size = sum(map(len, segments))
        request = self._take(size) if size >= LARGE_BYTES else None
        response = self._take(self._expected[path]) if path in self._expected else None
        if request is None and response is None:
            return None
        room = None if response is None else _Loaned(response, response.refer())
        if request is None:
            return Loan(self, segments, None, room)
        start = HEAD_BYTES + pad(segments)
        filled = Loan(self, [], _Loaned(request, request.refer(start, size)), room)
        try:
            await copy(segments, request.area.view(start, size))
        except BaseException:
            filled.end()
            raise
        return filled

    def _ask(self, segments: Segments) -> Loan | None:
        """Returns the loan of a call that asks whether the server can use any."""
        try:
            piece = _Piece(mmap.PAGESIZE)
        except OSError:
            self._stage = _Stage.UNABLE
            return None
        self._stage = _Stage.ASKED
        return Loan(self, segments, _Loaned(piece, piece.refer()), asks=True)

    def ended(self, word: str | None, *, asked: bool) -> None:
        """Takes what a reply says, None if there is none, and whether its call has asked."""
        if word == REFUSED:
            self._stage = _Stage.UNABLE
            self.close()
        elif asked and self._stage is _Stage.ASKED:
            self._stage = _ANSWERS.get(word, _Stage.UNABLE)

    def _take(self, size: int) -> _Piece | None:
        """Returns a piece with room for a message; None if it would be too much."""
        size += 2 * HEAD_BYTES
        fit = [piece for piece in self._pieces if size <= piece.area.size and piece.free]
        piece = min(fit, key=lambda piece: piece.area.size, default=None)
        piece = piece or self._make(-(-size // _STEP) * _STEP)
        if piece is not None:
            # The one that was used last is last.
            self._pieces.remove(piece)
            self._pieces.append(piece)
            piece.lend()
            if self._timer is None:
                self._look_later()
        return piece

    def _make(self, size: int) -> _Piece | None:
        for piece in [piece for piece in self._pieces if piece.free]:
            if self._fits(size):
                break
            self._pieces.remove(piece)
            piece.close()
        if not self._fits(size):
            return None
        try:
            piece = _Piece(size)
        except OSError:
            return None
        self._pieces.append(piece)
        return piece

    def _fits(self, size: int) -> bool:
        taken = sum(piece.area.size for piece in self._pieces)
        return len(self._pieces) < _MAX_PIECES and taken + size <= self._max_bytes

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SPARE_SECONDS, self._drop_spare)

    def _drop_spare(self) -> None:
        """Gives back to the system what was not used of late."""
        self._timer = None
        for piece in [piece for piece in self._pieces if piece.free and not piece.recent]:
            self._pieces.remove(piece)
            piece.close()
        for piece in self._pieces:
            piece.recent = False
        if self._pieces:
            self._look_later()

    def close(self) -> None:
        """Lets go of all."""
        if self._timer is not None:
            self._timer.cancel()
        for piece in self._pieces:
            piece.close()
        self._pieces.clear()
