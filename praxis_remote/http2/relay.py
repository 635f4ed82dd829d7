# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""TLS on a socket whose other side is another process: bytes pass, and are not looked at."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from typing_extensions import Self, override

from ..logs import event
from .cipher import Cipher, TLSError
from .streams import CLOSE_TIMEOUT

__all__ = ["Relay"]

log = logging.getLogger("praxis_remote.http2")

# Asyncio has no more than this in a piece; what one end cannot send keeps the other waiting.
_BUFFER = 256 * 1024
# What is decrypted at a time.
_DECRYPTED = 64 * 1024
# The system cuts this to its limit.
_SOCKET_BUFFER = 4 * 2**20


class _End(asyncio.Protocol):
    """One of the two connections.

    Args:
        receive: Takes what comes.
        ended: Called when no more does.
    """

    def __init__(
        self, receive: Callable[[bytes], None], ended: Callable[[], None], lost: Callable[[], None]
    ) -> None:
        self._receive = receive
        self._ended = ended
        self._lost = lost
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._full = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_BUFFER)
        for data in self._early:
            self.transport.write(data)
        self._early.clear()

    @override
    def data_received(self, data: bytes) -> None:
        self._receive(data)

    @override
    def eof_received(self) -> bool:
        self._ended()
        return True  # the other direction may go on

    @override
    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost()

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        elif data and not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        """Closes, after what was to be sent."""
        if self.transport is not None:
            self.transport.close()


class Relay:
    """Speaks TLS to a client, for somebody who does not.

    Args:
        context: What is allowed and trusted.
        peer: The client's address.
        over: Called when both connections are closed.
    """

    def __init__(self, context: ssl.SSLContext, peer: str, over: Callable[[Relay], object]) -> None:
        self._cipher = Cipher(context)
        self._peer = peer
        self._over = over
        self._open = 2
        self._failed = False
        self._place = memoryview(bytearray(_DECRYPTED))
        # Plain bytes from before the handshake is over.
        self._held: list[bytes] = []
        self._outer = _End(self._decrypt, self._client_ended, self._closed)
        self._inner = _End(self._encrypt, self._server_ended, self._closed)
        self._outer.other, self._inner.other = self._inner, self._outer

    @classmethod
    def before(
        cls,
        client: socket.socket,
        context: ssl.SSLContext,
        peer: str,
        over: Callable[[Relay], object],
    ) -> tuple[Self, socket.socket]:
        """Returns a relay before a connection, and the socket on which there is no TLS."""
        plain, inside = socket.socketpair()
        for sock in (plain, inside):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        if client.family in (socket.AF_INET, socket.AF_INET6):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay = cls(context, peer, over)
        relay._task = asyncio.ensure_future(relay._connect(client, inside))
        return relay, plain

    _task: asyncio.Task[None]

    async def _connect(self, client: socket.socket, inside: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self._inner, inside)
        try:
            await loop.connect_accepted_socket(lambda: self._outer, client)
        except OSError:  # it has gone
            client.close()
            self._closed()

    def _decrypt(self, data: bytes) -> None:
        if self._failed:
            return  # nothing is said to it any more; it reads why, and closes
        cipher, rest = self._cipher, memoryview(data)
        try:
            while rest and not cipher.ended:
                size = min(len(rest), len(cipher.buffer))
                cipher.buffer[:size] = rest[:size]
                rest = rest[size:]
                cipher.received(size)
                if cipher.ready or self._shake():
                    self._pass_on()
        except TLSError as error:
            self._fail(error)
        else:
            if cipher.ended:
                self._client_ended()

    def _pass_on(self) -> None:
        while size := self._cipher.read_into(self._place):
            self._inner.write(bytes(self._place[:size]))

    def _shake(self) -> bool:
        over = self._cipher.shake()
        self._outer.write(self._cipher.take())
        if over:
            held, self._held = self._held, []
            for data in held:
                self._encrypt(data)
        return over

    def _fail(self, error: TLSError) -> None:
        if not self._cipher.ready:
            fields = event("connection_refused", peer=self._peer, reason=error.details)
            text = "%s: no connection was made: %s"
            log.warning(text, self._peer, error.details, extra=fields)
        self._failed = True
        self._outer.write(self._cipher.take())
        self._outer.write_eof()
        self._inner.close()

    def _encrypt(self, data: bytes) -> None:
        if not self._cipher.ready:
            self._held.append(data)
        elif not self._cipher.over:
            for record in self._cipher.encrypt([data]):
                self._outer.write(record)

    def _client_ended(self) -> None:
        self._inner.write_eof()

    def _server_ended(self) -> None:
        # Whoever has the other side says nothing more; an end without TLS's looks like an attack.
        self._cipher.end()
        self._outer.write(self._cipher.take())
        self._outer.write_eof()

    def _closed(self) -> None:
        self._open -= 1
        if self._failed:
            # To close while something of the client's is unread would take from it the reason.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._outer.close)
        else:
            self._outer.close()
        self._inner.close()
        if not self._open:
            self._cipher.clear()
            self._over(self)
