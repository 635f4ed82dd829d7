# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""asyncio's protocol for a connection: from its first byte to its last."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from grpclib import protocol as grpclib_protocol
from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from typing_extensions import override

from ..address import name_peer
from ..errors import forget_tracebacks
from ..logs import event
from .cipher import Cipher, TLSError
from .connection import Connection
from .machine import StateMachine, max_headers
from .offence import OffenceError
from .receiving import Receiver
from .streams import CLOSE_TIMEOUT, Call, Owner, Processor
from .watch import Finding, Seen, Silences, Watch

log = logging.getLogger("praxis_remote.http2")

# Wide enough that no sender waits for news of them: a message's size is checked before
# its memory is taken, and TCP keeps the pace.
_STREAM_WINDOW = 128 * 2**20
_CONNECTION_WINDOW = 512 * 2**20
# What another call on the same connection may have to wait for.
_MAX_FRAME_SIZE = 4 * 2**20
_MAX_STREAMS = 128
_DEFAULT_WINDOW = 65535

# Of headers as they come: a client's, whose text may be twice as large, and a server's.
_MAX_BLOCK, _MAX_BLOCK_OF_SERVER = 16 * 1024, 64 * 1024

# Linux's default takes a fifth of a megabyte at a time. The system cuts this to its limit.
_UNIX_SEND_BUFFER = 4 * 2**20

# Reads at a time, so that no peer holds the loop.
_MAX_READS = 64

_PING = b"praxis??"

# TCP's own: how often it asks, and the most seconds that Linux takes.
_PROBES = 3
_MAX_TCP_SECONDS = 32767


class _NoHandler(grpclib_protocol.AbstractHandler):
    """What grpclib's classes insist on; `Owner` and `Call` are told instead."""

    def accept(self, stream: Any, headers: Any, release_stream: Any) -> None:
        """Not used."""

    def cancel(self, stream: Any) -> None:
        """Not used."""

    def close(self) -> None:
        """Not used."""


