# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The server's end: a listening socket, its connections, and the calls on them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
import time
import typing
from collections.abc import Callable, Collection
from functools import cached_property

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from typing_extensions import override

from ..address import name_peer
from ..calls import (
    Headers,
)
from ..errors import (
    HandlerError,
    RemoteError,
    ResourceExhaustedError,
    UnavailableError,
)
from ..framing import MessageReader, Reserve, Segments
from ..limits import Limits
from ..logs import Event, event, printable
from ..memory import Pool
from ..shared_memory import AVAILABLE, Borrower, peer_of
from .budget import Account, Budget
from .cipher import Cipher
from .protocol import Protocol
from .server_call import ServerCall, read_headers
from .server_stream import StreamCall
from .streams import CLOSE_TIMEOUT, Owner, Stream
from .watch import Silences

log = logging.getLogger("praxis_remote.http2")

_STOPPING = "the server is shutting down"

# What is logged of a connection that is ended, by whether it was refused.
_ENDINGS: dict[bool, tuple[Event, str]] = {
    False: ("connection_ended", "ending"),
    True: ("connection_refused", "refusing"),
}

# Connections that may wait to be accepted, and those that are in one turn of the loop.
_BACKLOG, _ACCEPTED = 1024, 16

# Connections are looked at so often, or four times in the shortest time that is allowed.
_LOOK_SECONDS = 1.0

# A message that moves slower than this, in bytes a second, makes room for others when there
# is none.
_SLOW = 256 * 1024

# Of a request for a method whose requests are a name at most, some of which may be called
# without a token: nobody shall fill memory with what is not counted as his.
_MAX_SMALL = 4096

# Of shared memory, beyond what messages take: a client makes it somewhat too large.
_AREA_BYTES = 4 * 2**20

# Files that the rest of the process may want, and those that a connection takes.
_FILES_LEFT, _FILES_EACH = 128, 2


def allowed_by_system(connections: int, files_each: int = _FILES_EACH) -> int:
    """Returns how many connections there may be, since each takes files."""
    try:
        import resource  # not on Windows
    except ImportError:
        return connections
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, (files - _FILES_LEFT) // files_each))


def _stopping() -> UnavailableError:
    return UnavailableError(_STOPPING)


async def _wait_lost(protocols: list[Protocol], patience: float) -> None:
    """Waits until these connections have ended, or the patience has."""
    waiting = [asyncio.ensure_future(protocol.lost.wait()) for protocol in protocols]
    if waiting:
        _, left = await asyncio.wait(waiting, timeout=max(0.0, patience))
        for task in left:
            task.cancel()


class Service(typing.Protocol):
    """What answers calls."""

    def check(self, call: ServerCall) -> None:
        """Raises `RemoteError` for a call whose message need not be waited for."""

    async def respond(self, call: ServerCall) -> Segments:
        """Returns the response's message, or raises `RemoteError`."""
        raise NotImplementedError

    def ended(self, call: ServerCall) -> None:
        """Takes the news that a call has ended."""

    def find(self, head: bytes | memoryview) -> int:
        """Returns the place in a request that shall be aligned, from its first bytes."""
        raise NotImplementedError


# What is gone shall not be taken for what comes.
_numbers = itertools.count()


