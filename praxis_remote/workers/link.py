# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The door's end of the socket to a worker."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from .messages import Message, MessageReader, write_message

__all__ = ["Link"]

_READ = 64 * 1024


class _Outgoing(NamedTuple):
    data: memoryview
    # Whose handle goes with the first byte.
    passenger: socket.socket | None


class Link:
    """Sends messages, with sockets if need be, and takes those that come.

    It is never waited for: what a worker does not read yet, waits here.

    Args:
        sock: The door's end.
        received: Takes each message.

    Attributes:
        closed: Set when nothing more comes.
    """

    def __init__(self, sock: socket.socket, received: Callable[[Message], None]) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._reader = MessageReader()
        self._backlog: deque[_Outgoing] = deque()
        self._read_bytes = 0
        self.closed = asyncio.Event()
        self._loop.add_reader(sock, self._read)

    def send(self, message: Message, passenger: socket.socket | None = None) -> None:
        """Sends a message, and with it a socket, which must stay open until it has arrived."""
        if self.closed.is_set():
            return
        self._backlog.append(_Outgoing(memoryview(write_message(message)), passenger))
        if len(self._backlog) == 1:
            self._write()

    def _write(self) -> None:
        while self._backlog:
            data, passenger = self._backlog[0]
            try:
                if passenger is None:
                    sent = self._socket.send(data)
                else:
                    sent = socket.send_fds(self._socket, [data], [passenger.fileno()])
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket, self._write)
                return
            except OSError:
                self.close()
                return
            if sent < len(data):
                self._backlog[0] = _Outgoing(data[sent:], None)
            else:
                self._backlog.popleft()
        self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._read_bytes += len(data)
        if not data:
            self.close()
        for message in self._reader.feed(data):
            self._received(message)

    def drain(self) -> None:
        """Takes what has come already, and closes: there is nobody who would send more."""
        before = -1
        while not self.closed.is_set() and before != self._read_bytes:
            before = self._read_bytes
            self._read()
        self.close()

    def close(self) -> None:
        """Closes; a worker that is there ends for that. May be called repeatedly."""
        if not self.closed.is_set():
            self.closed.set()
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._backlog.clear()
            self._socket.close()