class Protocol(grpclib_protocol.H2Protocol, asyncio.BufferedProtocol):
    """grpclib's asyncio protocol, with windows and frame size announced at the start.

    Args:
        owner: Who it belongs to.
        client_side: Whether the peer is a server.
        silences: How long the peer may be silent; see `look`.
        cipher: TLS, if there is.

    Attributes:
        lost: Set when the connection has ended, with all that was to be sent.
        ending: Whether the peer was told that calls are not taken any more.
        gone: Whether nothing more can leave.
        tls_error: Why TLS came to nothing.
    """

    connection: Connection
    processor: Processor

    def __init__(
        self,
        owner: Owner,
        *,
        client_side: bool,
        silences: Silences,
        cipher: Cipher | None = None,
    ) -> None:
        super().__init__(
            _NoHandler(),
            Configuration().__for_client__() if client_side else Configuration().__for_server__(),
            _configure(client_side),
        )
        self._owner = owner
        self._silences = silences
        self.lost = asyncio.Event()
        self.ending = self.gone = self._leaving = self._catching_up = False
        self._cipher = cipher
        self.tls_error: TLSError | None = None
        self._refusal: str | None = None
        # What somebody else has received on the connection, which he has greeted.
        self._taken_over: bytes | None = None
        # Bytes ever, and those that the last read was for.
        self._received = self._asked = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the settings."""
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock, self._silences)
        elif sock is not None:
            # TCP's grows by itself.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNIX_SEND_BUFFER)
        self.connection = Connection(
            _start(self.h2_config),
            cast("asyncio.Transport", transport),
            config=self.config,
            cipher=self._cipher,
        )
        self.processor = Processor(self._owner, self.handler, self.connection)
        self.connection.drained = self.processor.wake_calls
        self._receiver = Receiver(
            client_side=bool(self.h2_config.client_side),
            max_frame_size=_MAX_FRAME_SIZE,
            max_block=_MAX_BLOCK_OF_SERVER if self.h2_config.client_side else _MAX_BLOCK,
            find=self.processor.find,
            feed=self._feed,
            headers=self._receive_block,
            complete=self._complete,
            patience=self.processor.patience,
        )
        self._watch = Watch(self._silences, time.monotonic())
        self._owner.connection_made()
        if self._cipher is None:
            self._greet()
        else:
            self._handle(self._shake)
        if self._taken_over:
            # By then the transport reads, and can be told to pause.
            asyncio.get_running_loop().call_soon(self._receive_again, self._taken_over)

    def take_over(self, received: bytes) -> None:
        """Goes on, once made, with a connection on which somebody else has begun.

        Args:
            received: All that came on it. Sent was `greeting`.
        """
        self._taken_over = received

    def _receive_again(self, received: bytes) -> None:
        if not self.gone:
            self.data_received(received)

    def _greet(self) -> None:
        if self._taken_over is not None:
            self.connection.h2.clear_outbound_data_buffer()
        self.connection.flush()
        if self._refusal is not None:
            self.end(self._refusal, ErrorCodes.ENHANCE_YOUR_CALM)

    def _shake(self) -> bool:
        """Goes on with the handshake of TLS; returns whether there is HTTP/2 to be read."""
        assert self._cipher is not None
        if self._cipher.ready:
            return True
        if self._cipher.shake():
            self._greet()
        return self._cipher.ready

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        """Says where the next bytes from the socket belong."""
        return self._place() if self._cipher is None else self._cipher.buffer

    def _place(self) -> memoryview:
        buffer = self._receiver.buffer()
        self._asked = len(buffer)
        return buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Takes bytes from the socket."""
        self._received += nbytes
        if not self._leaving:
            self._handle(self._receive if self._cipher is None else self._receive_records, nbytes)

    def _receive_records(self, nbytes: int) -> None:
        assert self._cipher is not None
        self._cipher.received(nbytes)
        while not self._shake():
            nbytes = self.connection.take_given(self._cipher.buffer)
            if not nbytes:
                return
            self._cipher.received(nbytes)
        self._receive_pending()

    @override
    def data_received(self, data: bytes) -> None:
        """Takes bytes from a loop with a buffer of its own: uvloop, for all but bare protocols."""
        self.connection.give(data)
        self.buffer_updated(self.connection.take_given(self.get_buffer(-1)))

    def _receive_pending(self) -> None:
        nbytes = self.connection.receive_into(self._place())
        if nbytes:
            self._receive(nbytes)
        if self._cipher is not None and self._cipher.ended and not self.connection.is_closing():
            # As asyncio does at the end of a bare connection.
            self.connection.transport.close()

    def _receive(self, nbytes: int) -> None:
        self._receiver.received(nbytes)
        for _ in range(_MAX_READS):
            if not nbytes or self._receiver.behind or not self._wants_more(nbytes):
                break
            # Without a turn of the loop for each piece.
            nbytes = self.connection.receive_into(self._place())
            self._received += nbytes
            self._receiver.received(nbytes)
        pending = self.connection.keeps_back and self.connection.pending
        if self._receiver.behind or (nbytes and pending):
            self._catch_up_later()
        elif self.processor.whole and nbytes:
            self.processor.begin_whole()
        elif self.processor.whole:
            self._begin_whole_later()

    def _wants_more(self, nbytes: int) -> bool:
        if self._receiver.amid or (self.connection.keeps_back and self.connection.pending):
            return True
        # The socket had less than it was asked for: that was all.
        more = nbytes == self._asked
        return more and bool(self.processor.whole) and self.connection.has_news()

    def _catch_up_later(self) -> None:
        """Lets others have their turn, whatever a peer sends at once."""
        if not (self.connection.is_closing() or self._catching_up):
            self._catching_up = True
            self.connection.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _catch_up(self) -> None:
        self._catching_up = False
        if not (self.connection.is_closing() or self._leaving):
            self._handle(self._go_on)
        if not (self.connection.is_closing() or self._catching_up):
            self.connection.transport.resume_reading()

    def _go_on(self) -> None:
        self._receiver.go_on()
        if self._receiver.behind:
            self._catch_up_later()
            return
        self._begin_whole_later()
        if self.connection.pending:
            self._receive_pending()

    def _begin_whole_later(self) -> None:
        """Has the loop look first at what the peer has sent since, or whether it has gone."""
        # Timers come after what was received, unlike what is called soon.
        asyncio.get_running_loop().call_later(0, self._handle, self._begin_whole)

    def _begin_whole(self) -> None:
        if not self._receiver.behind:
            self.processor.begin_whole()

    def _handle(self, act: Callable[..., object], *args: int) -> None:
        """Does what a peer's bytes ask for, and ends the connection if that may not be."""
        try:
            act(*args)
            self.connection.flush()
        except OffenceError as error:
            self.end(f"the peer broke the protocol: {error}", error.code)
        except TLSError as error:
            self._end_tls(error)
        except ProtocolError as error:
            # h2 has said goodbye already.
            self.connection.flush()
            reason = f"the peer broke the protocol: {error}"
            self._owner.connection_ending(reason, faulty=True)
            self.processor.close(reason)
        except Exception:
            # It shall cost this connection, and not more.
            log.exception(
                "closing a connection after an unforeseen error", extra=event("unforeseen")
            )
            self.processor.close("an unforeseen error; see the log of the process")

    def _end_tls(self, error: TLSError) -> None:
        self.tls_error = forget_tracebacks(error)
        self.connection.send_records()  # which tell the peer why
        if self.h2_config.client_side or (self._cipher is not None and self._cipher.ready):
            self.processor.close(error.details)
            return
        name = self.connection.transport.get_extra_info
        peer = name_peer(name("peername"), name("sockname"))
        fields = event("connection_refused", peer=peer, reason=error.details)
        log.warning("%s: no connection was made: %s", peer, error.details, extra=fields)
        # To close while something of the client's is unread would take from it what it
        # was told.
        self._retire(error.details)

    # What follows in the same read on the end of the connection is of no interest.

    def _feed(self, data: memoryview) -> None:
        if not self.processor.closed:
            for event in self.connection.feed(bytes(data)):
                self.processor.process(event)

    def _receive_block(self, stream_id: int, block: bytes, end_stream: bool) -> None:
        if not self.processor.closed:
            h2 = self.connection.h2
            events = h2.receive_block(stream_id, block, end_stream=end_stream)
            if not events:
                # A stream that was refused.
                self.processor.patience.spend()
            for event in events:
                self.processor.process(event)

    def _complete(self, stream_id: int, size: int, end_stream: bool) -> None:
        if not self.processor.closed:
            h2 = self.connection.h2
            for event in h2.receive_payload(stream_id, size, end_stream=end_stream):
                self.processor.process(event)

    @override
    def resume_writing(self) -> None:
        """Called by the transport when its buffer has drained."""
        super().resume_writing()
        if self.connection.write_ready.is_set():
            self.processor.wake_calls()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the transport at its end."""
        self.gone = True
        if self.made:
            super().connection_lost(exc)
            # All this is a cycle, which lasts until Python looks for such.
            self._receiver.clear()
            if self._cipher is not None:
                self._cipher.clear()
        else:
            self._owner.connection_closed(f"it could not be made: {exc}")
        self.lost.set()

    @property
    def made(self) -> bool:
        """Whether there is a connection yet."""
        return hasattr(self, "processor")

    def look(self, now: float) -> None:
        """Looks whether the peer is there, and does what it should.

        Args:
            now: Seconds on the monotonic clock.
        """
        if not self.made or self.connection.is_closing():
            return
        connection, processor = self.connection, self.processor
        h2 = connection.h2
        calls = processor.calls()
        unsent, waiting = connection.unsent() > 0, connection.waiting_in_system()
        seen = Seen(
            busy=bool(calls),
            begun=max(h2.highest_inbound_stream_id, h2.highest_outbound_stream_id),
            received=self._received,
            due=any(call.due() for call in calls),
            moved=self._receiver.moved + processor.payload_sent,
            unsent=unsent,
            under_way=unsent or waiting > 0,
            taken=connection.taken - waiting,
        )
        self._act(self._watch.look(seen, now), calls)

    def _act(self, finding: Finding, calls: list[Call]) -> None:
        silences = self._silences
        if finding is Finding.ASK:
            with suppress(H2Error):
                self.connection.h2.ping(_PING)
                self.connection.flush()
        elif finding is Finding.GONE:
            self.end(f"the peer answered no ping within {silences.answer:g} s", patience=0)
        elif finding is Finding.BLOCKED:
            self.end(f"the peer read nothing for {silences.stall:g} s", patience=0)
        elif finding is Finding.STALLED:
            for call in calls:
                if call.due():
                    call.stalled(silences.stall)
        elif finding is Finding.IDLE:
            self.retire(f"no call for {silences.idle:g} s")

    def announce_end(self, reason: str) -> None:
        """Tells the peer that calls from now on are not taken. Those that run go on."""
        if self.made and not self.ending and not self.connection.is_closing():
            self.ending = True
            with suppress(H2Error):
                self.connection.h2.say_goodbye(text=reason)
                self.connection.flush()

    def leave(self, reason: str) -> None:
        """Says goodbye and lets the peer close, which it does when it has read all.

        To close while something of the peer's is unread, a window update for example,
        would have the system throw away what the peer has not read yet.
        """
        if not self._leaving and not self.connection.is_closing():
            self.announce_end(reason)
            self._leaving = True
            self.connection.write_eof()

    def retire(self, reason: str) -> None:
        """Ends a connection that carries no calls, with time for the peer to read so."""
        self._owner.connection_ending(reason, faulty=False)
        self._retire(reason)

    def _retire(self, reason: str) -> None:
        self.leave(reason)
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.close, reason)

    def refuse(self, reason: str) -> None:
        """Ends a connection that is about to begin, as soon as it can be told why."""
        self._refusal = reason

    def end(
        self,
        reason: str,
        code: ErrorCodes = ErrorCodes.NO_ERROR,
        patience: float = CLOSE_TIMEOUT,
        *,
        faulty: bool = True,
    ) -> None:
        """Says goodbye with the reason, fails the calls and closes."""
        if not self.connection.is_closing():
            self._owner.connection_ending(reason, faulty=faulty)
            with suppress(H2Error):
                self.connection.h2.say_goodbye(code, reason)
                self.connection.flush()
        if not self.connection.is_closing():
            self.connection.end_if_flushed()
            self.processor.close(reason, patience)

    def close(self, reason: str, patience: float = CLOSE_TIMEOUT) -> None:
        """Says goodbye, fails the calls and closes, as `Processor.close` does."""
        if not self.made:
            # Accepted at this moment; it ends as soon as it begins.
            self.refuse(reason)
        elif self._leaving and not self.connection.is_closing():
            self.connection.end_if_flushed()
            self.processor.close(reason, patience)
        else:
            self.end(reason, patience=patience)


def greeting() -> bytes:
    """Returns what a server sends first, whoever the client is."""
    return b"".join(_start(_configure(client_side=False)).take_segments())


def goodbye(reason: str) -> bytes:
    """Returns what tells a client, after the `greeting`, that no call of its was taken."""
    h2 = _start(_configure(client_side=False))
    h2.take_segments()
    h2.say_goodbye(text=reason)
    return b"".join(h2.take_segments())


def _configure(client_side: bool) -> H2Configuration:
    return H2Configuration(
        client_side=client_side,
        # Decodes any byte, where ASCII would close the connection.
        header_encoding="latin-1",
        validate_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_inbound_headers=False,
        normalize_outbound_headers=False,
    )


def _start(config: H2Configuration) -> StateMachine:
    h2, client = StateMachine(config), bool(config.client_side)
    values = {
        SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
        SettingCodes.MAX_FRAME_SIZE: _MAX_FRAME_SIZE,
        SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
        SettingCodes.MAX_HEADER_LIST_SIZE: max_headers(client),
    }
    if client:
        values[SettingCodes.ENABLE_PUSH] = 0
    # As initial values they hold from the first byte; an update would hold only
    # once the peer has acknowledged it.
    h2.local_settings = Settings(client=client, initial_values=values)
    h2.settings_changed()
    h2.max_inbound_frame_size = _MAX_FRAME_SIZE
    h2.initiate_connection()
    h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
    return h2


def _keep_alive(sock: socket.socket, silences: Silences) -> None:
    """Has the system find out whether the other machine is there, also without a call.

    A client without a loop of its own cannot answer a ping between its calls.
    """
    if math.isinf(silences.ping + silences.answer):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    first = min(math.ceil(silences.ping), _MAX_TCP_SECONDS)
    each = min(math.ceil(silences.answer / _PROBES), _MAX_TCP_SECONDS)
    options = {
        "TCP_KEEPIDLE": first,
        "TCP_KEEPALIVE": first,  # macOS's name for it
        "TCP_KEEPINTVL": each,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": 1000 * (first + _PROBES * each),
    }
    for name, value in options.items():
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
