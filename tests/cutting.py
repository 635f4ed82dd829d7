# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A way to a server that breaks on command: in the midst of a message, to the byte.

Knows nothing of HTTP/2; it counts bytes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any

from hosts import listen, port_of

WAIT = 30.0

_CHUNK = 64 * 1024
_LINGER = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What happens to a connection."""

    RESET = "both ends get a reset"
    END = "both ends get an end, as from a process that closes"
    HALF = "the receiving end gets an end; the other way stays open"
    SILENCE = "nothing arrives any more, either way, and nobody is told"
    STALL = "nothing arrives this way until `go_on`"


class Way:
    """One direction, through all connections.

    Attributes:
        passed: Bytes that went through.
    """

    def __init__(self) -> None:
        self.passed = 0
        self._fault: tuple[int, Fault] | None = None

    def break_after(self, size: int, fault: Fault) -> None:
        """Has the connection that passes so many bytes more break, once."""
        self._fault = (self.passed + size, fault)

    def take(self, size: int) -> tuple[int, Fault | None]:
        """Returns how many of so many bytes pass, and what happens then."""
        if self._fault is None or self.passed + size < self._fault[0]:
            self.passed += size
            return size, None
        at, fault = self._fault
        self._fault = None
        passing, self.passed = at - self.passed, at
        return passing, fault


class _Link:
    """One connection: two streams."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.silent = False

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):  # it is closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            writer.transport.abort()

    def end(self) -> None:
        for writer in self.writers:
            writer.close()


def _connect(host: str, port: int) -> socket.socket:
    """Connects with so small a buffer that what does not pass is still with the server."""
    unix = host.startswith("unix:")
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        sock.connect(host.removeprefix("unix:") if unix else (host, port))
    except OSError:
        sock.close()
        raise
    return sock


class Cutter:
    """Listens beside a server, and passes everything on until it is told otherwise.

    Args:
        host: The server's, ``unix:path`` included.
        port: Its port.

    Attributes:
        host: Where to connect to instead.
        port: The same.
        requests: The way to the server.
        responses: The way back.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.host = f"{host}.cut" if host.startswith("unix:") else host
        self._listener = listen(self.host)
        self.port = port_of(self._listener)
        self.requests, self.responses = Way(), Way()
        self._links: list[_Link] = []
        self._broken = threading.Semaphore(0)
        self._loop = asyncio.new_event_loop()
        self._going_on: asyncio.Event
        self._thread = threading.Thread(target=self._run, daemon=True)

    # In the test's thread.

    def wait_broken(self) -> None:
        """Waits until one fault more has happened."""
        assert self._broken.acquire(timeout=WAIT), "nothing passed that could break"

    def break_now(self, fault: Fault) -> None:
        """Breaks all connections."""

        def act() -> None:
            for link in self._links:
                self._act(fault, link)

        broken = len(self._links)
        self._loop.call_soon_threadsafe(act)
        for _ in range(broken):
            self.wait_broken()

    def go_on(self) -> None:
        """Lets pass what is held back."""
        self._loop.call_soon_threadsafe(self._going_on.set)

    def __enter__(self) -> Cutter:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)

    # In its own.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._going_on = asyncio.Event()
        unix = self.host.startswith("unix:")
        start: Any = asyncio.start_unix_server if unix else asyncio.start_server
        server = self._loop.run_until_complete(start(self._carry, sock=self._listener))
        self._loop.run_forever()
        server.close()
        for link in self._links:
            link.reset()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # what was aborted is closed here
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(sock=_connect(*self._target))
        except OSError:
            writer.transport.abort()
            return
        link = _Link((writer, there[1]))
        self._links.append(link)
        try:
            await asyncio.gather(
                self._pass(reader, there[1], self.requests, link),
                self._pass(there[0], writer, self.responses, link),
            )
        except asyncio.CancelledError:
            pass  # at the end; asyncio would log it
        finally:
            link.reset()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, link: _Link
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if link.silent:
                    continue
                size, fault = way.take(len(data))
                writer.write(data[:size])
                await writer.drain()
                if fault is Fault.HALF:
                    writer.write_eof()
                    self._broken.release()
                    while await reader.read(_CHUNK):
                        pass
                    return
                if fault is not None:
                    self._act(fault, link)
                if fault is Fault.STALL:
                    await self._going_on.wait()
                    self._going_on.clear()
                    way.passed += len(data) - size
                    writer.write(data[size:])
            if not link.silent:
                writer.write_eof()
        except OSError:
            if not link.silent:
                link.reset()

    def _act(self, fault: Fault, link: _Link) -> None:
        if fault is Fault.RESET:
            link.reset()
        elif fault is Fault.END:
            link.end()
        elif fault is Fault.SILENCE:
            link.silent = True
        self._broken.release()
