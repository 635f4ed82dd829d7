# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Reads requests: at once, or on a thread of its own where that may take long.

Requests of very many items keep neither the loop nor the policy waiting. No request
overtakes another one of its connection on that way.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from . import codec, wire
from .http2 import ServerCall
from .scheduler import Scheduler
from .specs.publishing import Specs

__all__ = ["Reading"]

T = TypeVar("T")

Message = bytearray | memoryview

# And with which others it may be joined.
Request = tuple[codec.PredictCall, Hashable | None]

# Python's own is ten times as long.
_SWITCH_SECONDS = 0.5e-3


def _giving_way(function: Callable[[], T]) -> T:
    """Calls what takes long in Python, and lets the event loop have its turns meanwhile.

    A thread that wants the interpreter waits for this long, several times a call.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        return function()
    finally:
        sys.setswitchinterval(before)


class Reading:
    """Turns the messages of calls into what they mean.

    Args:
        max_items: Of a request; see `Limits`.
        kind: Returns what is equal for requests of the policy that may be joined. It takes
            about as long as to read them.
        specs: What the policy expects.
    """

    def __init__(
        self, max_items: int, kind: Callable[[codec.PredictCall], Hashable | None], specs: Specs
    ) -> None:
        self._max_items = max_items
        self._kind = kind
        self._specs = specs
        self._thread = Scheduler("praxis-remote-decoder")
        # How many requests of each connection are on the thread.
        self._reading: Counter[object] = Counter()

    def predict(self, call: ServerCall) -> Awaitable[Request]:
        """Returns what a call of the policy says.

        Raises:
            InvalidArgumentError: It is not what the policy expects.
        """
        return self._read(call, self._predict_quickly, self._predict)

    def _predict_quickly(self, message: Message) -> Request | None:
        request = codec.decode_predict_request_quickly(message, self._max_items)
        # To tell what is wrong with it takes longer than to read it once more.
        if request is None or not self._specs.fits(request):
            return None
        return request, self._kind(request)

    def _predict(self, message: Message) -> Request:
        request = codec.decode_predict_request(message, self._max_items)
        self._specs.check(request)
        return request, self._kind(request)

    def read(
        self, call: ServerCall, cls: type[wire.M], *, in_order: bool = False
    ) -> Awaitable[wire.M]:
        """Returns the message of another call.

        Args:
            call: The call.
            cls: What its message is.
            in_order: Whether it is one for the policy.
        """

        def read(message: Message) -> wire.M:
            return wire.read_message(cls, message, self._max_items)

        def read_quickly(message: Message) -> wire.M | None:
            return read(message) if len(message) <= codec.QUICK_BYTES else None

        return self._read(call, read_quickly, read, in_order=in_order)

    def take(
        self,
        call: ServerCall,
        quickly: Callable[[Message, int], T | None],
        slowly: Callable[[Message, int], T],
    ) -> Awaitable[T]:
        """Returns what others make of the message of a call of the policy.

        Args:
            call: The call.
            quickly: Takes the message and how many items it may have; None if that takes long.
            slowly: The same, however long it takes.
        """
        most = self._max_items
        return self._read(
            call, lambda message: quickly(message, most), lambda message: slowly(message, most)
        )

    async def _read(
        self,
        call: ServerCall,
        quickly: Callable[[Message], T | None],
        slowly: Callable[[Message], T],
        *,
        in_order: bool = True,
    ) -> T:
        take: Callable[[], Message] = call.message
        if not call.compressed:
            message = call.message()
            # Behind another one of its connection it has to take the same way.
            behind = in_order and self._reading and call.connection in self._reading
            if not behind and (quick := quickly(message)) is not None:
                return quick
            take = lambda: message  # noqa: E731 - one of two

        def work() -> tuple[T, int]:
            message = take()
            return _giving_way(lambda: slowly(message)), len(message)

        self._reading[call.connection] += 1
        try:
            read, size = await self._thread.run(work)
        finally:
            self._leave(call.connection)
        if call.compressed:
            call.hold(size)
        return read

    def _leave(self, connection: object) -> None:
        self._reading[connection] -= 1
        if not self._reading[connection]:
            del self._reading[connection]

    def close(self) -> None:
        """Ends the thread, after what it has."""
        self._thread.close()
