# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The sending side of a connection: segments, unjoined, as fast as the socket takes them."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import cast

from grpclib import protocol as grpclib_protocol
from grpclib.config import Configuration
from typing_extensions import override

from ..address import name_peer
from ..logs import event
from .cipher import Cipher
from .machine import StateMachine

log = logging.getLogger("praxis_remote.http2")

# Below this size one joined write costs less than segments.
_SCATTER_SIZE = 16 * 1024
# What one sendmsg takes on every system.
_MAX_SEGMENTS = 1024

# What a peer that reads nothing may have waiting in answers to its frames. Of messages
# no more is taken than the socket takes.
_MAX_WAITING = 2**20


class Connection(grpclib_protocol.Connection):
    """grpclib's connection, with streams of our own, which sends segments unjoined.

    Args:
        h2: The state machine.
        transport: Of the bare socket, also where there is TLS.
        config: grpclib's.
        cipher: TLS, if there is.

    Attributes:
        keeps_back: Whether anything may ever be `pending`.
        last_sent: When headers or trailers of a call left last, on the monotonic clock.
    """

    _connection: StateMachine

    def __init__(
        self,
        h2: StateMachine,
        transport: asyncio.Transport,
        *,
        config: Configuration,
        cipher: Cipher | None = None,
    ) -> None:
        super().__init__(h2, transport, config=config)
        # Nothing waits in the transport's buffer, into which it would be copied.
        transport.set_write_buffer_limits(high=0)
        self._cipher = cipher
        self._socket = _open_again(transport)
        self._poll = None if self._socket is None else _poll(self._socket)
        self._backlog: deque[memoryview] = deque()
        self._waiting = 0
        self._ending = False
        self._direct = self._socket is not None
        self._taken = 0
        self._given = memoryview(b"")
        self.keeps_back = cipher is not None
        self.last_sent = 0.0
        self.drained: Callable[[], None] = _nothing

    @property
    def h2(self) -> StateMachine:
        """The state machine."""
        return self._connection

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's transport."""
        return self._transport

    @override
    def flush(self) -> None:
        """Sends what h2 has for the peer, or as much of it as the socket takes."""
        if self._cipher is not None:
            self.send_records()
            if not self._cipher.ready or self._cipher.over:
                return
        segments = self._connection.take_segments()
        if not segments or self.is_closing():
            return
        size = sum(map(len, segments))
        if size < _SCATTER_SIZE:
            segments = [b"".join(segments)]
        if self._cipher is not None:
            segments = [*self._cipher.encrypt(segments)]
        self._send(segments, size)

    def send_records(self) -> None:
        """Sends what TLS itself has for the peer."""
        assert self._cipher is not None
        records = self._cipher.take()
        if records and not self.is_closing():
            self._send([records], len(records))

    def _send(self, segments: list[bytes | memoryview], size: int) -> None:
        if not self.write_ready.is_set():
            self._waiting += size
            if self._waiting > _MAX_WAITING:
                self._log_overrun()
                self._transport.abort()
                return
        if self._socket is None:
            joined = b"".join(segments)
            self._taken += len(joined)
            self._transport.write(joined)
            return
        waiting = bool(self._backlog)
        self._backlog.extend(map(memoryview, segments))
        if not waiting:
            self._send_backlog()

    def _log_overrun(self) -> None:
        name = self._transport.get_extra_info
        peer, reason = name_peer(name("peername"), name("sockname")), "it sends, and reads nothing"
        fields = event("connection_ended", peer=peer, reason=reason)
        log.warning("%s: ending the connection: %s", peer, reason, extra=fields)

    def _send_backlog(self) -> None:
        assert self._socket is not None
        backlog = self._backlog
        while backlog:
            try:
                if len(backlog) == 1:
                    sent = self._socket.send(backlog[0])
                else:
                    sent = self._socket.sendmsg(list(islice(backlog, _MAX_SEGMENTS)))
            except (BlockingIOError, InterruptedError):
                self._wait_until_writable()
                return
            except OSError:
                # The transport finds out why, and says so.
                backlog.clear()
                self._transport.abort()
                return
            self._taken += sent
            while sent:
                first = backlog.popleft()
                if sent < len(first):
                    backlog.appendleft(first[sent:])
                sent -= min(sent, len(first))

    def _wait_until_writable(self) -> None:
        # Not by the transport, which would copy what it cannot send at once.
        if self.write_ready.is_set():
            self.write_ready.clear()
            asyncio.get_running_loop().add_writer(cast("int", self._socket), self._writable)

    def _writable(self) -> None:
        self._send_backlog()
        if not self._backlog:
            self._stop_waiting()
            self.drained()

    def _stop_waiting(self) -> None:
        if self._socket is not None and not self.write_ready.is_set():
            asyncio.get_running_loop().remove_writer(self._socket)
        self.resume_writing()
        if self._ending and not self.is_closing():
            self._write_eof()

    @override
    def resume_writing(self) -> None:
        """Takes the news that the socket takes more."""
        self._waiting = 0
        super().resume_writing()

    def write_eof(self) -> None:
        """Tells the peer that nothing follows what is to be sent."""
        self._end_records()
        self._ending = True
        if not self._backlog:
            self._write_eof()

    def _end_records(self) -> None:
        """Has TLS end as well, as it must lest the end look like an attack."""
        if self._cipher is not None and not self.is_closing():
            self._cipher.end()
            self.send_records()

    def _write_eof(self) -> None:
        if self._transport.can_write_eof():
            with suppress(OSError):  # the peer has gone already
                self._transport.write_eof()

    def receive_into(self, place: memoryview) -> int:
        """Receives what is there already. An end or an error is left to the transport.

        Raises:
            TLSError: It is not what the peer has sent.
        """
        if self._cipher is None:
            return self._receive_into(place)
        size = self._cipher.read_into(place)
        while not (size or self._cipher.ended):
            received = self._receive_into(self._cipher.buffer)
            if not received:
                break
            self._cipher.received(received)
            size = self._cipher.read_into(place)
        return size

    def give(self, data: bytes) -> None:
        """Takes bytes that were received already."""
        self.keeps_back = True
        self._given = memoryview(bytes(self._given) + data if self._given else data)

    def take_given(self, place: memoryview) -> int:
        """Moves what was given to its place, as far as there is room."""
        size = min(len(place), len(self._given))
        place[:size] = self._given[:size]
        self._given = self._given[size:]
        return size

    @property
    def pending(self) -> bool:
        """Whether something was received of which the socket knows no more."""
        return self.keeps_back and (
            len(self._given) > 0 or (self._cipher is not None and self._cipher.pending)
        )

    def _receive_into(self, place: memoryview) -> int:
        if self._given:
            return self.take_given(place)
        if self._socket is None:
            return 0
        try:
            return self._socket.recv_into(place)
        except OSError:
            return 0

    def has_news(self) -> bool:
        """Tells whether there is something to read, or the peer has closed."""
        if self.keeps_back and self.pending:
            return True
        return self._poll is not None and bool(self._poll.poll(0))

    @property
    def taken(self) -> int:
        """How many bytes the socket has taken."""
        return self._taken - (0 if self._direct else self._transport.get_write_buffer_size())

    def waiting_in_system(self) -> int:
        """Returns how many bytes the socket has taken that have not arrived, if it can tell."""
        return _waiting_in_system(self._socket)

    def end_of_sent(self) -> int | None:
        """Returns what `taken` will be at least when the last byte that was flushed has left.

        None if it has not, and never will: a connection that is closing drops it.
        """
        if self.is_closing():
            return None
        return 0 if self.write_ready.is_set() else self.taken + self.unsent()

    def unsent(self) -> int:
        """Returns how many bytes the socket has not taken yet."""
        if self.is_closing():
            return 0
        return self._transport.get_write_buffer_size() + sum(map(len, self._backlog))

    def end_if_flushed(self) -> None:
        """Ends the sending for whoever holds the socket: a forked child may, after it is closed."""
        self._end_records()
        if self._socket is not None and not self.unsent():
            with suppress(OSError):
                # Not by the transport's own, which uvloop lets nobody shut down.
                self._socket.shutdown(socket.SHUT_WR)

    @override
    def close(self) -> None:
        """Closes, after what was to be sent."""
        self._end_records()
        if not self.is_closing() and self._backlog:
            self._transport.write(b"".join(self._backlog))
        self._backlog.clear()
        self._ending = False
        self._stop_waiting()
        if self._socket is not None:
            self._socket.close()
            self._socket = self._poll = None
        super().close()


def _open_again(transport: asyncio.Transport) -> socket.socket | None:
    """Returns a second handle of a plain socket, to send segments with.

    asyncio's own joins them before Python 3.12, and copies what does not fit.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:
        return None
    try:
        again = socket.socket(fileno=os.dup(sock.fileno()))
    except OSError:
        return None  # no more files may be open; the transport's way is only slower
    again.setblocking(False)
    return again


def _waiting_in_system(sock: socket.socket | None) -> int:
    """Returns how many bytes the socket has taken that have not arrived."""
    if sock is None:
        return 0
    try:
        import fcntl  # not on Windows
        import termios

        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    except (ImportError, AttributeError, OSError):
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _poll(sock: socket.socket) -> select.poll:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll


def _nothing() -> None:
    """Takes no notice."""
