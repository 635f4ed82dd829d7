# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A client's way to its server: connects when it must, and carries calls."""

from __future__ import annotations

import asyncio

from .address import AnyAddress
from .calls import Deadline, Headers
from .errors import CallCancelledError, DeadlineExceededError, UnavailableError
from .framing import Find, Segments
from .http2 import ClientConnection, Response

# A connection is given up after this long, so that the next call tries anew.
_CONNECT_TIMEOUT = 20.0


class Channel:
    """One connection at a time, made by the first call that needs it.

    A connection that was lost, or belongs to an event loop that is gone, is
    replaced at the next call.

    Args:
        address: The server's.
        max_message_size: Bytes of a request or response.
        metadata: Encoded already, sent with every call.
    """

    def __init__(self, address: AnyAddress, max_message_size: int, metadata: Headers) -> None:
        self.address = address
        self._max_message_size = max_message_size
        self._metadata = metadata
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._closed = False

    async def call(
        self,
        path: str,
        segments: Segments,
        *,
        deadline: Deadline | None = None,
        metadata: Headers = (),
        find: Find | None = None,
    ) -> Response:
        """Sends a request and returns its response.

        Raises:
            RemoteError: Whatever became of it.
        """
        connection = await self._connect(deadline)
        return await connection.call(
            path, segments, deadline=deadline, metadata=self._metadata + metadata, find=find
        )

    async def _connect(self, deadline: Deadline | None) -> ClientConnection:
        if self._closed:
            raise CallCancelledError("the client was closed; make a new one", str(self.address))
        task = self._attempt()
        if task.done() and task.result().has_news():
            # A loop that was not driven meanwhile learns here that the server has gone.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task = self._attempt()
        if not task.done():
            # Not wait_for: others wait for the same attempt.
            patience = None if deadline is None else max(0.0, deadline.remaining())
            await asyncio.wait({task}, timeout=patience)
        if not task.done():
            raise DeadlineExceededError(
                "the timeout passed before a connection was made", str(self.address)
            )
        if task.cancelled() or self._closed:
            raise CallCancelledError("the client was closed", str(self.address))
        if task.exception() is not None and task is self._connecting:
            # Its traceback will lead to this call, and to all that is to be sent.
            self._connecting = None
        return task.result()

    def _attempt(self) -> asyncio.Task[ClientConnection]:
        """Returns the attempt to connect that is under way or has succeeded."""
        loop = asyncio.get_running_loop()
        task = self._connecting
        if task is not None and self._loop is loop:
            if not task.done():
                return task
            if not task.cancelled() and task.exception() is None and task.result().usable:
                return task
        task = self._connecting = loop.create_task(self._open())
        # Read here in case that every caller is gone when it fails.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._loop = loop
        return task

    async def _open(self) -> ClientConnection:
        try:
            return await asyncio.wait_for(
                ClientConnection.open(self.address, self._max_message_size), _CONNECT_TIMEOUT
            )
        except asyncio.TimeoutError:
            raise UnavailableError(
                f"no connection within {_CONNECT_TIMEOUT:g} s; is the address right, and does a "
                "firewall let it through?",
                str(self.address),
            ) from None

    async def close(self) -> None:
        """Closes the connection; calls that are running or come later are cancelled."""
        self._closed = True
        task, self._connecting = self._connecting, None
        if task is None or self._loop is not asyncio.get_running_loop():
            return
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            # Connected already, or at the moment when it was cancelled.
            await task.result().close()