class _ServerConnection(Owner):
    """A client's connection.

    Attributes:
        protocol: What speaks HTTP/2 on it.
        account: What its messages take.
        dropped: Called when it is closed.
        called: Whether a call of it has ended.
        streaming: Calls of many messages that run on it.
        number: Its own, of no other one.
    """

    def __init__(self, listener: Listener, silences: Silences, since: float) -> None:
        self._listener = listener
        self._greeted = self._refused = False
        self._since = since
        self.account = listener.open_account()
        self.dropped: Callable[[], None] | None = None
        self.called = False
        self.streaming = 0
        self.number = next(_numbers)
        self._borrowed: Borrower | None = None
        self.protocol = Protocol(
            self, client_side=False, silences=silences, cipher=listener.make_cipher()
        )

    @cached_property
    def peer(self) -> str:
        """The client's address; for one without, as on a UNIX socket, the socket's."""
        name = self.protocol.connection.transport.get_extra_info
        return name_peer(name("peername"), name("sockname"))

    @cached_property
    def borrower(self) -> Borrower | None:
        """What maps the memory that the client shares; None if it cannot share any."""
        sock = self.protocol.connection.transport.get_extra_info("socket")
        peer = peer_of(sock) if self._listener.shares_memory and sock is not None else None
        if peer is None:
            return None
        most = 2 * self._listener.max_message_size + _AREA_BYTES
        self._borrowed = Borrower(peer, self.account.give_back, most)
        return self._borrowed

    def drop_idle_memory(self) -> None:
        """Lets go of shared memory that no call uses."""
        if self._borrowed is not None:
            self._borrowed.drop_idle()

    @property
    def idle(self) -> bool:
        """Whether it carries no call, but for those that rest, and is not about to end."""
        protocol = self.protocol
        return protocol.made and not protocol.ending and all(call.resting for call in self.calls())

    def calls(self) -> list[ServerCall]:
        """Returns the calls that are running."""
        return typing.cast("list[ServerCall]", self.protocol.processor.calls())

    def give_place(self, reason: str) -> None:
        """Ends the connection, which is idle, for the sake of another one."""
        for call in self.calls():
            call.end_with(UnavailableError(reason))
        self.protocol.retire(reason)

    @override
    def accept(self, stream: Stream, headers: Headers) -> None:
        if self.protocol.ending or self._listener.stopping:
            # It was told so already, or will be.
            stream.reset_if_open(ErrorCodes.REFUSED_STREAM)
            return
        request = read_headers(headers)
        kind = self._listener.kinds.get(request.path, ServerCall)
        call = kind(stream, request, self, self._listener)
        stream.processor.register(stream, call)
        self._listener.begin(call)

    @override
    def connection_made(self) -> None:
        fields = event("connection_opened", peer=self.peer)
        log.debug("%s: connected", self.peer, extra=fields)

    @override
    def connection_ending(self, reason: str, *, faulty: bool) -> None:
        if reason == _STOPPING:
            return  # which is no news of one connection
        name, what = _ENDINGS[self._refused]
        reason = printable(reason)
        log.log(
            logging.WARNING if faulty else logging.INFO,
            "%s: %s the connection: %s",
            self.peer,
            what,
            reason,
            extra=event(name, peer=self.peer, reason=reason),
        )

    def refuse(self, reason: str) -> None:
        """Ends it as soon as it can be told why."""
        self._refused = True
        self.protocol.refuse(reason)

    @override
    def settings_received(self) -> None:
        self._greeted = True

    @override
    def going_away(self, reason: str) -> None:
        """A client that goes away still wants its answers; it closes the connection after."""

    @override
    def connection_closed(self, reason: str) -> None:
        self._listener.drop(self)
        if self._borrowed is not None:
            self._borrowed.close()
        if self.protocol.made:
            reason = printable(reason)
            fields = event("connection_closed", peer=self.peer, reason=reason)
            log.debug("%s: disconnected: %s", self.peer, reason, extra=fields)

    def look(self, now: float, handshake_seconds: float) -> None:
        """Looks whether the client is there, and does what it should."""
        if self._borrowed is not None:
            self._borrowed.drop_gone()
        if self._greeted:
            self.protocol.look(now)
        elif self.protocol.made and now - self._since >= handshake_seconds:
            # As of whoever only looks whether the port is open.
            reason = f"no HTTP/2 settings came within {handshake_seconds:g} s"
            self.protocol.end(reason, faulty=False)


