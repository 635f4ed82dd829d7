# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A client's way to its server: connects when it must, and carries calls."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NoReturn

from .address import AnyAddress
from .backoff import Backoff
from .calls import Deadline, Headers
from .errors import (
    CallCancelledError,
    DeadlineExceededError,
    RequestRefusedError,
    UnavailableError,
    forget_tracebacks,
)
from .framing import Find, Segments
from .http2 import ClientConnection, NotTakenError, Response, Silences
from .lanes import Lanes, Place
from .tls import ClientContexts
from .tokens import Token

# A connection is given up after this long, so that the next call tries anew.
_CONNECT_TIMEOUT = 20.0


class Channel:
    """One connection at a time, made by the first call that needs it.

    A connection that was lost, or belongs to an event loop that is gone, is
    replaced at the next call: at once, but after an attempt that failed not before a
    pause, for which the calls wait that can.

    Args:
        address: The server's.
        max_message_size: Bytes of a request or response.
        metadata: Encoded already, sent with every call.
        silences: How long a server may be silent during a call.
        backoff: The pauses after attempts that failed.
        tls: For connections with TLS.
        token: Shown with every call.
        session: The header that names the client, sent with every call as well.
        shared_memory: Whether large messages may go through it, on a UNIX socket.
    """

    def __init__(
        self,
        address: AnyAddress,
        max_message_size: int,
        metadata: Headers,
        silences: Silences,
        backoff: Backoff | None = None,
        tls: ClientContexts | None = None,
        token: Token | None = None,
        session: Headers = (),
        *,
        shared_memory: bool = False,
    ) -> None:
        self.address = address
        self.session = session
        self._max_message_size = max_message_size
        self.metadata = metadata
        self._silences = silences
        self._backoff = backoff or Backoff()
        self._tls = tls
        self._token = token
        self._shared_memory = shared_memory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._pausing: asyncio.Future[None] | None = None
        # Calls that wait for an attempt, and the attempt for which one waits no more.
        self._waiting = 0
        # Also those that take no more calls, and still carry some.
        self._connections: list[ClientConnection] = []
        self._left: asyncio.Task[ClientConnection] | None = None
        # When the next attempt may be made, and why the last one failed.
        self._resume: Deadline | None = None
        self._failure = ""
        self._closed = False
        self._lanes: Lanes | None = None

    def begin_anew(self, session: Headers) -> Channel:
        """Returns one to the same server, with what was read of files, and no connection."""
        return Channel(
            self.address,
            self._max_message_size,
            self.metadata,
            self._silences,
            tls=self._tls,
            token=self._token,
            session=session,
            shared_memory=self._shared_memory,
        )

    async def call(
        self,
        path: str,
        segments: Segments,
        episode_ids: Collection[str] | None = None,
        *,
        deadline: Deadline | None = None,
        metadata: Headers = (),
        find: Find | None = None,
    ) -> Response:
        """Sends a request and returns its response.

        It does not leave before those of the same episodes that were begun earlier. A call
        that its connection did not take is sent on another one, once, as gRPC's
        "transparent retries" are.
        https://github.com/grpc/proposal/blob/master/A6-client-retries.md

        Raises:
            RemoteError: Whatever became of it.
        """
        place = self._enter(path, episode_ids)
        try:
            if place is not None and not place.first and not await place.turn(deadline):
                raise DeadlineExceededError(
                    "the timeout passed before the call left: an earlier one of its episodes "
                    "was still being sent",
                    str(self.address),
                    never_ran=True,
                )
            left = None if place is None else place.leave
            always = self.metadata + self.session
            if self._token is not None:
                always += self._token.headers()
            connection = await self._connect(deadline)
            try:
                return await connection.call(
                    path,
                    segments,
                    left,
                    deadline=deadline,
                    metadata=always,
                    once=metadata,
                    find=find,
                )
            except NotTakenError:
                pass
            connection = await self._connect(deadline)
            return await connection.call(
                path, segments, left, deadline=deadline, metadata=always, once=metadata, find=find
            )
        finally:
            if place is not None:
                place.leave()

    def _enter(self, path: str, episode_ids: Collection[str] | None) -> Place | None:
        loop = asyncio.get_running_loop()
        if self._lanes is None or self._lanes.loop is not loop:
            self._lanes = Lanes(loop)
        return self._lanes.enter(path, episode_ids)

    async def connection(self) -> ClientConnection | None:
        """Returns the one on which the next call would go; None if it would connect."""
        connection = self._usable()
        if connection is not None and connection.has_news():
            # As in _connect.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            connection = self._usable()
        return connection

    def _usable(self) -> ClientConnection | None:
        task = self._connecting
        if task is None or self._loop is not asyncio.get_running_loop() or not task.done():
            return None
        return task.result() if _succeeded(task) and task.result().usable else None

    async def _connect(self, deadline: Deadline | None) -> ClientConnection:
        if self._closed:
            self._raise_closed("the client was closed; make a new one")
        task = self._attempt(deadline)
        if task.done() and task.result().has_news():
            # A loop that was not driven meanwhile learns here that the server has gone.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task = self._attempt(deadline)
        if not task.done() and await self._wait_for(task, deadline):
            task = self._attempt(deadline)
            if not task.done():
                await self._wait_for(task, deadline)
        if not task.done():
            last = "" if self._resume is None else f"; last: {self._failure}"
            raise DeadlineExceededError(
                f"the timeout passed before a connection was made{last}",
                str(self.address),
                never_ran=True,
            )
        if task.cancelled() or self._closed:
            self._raise_closed("the client was closed")
        error = task.exception()
        if isinstance(error, (UnavailableError, RequestRefusedError)):
            # One for each call: its traceback leads to all that the call was to send.
            raise type(error)(
                error.details(), str(self.address), error.code(), never_ran=True
            ) from error.__cause__
        return task.result()

    async def _wait_for(
        self, task: asyncio.Task[ClientConnection], deadline: Deadline | None
    ) -> bool:
        """Waits for an attempt; returns whether it came to nothing, and that means nothing.

        One that was left under way by a call that timed out may be long over by the time
        somebody drives the loop again.
        """
        stale = self._waiting == 0 and self._left is task
        patience = None if deadline is None else max(0.0, deadline.remaining())
        self._waiting += 1
        try:
            # Not wait_for: others wait for the same attempt.
            await asyncio.wait({task}, timeout=patience)
        finally:
            self._waiting -= 1
            if not task.done():
                self._left = task
        if not (stale and task.done()) or task.cancelled() or self._closed:
            return False
        return task.exception() is not None or not task.result().usable

    def _raise_closed(self, details: str) -> NoReturn:
        raise CallCancelledError(details, str(self.address), never_ran=True)

    def _attempt(self, deadline: Deadline | None) -> asyncio.Task[ClientConnection]:
        """Returns the attempt to connect that is under way or has succeeded."""
        if self._closed:
            self._raise_closed("the client was closed")
        loop = asyncio.get_running_loop()
        task = self._connecting if self._loop is loop else None
        if task is not None and task.done():
            if _succeeded(task) and task.result().usable:
                return task
            task = None
        pause = self._check_pause(deadline)
        if task is None:
            task = self._connecting = loop.create_task(self._open(pause))
            task.add_done_callback(_let_go)
            if self._loop is not loop:
                # Those of a loop that is gone went with it.
                self._loop, self._connections = loop, []
        return task

    def _check_pause(self, deadline: Deadline | None) -> float:
        """Returns the seconds before the next attempt, for which a call must have the time."""
        if self._resume is None:
            return 0.0
        pause = self._resume.remaining()
        if pause > 0 and deadline is not None and deadline < self._resume:
            raise UnavailableError(
                f"{self._failure}; the next attempt is made in {pause:.2g} s, after the timeout",
                str(self.address),
                never_ran=True,
            )
        return pause

    async def _open(self, pause: float) -> ClientConnection:
        if pause > 0:
            await self._pause(pause)
        try:
            connection = await self._open_now()
        except (UnavailableError, RequestRefusedError) as error:
            self._failure = error.details()
            self._resume = Deadline.after(self._backoff.next())
            raise
        self.hurry()
        return connection

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._pausing = loop.create_future()
        timer = loop.call_later(seconds, self._end_pause)
        try:
            await self._pausing
        finally:
            timer.cancel()
            self._pausing = None

    def _end_pause(self) -> None:
        if self._pausing is not None and not self._pausing.done():
            self._pausing.set_result(None)

    def hurry(self) -> None:
        """Has the next attempt to connect made at once, whatever became of those before."""
        self._backoff.reset()
        self._resume = None
        if self._loop is asyncio.get_running_loop():
            self._end_pause()

    async def _open_now(self) -> ClientConnection:
        try:
            connection = await asyncio.wait_for(
                ClientConnection.open(
                    self.address,
                    self._max_message_size,
                    self._silences,
                    None if self._tls is None else self._tls.secure(self.address),
                    shared_memory=self._shared_memory,
                ),
                _CONNECT_TIMEOUT,
            )
        except asyncio.TimeoutError:
            raise UnavailableError(
                f"no connection within {_CONNECT_TIMEOUT:g} s; is the address right, and does a "
                "firewall let it through?",
                str(self.address),
                never_ran=True,
            ) from None
        self._connections = [other for other in self._connections if not other.lost]
        self._connections.append(connection)
        return connection

    async def close(self) -> None:
        """Closes all connections; calls that are running or come later are cancelled."""
        self._closed = True
        task, self._connecting, self._left = self._connecting, None, None
        if task is None or self._loop is not asyncio.get_running_loop():
            return
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        for connection in self._connections:
            await connection.close()
        if _succeeded(task):
            # At the moment when it was cancelled.
            await task.result().close()


def _let_go(task: asyncio.Task[ClientConnection]) -> None:
    """Keeps the error of an attempt, in case that every caller is gone, and not its traceback."""
    if not task.cancelled() and (error := task.exception()) is not None:
        forget_tracebacks(error)


def _succeeded(task: asyncio.Task[ClientConnection]) -> bool:
    return not task.cancelled() and task.exception() is None
