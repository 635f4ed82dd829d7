# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where connections come in, and stay until it is known whose they are."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from ..address import name_peer
from ..http2 import FirstRequest, Relay, allowed_by_system, goodbye, greeting
from ..logs import event

__all__ = ["Door", "Visitor"]

log = logging.getLogger("praxis_remote.workers")

# Connections that are accepted in one turn, and bytes that are read in one.
_ACCEPTED, _READ = 16, 16 * 1024

# Until one is accepted again after that has failed, for lack of files as a rule.
_RETRY_SECONDS = 1.0

# Of a connection at the door, and of one that goes through it.
_FILES, _FILES_WITH_TLS = 1, 3

# For a client to read why it is refused.
_CLOSE_SECONDS = 1.0


class Visitor:
    """A connection that no worker has taken yet.

    Attributes:
        sock: The connection; with TLS, that to what speaks it.
        peer: The client's address.
        since: When it was accepted, on the monotonic clock.
        first: What it has said.
    """

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock = sock
        self.peer = peer
        self.since = time.monotonic()
        self.first = FirstRequest()

    def refuse(self, reason: str) -> None:
        """Tells the client that none of its calls was taken, and closes."""
        with suppress(OSError):
            self.sock.send(goodbye(reason))
            self.sock.shutdown(socket.SHUT_WR)
        # To close while something of the client's is unread would take the reason from it.
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self.sock.close)


class Door:
    """Accepts connections, and reads of each whose it is.

    Who says nothing, or something else, is let in after a while all the same: a worker
    knows what to make of him.

    Args:
        listening: The socket on which they come.
        let_in: Takes each as soon as what can be known of it is.
        most: How many may be at the door, and with TLS in all.
        patience: Seconds for a client to say whose it is.
        tls: Returns the context for a new connection.
    """

    def __init__(
        self,
        listening: socket.socket,
        let_in: Callable[[Visitor], None],
        *,
        most: int,
        patience: float,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._listening = listening
        self._let_in = let_in
        self._most = allowed_by_system(most, _FILES if tls is None else _FILES_WITH_TLS)
        self._patience = patience
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._greeting = greeting()
        # The one that has waited for longest is first.
        self._waiting: dict[Visitor, None] = {}
        self._relays: set[Relay] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self._closed = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED):
            try:
                sock, name = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                reason = str(error.strerror)
                fields = event("connection_refused", reason=reason)
                log.error("no connection can be accepted: %s", reason, extra=fields)
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_RETRY_SECONDS, self._accept_again)
                return
            self._receive(sock, name_peer(name, self._listening.getsockname()))

    def _accept_again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    def _receive(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        if self._tls is not None:
            if len(self._relays) >= self._most:
                reason = f"all {self._most} connections are in use; try again later"
                fields = event("connection_refused", peer=peer, reason=reason)
                log.info("%s: refusing the connection: %s", peer, reason, extra=fields)
                sock.close()
                return
            relay, sock = Relay.before(sock, self._tls(), peer, self._relays.discard)
            self._relays.add(relay)
        visitor = Visitor(sock, peer)
        try:
            # Clients may wait for it before they say anything.
            sock.send(self._greeting)
        except OSError:  # it has gone
            sock.close()
            return
        if len(self._waiting) >= self._most:
            self._lead_in(next(iter(self._waiting)))
        self._waiting[visitor] = None
        self._loop.add_reader(sock, self._read, visitor)
        if self._next_look is None:
            self._next_look = self._loop.call_later(self._patience / 4, self._look)

    def _read(self, visitor: Visitor) -> None:
        try:
            data = visitor.sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._forget(visitor)
            visitor.sock.close()
        elif visitor.first.feed(data):
            self._lead_in(visitor)

    def _look(self) -> None:
        self._next_look = None
        now = time.monotonic()
        for visitor in list(self._waiting):
            if now - visitor.since >= self._patience:
                self._lead_in(visitor)
        if self._waiting:
            self._next_look = self._loop.call_later(self._patience / 4, self._look)

    def _lead_in(self, visitor: Visitor) -> None:
        self._forget(visitor)
        self._let_in(visitor)

    def _forget(self, visitor: Visitor) -> None:
        self._loop.remove_reader(visitor.sock)
        del self._waiting[visitor]

    def close(self) -> None:
        """Accepts no more; who is here already, is let in."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening)
            self._listening.close()
            for visitor in list(self._waiting):
                self._lead_in(visitor)