class Listener:
    """Accepts connections on a socket and answers their calls.

    Args:
        service: What answers them.
        max_message_size: Bytes of a request or response.
        limits: What its peers are granted.
        streams: The paths of methods with many messages, whose calls are `StreamCall`.
        small: The paths of methods whose requests take next to nothing, by whomever.
        admit: Raises `RemoteError` for a call of a path with a credential, whatever the
            service, that it does not let in.
        tls: Returns the context for a new connection.
        closed: Takes the news that a connection is closed, which compares as itself.
        shared_memory: Whether clients on a UNIX socket without TLS may share memory.

    Attributes:
        shares_memory: Whether they may, and this system can.
        kinds: What a call is made of, by its path; `ServerCall` where there is nothing.
        max_message_size: Bytes of a request or response.
        memory: Where large requests arrive.
        connections: Those that are open; the one that was used last is last.
        stopping: Whether no more calls are taken.
    """

    def __init__(
        self,
        service: Service,
        max_message_size: int,
        limits: Limits | None = None,
        *,
        streams: Collection[str] = (),
        small: Collection[str] = (),
        admit: Callable[[str, bytes | None], None] | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        closed: Callable[[object], None] | None = None,
        shared_memory: bool = True,
    ) -> None:
        self.shares_memory = shared_memory and AVAILABLE and tls is None
        self.kinds: dict[str, type[ServerCall]] = dict.fromkeys(streams, StreamCall)
        self._service = service
        self._small = frozenset(small)
        self._max_small = min(_MAX_SMALL, max_message_size)
        self._admit = admit
        self._tls = tls
        self._closed = closed
        self._limits = limits = limits or Limits()
        self._max_connections = allowed_by_system(limits.connections)
        self._silences = Silences(
            ping=limits.keepalive_seconds,
            answer=limits.keepalive_timeout,
            stall=limits.stall_seconds,
            idle=limits.idle_seconds,
        )
        # A request and a response of the largest size must fit, whatever the limits.
        each = max(limits.connection_bytes, 2 * max_message_size)
        self._budget = Budget(max(limits.total_bytes, each), each)
        self._look_period = min(_LOOK_SECONDS, limits.shortest / 4)
        self._next_look: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._adopting: set[asyncio.Task[None]] = set()
        self._running: set[ServerCall] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = False
        self.memory = Pool()
        self.max_message_size = max_message_size
        self.connections: dict[_ServerConnection, None] = {}

    async def start(self, sock: socket.socket) -> None:
        """Accepts connections on ``sock``, which is bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=sock, backlog=_ACCEPTED)
        # asyncio takes one number for those that may wait and those that it accepts in one
        # turn, in which nobody else is served.
        sock.listen(_BACKLOG)

    def adopt(
        self,
        sock: socket.socket,
        received: bytes,
        *,
        since: float,
        peer: str | None = None,
        dropped: Callable[[], None] | None = None,
    ) -> None:
        """Takes a connection that somebody else has accepted and sent the `greeting`.

        Args:
            sock: The connection.
            received: All that has come on it.
            since: When it was accepted, on the monotonic clock.
            peer: The client's address, if the socket does not tell.
            dropped: Called when it is closed.
        """
        connection = self._open(since)
        connection.dropped = dropped
        connection.protocol.take_over(received)
        if peer is not None:
            connection.peer = peer
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._begin_adopted(connection, sock))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _begin_adopted(self, connection: _ServerConnection, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection.protocol, sock)
        except OSError:  # it has gone
            sock.close()
            self.drop(connection)

    def _connect(self) -> Protocol:
        return self._open(time.monotonic()).protocol

    def _open(self, since: float) -> _ServerConnection:
        connection = _ServerConnection(self, self._silences, since)
        if len(self.connections) >= self._max_connections:
            self._make_place(connection)
        self.connections[connection] = None
        if self._next_look is None:
            self._look_later()
        return connection

    def _make_place(self, connection: _ServerConnection) -> None:
        idle = [other for other in self.connections if other.idle]
        # First who has never called: floods are made of them.
        idlest = next((other for other in idle if not other.called), idle[0] if idle else None)
        if idlest is not None:
            idlest.give_place("idle for longest, when another client came")
            return
        connection.refuse(f"all {self._max_connections} connections are in use; try again later")

    def drop(self, connection: _ServerConnection) -> None:
        """Takes the news that a connection is closed."""
        if connection in self.connections:
            del self.connections[connection]
            if connection.dropped is not None:
                connection.dropped()
            if self._closed is not None:
                self._closed(connection)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(self._look_period, self._look)

    def _look(self) -> None:
        self._next_look = None
        now = time.monotonic()
        for connection in list(self.connections):
            connection.look(now, self._limits.handshake_seconds)
        if self.connections:
            self._look_later()

    @property
    def in_flight(self) -> int:
        """How many calls have begun and not ended."""
        return len(self._running)

    @property
    def held(self) -> int:
        """How many bytes the messages of these take."""
        return self._budget.used

    def make_cipher(self) -> Cipher | None:
        """Returns the TLS of a new connection, if there is to be any."""
        return None if self._tls is None else Cipher(self._tls())

    def open_account(self) -> Account:
        """Returns what counts the memory of a new connection's messages."""
        return Account(self._budget)

    def make_room(self, call: ServerCall, size: int) -> None:
        """Ends messages that hardly move, if there is no memory left for one that might."""
        account = call.connection.account
        if account.fits(size):
            return
        for connection in self.connections:
            connection.drop_idle_memory()
        now = time.monotonic()
        others = [other for other in self._running if other.held and other is not call]
        slow = sorted((o for o in others if o.speed(now) < _SLOW), key=lambda o: o.speed(now))
        if not account.fits(size - sum(other.held for other in slow)):
            return  # nobody shall be ended in vain
        for slowest in slow:
            if account.fits(size):
                return
            reason = "memory is short, and this message moves slowest"
            slowest.log_end(reason)
            slowest.end_with(ResourceExhaustedError(reason))

    def refuse_calls(self) -> None:
        """Takes no more calls from now on. May be called in any thread."""
        self.stopping = True

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and closes when the running ones are done and sent.

        Args:
            grace: Seconds after which they are ended with UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self.refuse_calls()
        for call in list(self._running):
            if isinstance(call, StreamCall):
                # Their last words leave in the turns below, before the goodbye.
                call.drain()
        if self._server is not None:
            # What is accepted already gets its transport in the next turn, and its protocol
            # in the one after. Once the server is closed, asyncio would leak it instead.
            for sock in self._server.sockets:
                loop.remove_reader(sock)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._server.close()
        if self._adopting:
            await asyncio.wait(self._adopting)
        for connection in self.connections:
            # Now, so that clients go elsewhere with what comes next.
            connection.protocol.announce_end(_STOPPING)
        self.end_calls(grace)
        await self._idle.wait()
        protocols = [connection.protocol for connection in self.connections]
        made = [protocol for protocol in protocols if protocol.made]
        if grace > 0:
            for protocol in made:
                protocol.leave(_STOPPING)
            await _wait_lost([p for p in made if p.connection.unsent()], end - loop.time())
            last = max((p.connection.last_sent for p in made), default=0.0)
            await _wait_lost(made, last + CLOSE_TIMEOUT - time.monotonic())
        for protocol in protocols:
            protocol.close(_STOPPING)
        await _wait_lost(protocols, 2 * CLOSE_TIMEOUT)
        if self._next_look is not None:
            self._next_look.cancel()
        self.memory.close()

    def end_calls(self, grace: float) -> None:
        """Ends the running calls after the grace. Of several graces the shortest holds."""

        def end() -> None:
            for call in list(self._running):
                call.end_with(_stopping())

        asyncio.get_running_loop().call_later(max(0.0, grace), end)

    def begin(self, call: ServerCall) -> None:
        """Takes a call, whose message is still to come."""
        self._running.add(call)
        self._idle.clear()
        call.begin()

    def check(self, call: ServerCall) -> None:
        """Raises `RemoteError` for a call whose message need not be waited for."""
        if self.stopping:
            raise _stopping()
        if self._admit is not None:
            self._admit(call.path, call.credential)
        self._service.check(call)

    def reader(self, path: str, reserve: Reserve) -> MessageReader:
        """Returns what takes a request's message."""
        limit = self._max_small if path in self._small else self.max_message_size
        return MessageReader(limit, "request", self.memory.allocate, self._service.find, reserve)

    def forget(self, call: ServerCall) -> None:
        """Takes the news that a call has ended."""
        self._running.discard(call)
        self._service.ended(call)
        call.connection.called = True
        if call.connection in self.connections:
            # To the end, as the one that was used last.
            del self.connections[call.connection]
            self.connections[call.connection] = None
        if not self._running:
            self._idle.set()

    async def answer(self, call: ServerCall) -> None:
        """Answers a call whose message is there."""
        try:
            await call.send(await self._service.respond(call), self.max_message_size)
        except asyncio.CancelledError:
            error = call.error_after_cancel()
            if error is not None:
                call.send_status(error)
        except RemoteError as error:
            call.send_status(error)
        except H2Error as error:
            reason = printable(str(error))
            fields = event("connection_failed", peer=call.peer, path=call.path, reason=reason)
            text = "%s: the connection failed while answering: %s"
            log.debug(text, call.peer, reason, extra=fields)
        except Exception as error:
            fields = event("unforeseen", peer=call.peer, path=call.path)
            text = "%s: %s failed in a way that was not foreseen"
            log.exception(text, call.peer, call.path, extra=fields)
            call.send_status(HandlerError(f"{type(error).__name__}: {error}"))
