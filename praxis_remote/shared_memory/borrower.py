# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The server's part of shared memory: what a client offers, on one connection and with a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..calls import SHARED_MEMORY, Headers
from ..errors import InvalidValueError, MessageTooLargeError, RemoteError, ResourceExhaustedError
from ..framing import Segments
from .area import GONE, LARGE_BYTES, Area, copy, pad
from .memfd import Credentials, open_peers
from .reference import MAPPED, REFUSED, UNREAD, Reference, decode_offer, encode_place

# Areas that one connection may have mapped, each of which takes a file.
_MAX_AREAS = 16


@dataclass
class _Mapped:
    """An area of a client.

    Attributes:
        area: It.
        counted: Whether its bytes are counted as the connection's.
        called: Whether a call has it, rather than nobody, or the policy after the call.
    """

    area: Area
    counted: bool = False
    called: bool = False


class Borrower:
    """Maps what the client of one connection has made, and remembers it.

    Args:
        peer: The client.
        give_back: Called with the bytes of an area that do not count any more.
        max_size: Bytes of an area.
    """

    def __init__(self, peer: Credentials, give_back: Callable[[int], None], max_size: int) -> None:
        self._peer = peer
        self._give_back = give_back
        self._max_size = max_size
        self._mapped: dict[tuple[int, bytes], _Mapped] = {}

    def borrow(self, reference: Reference, take: Callable[[int], None]) -> _Mapped:
        """Returns an area that nobody uses, and that is a call's from now on.

        Args:
            reference: Which.
            take: Counts the bytes of an area; may raise.

        Raises:
            InvalidValueError: There is no such memory, or it is in use.
            ResourceExhaustedError: There is too much of it.
        """
        self.drop_gone()
        mapped = self._mapped.get((reference.file, reference.nonce))
        if mapped is None:
            return self._map(reference, take)
        if mapped.area.size != reference.size:
            raise InvalidValueError(
                f"{SHARED_MEMORY}: memory of {reference.size} bytes; it has {mapped.area.size}"
            )
        if mapped.area.claimed or mapped.called:
            raise InvalidValueError(
                f"{SHARED_MEMORY}: file {reference.file} is in use by another call, or twice by "
                "this one; take another"
            )
        # So that to count it does not have it dropped.
        mapped.called = True
        try:
            if not mapped.counted:
                take(reference.size)
                mapped.counted = True
        except ResourceExhaustedError:
            mapped.called = False
            raise
        return mapped

    def _map(self, reference: Reference, take: Callable[[int], None]) -> _Mapped:
        size, file = reference.size, reference.file
        if size > self._max_size:
            raise InvalidValueError(
                f"{SHARED_MEMORY}: memory of {size} bytes; allowed: {self._max_size}"
            )
        if len(self._mapped) >= _MAX_AREAS:
            raise ResourceExhaustedError(
                f"{SHARED_MEMORY}: {_MAX_AREAS} pieces of memory are in use; no more are allowed"
            )
        take(size)
        try:
            area = Area(open_peers(self._peer, file, size))
            if area.nonce != reference.nonce:
                raise PermissionError("it does not begin with its nonce")
        except (OSError, ValueError) as error:
            self._give_back(size)
            raise InvalidValueError(
                f"{SHARED_MEMORY}: file {file} of process {self._peer.process} cannot be used: "
                f"{error}"
            ) from None
        mapped = _Mapped(area, counted=True, called=True)
        self._mapped[file, reference.nonce] = mapped
        return mapped

    def drop_gone(self) -> None:
        """Lets go of what the client does not need any more."""
        self._drop(lambda mapped: mapped.area.state == GONE)

    def drop_idle(self) -> None:
        """Lets go of what no call uses; it is mapped again when one does.

        What the policy keeps after a call counts no more than what came on the socket.
        """
        self._drop(lambda mapped: not (mapped.called or mapped.area.claimed))
        for mapped in self._mapped.values():
            if not mapped.called:
                self._stop_counting(mapped)

    def close(self) -> None:
        """Lets go of all; what the policy keeps of it stays."""
        self._drop(lambda _: True)

    def _drop(self, unneeded: Callable[[_Mapped], bool]) -> None:
        for key in [key for key, mapped in self._mapped.items() if unneeded(mapped)]:
            self._stop_counting(self._mapped.pop(key))

    def _stop_counting(self, mapped: _Mapped) -> None:
        if mapped.counted:
            mapped.counted = False
            self._give_back(mapped.area.size)


class Borrowed:
    """What a call has of shared memory.

    Args:
        borrower: Its connection's.
    """

    def __init__(self, borrower: Borrower) -> None:
        self._borrower = borrower
        self._mapped: list[_Mapped] = []
        self._request: memoryview | None = None
        self._room: memoryview | None = None
        self._start = 0
        # What the reply says, if anything.
        self._word: str | None = UNREAD

    def open(self, offer: str, limit: int, take: Callable[[int], None]) -> None:
        """Makes what the client offers the call's.

        Args:
            offer: As the metadata has it.
            limit: Bytes of a request.
            take: As in `Borrower.borrow`.

        Raises:
            RemoteError: It cannot be used.
        """
        asks = False
        try:
            request, response = decode_offer(offer)
            asks = request is not None and not request.length
            if request is not None and request.length > limit:
                raise MessageTooLargeError("request", request.length, limit)
            if request is not None:
                area = self._borrow(request, take)
                if not asks:
                    self._request = area.claim(request.start, request.length, tell=True)
            if response is not None:
                area = self._borrow(response, take)
                self._start = response.start
                self._room = area.claim(response.start, area.size - response.start, tell=True)
            self._word = MAPPED if asks else None
        except MessageTooLargeError:
            raise
        except RemoteError:
            self._request = self._room = None
            if not asks:
                self._word = REFUSED
                raise
            # The message comes on the socket, and so do all that follow.
            self._word = None

    def _borrow(self, reference: Reference, take: Callable[[int], None]) -> Area:
        mapped = self._borrower.borrow(reference, take)
        self._mapped.append(mapped)
        return mapped.area

    def read(self, message: bytearray | memoryview) -> bytearray | memoryview:
        """Returns the request, which is the caller's.

        Args:
            message: What came on the socket.

        Raises:
            InvalidValueError: There are two.
        """
        if self._request is None:
            return message
        if len(message):
            raise InvalidValueError(
                f"{SHARED_MEMORY}: a request of {len(self._request)} bytes, and one of "
                f"{len(message)} bytes came as the message; send one of them"
            )
        request, self._request = self._request, None
        return request

    async def write(self, segments: Segments) -> bool:
        """Writes a response where the client wants it; returns whether it is there."""
        room, self._room = self._room, None
        size = sum(map(len, segments))
        if room is None or size < LARGE_BYTES or pad(segments) + size > len(room):
            return False
        await copy(segments, room[pad(segments) :])
        self._word = encode_place(self._start + pad(segments), size)
        return True

    def end(self) -> None:
        """Takes the news that the call has ended."""
        self._request = self._room = None
        for mapped in self._mapped:
            mapped.called = False
        # The call itself may be there until cycles are collected.
        self._mapped.clear()

    def trailers(self) -> Headers:
        """Returns what the reply says."""
        return () if self._word is None else ((SHARED_MEMORY, self._word),)
