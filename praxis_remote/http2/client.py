# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The client's end: a connection, and calls on it."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from h2.errors import ErrorCodes
from h2.exceptions import H2Error, NoAvailableStreamIDError, TooManyStreamsError
from typing_extensions import override

from ..address import AnyAddress, UnixAddress
from ..calls import (
    CONTENT_TYPE,
    SHARED_MEMORY,
    Deadline,
    Headers,
    Metadata,
    check_response_headers,
    check_status,
    decode_metadata,
    encode_timeout,
)
from ..errors import (
    BadResponseError,
    CallCancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    MessageTooLargeError,
    RemoteError,
    RequestRefusedError,
    StatusCode,
    UnavailableError,
)
from ..framing import ACCEPTED_ENCODINGS, Find, MessageReader, MessageWriter, Segments
from ..shared_memory import AVAILABLE, Lender, Loan
from ..timing import SERVER_TIMING
from ..tls import Secure
from ..version import __version__
from .cipher import Cipher
from .headers import volatile
from .protocol import Protocol
from .streams import Call, NotTakenError, Owner, Stream, StreamCancelledError, StreamRefusedError
from .watch import Silences

_USER_AGENT = f"praxis-remote-python/{__version__}"

# A peer that speaks HTTP/2 sends its settings at once.
_HANDSHAKE_TIMEOUT = 10.0

# Looks in the shortest time after which something is made of a silence.
_LOOKS = 4

# Nothing tells when a server has taken a connection off its queue.
_QUEUE_PAUSE = 0.01

# A grpcio server counts a stream for a moment after it has answered, and refuses the
# next one when that is one too many. Nothing tells when the moment is over.
_REFUSAL_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256)


# In the place of an error that was raised.
_TOLD = RemoteError("the caller knows")


class Response(NamedTuple):
    """What comes back from a call that went well.

    Attributes:
        message: The server's.
        metadata: What came with it.
        timing: What the server says of where the time went; empty if it says nothing.
    """

    message: bytearray | memoryview
    metadata: Metadata
    timing: str = ""


class _ClientCall(Call):
    """A call as its caller sees it: settled once, by whatever comes first."""

    def __init__(
        self,
        reader: MessageReader,
        sending: Protocol,
        loan: Loan | None = None,
        left: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._loan = loan
        self._left = left
        self._reader = reader
        self._sending = sending
        self._end: int | None = None
        self._encoding: str | None = None
        self._trailers: Headers = ()
        self._timing = ""
        self._settled: Response | RemoteError | None = None

    @override
    def abandoned(self) -> bool:
        return self._settled is not None

    @override
    def receive_headers(self, headers: Headers) -> None:
        if headers[-1:] and headers[-1][0] == SERVER_TIMING:
            # Another one each time: without it, the trailers are those of the last call.
            self._timing = headers[-1][1]
            headers = headers[:-1]
        self._trailers = headers
        if self._loan is not None:
            self._loan.hear(dict(headers).get(SHARED_MEMORY, ""))
        if self._encoding is None:
            try:
                self._encoding = check_response_headers(headers)
            except RemoteError as error:
                self._settle(error)

    @override
    def receive_data(self, data: bytes | memoryview) -> None:
        try:
            self._reader.feed(data)
        except RemoteError as error:
            self._settle(_blame_server(error))

    @override
    def receive_into(self, size: int) -> memoryview | None:
        return None if self._settled is not None else self._reader.space(size)

    @override
    def received_into(self, size: int) -> None:
        self._reader.filled(size)

    @override
    def receive_end(self) -> None:
        if self._settled is None:
            try:
                self._settle(self._read_response())
            except RemoteError as error:
                self._settle(error)

    def _read_response(self) -> Response:
        if self._encoding is None:
            raise BadResponseError("the stream ended without a response")
        check_status(self._trailers)
        try:
            message = self._reader.end(self._encoding)
        except RemoteError as error:
            raise _blame_server(error) from error
        if message is None:
            raise BadResponseError("status OK came without a message")
        if self._loan is not None:
            message = self._loan.read(message)
        return Response(message, decode_metadata(self._trailers), self._timing)

    @override
    def fail(self, error: RemoteError) -> None:
        if isinstance(error, StreamRefusedError) or self._never_leaves():
            error.never_ran = True
        self._settle(error)

    @property
    def offer(self) -> str | None:
        """What the server is told of shared memory."""
        return None if self._loan is None else self._loan.offer

    def announced(self) -> None:
        """Takes the news that the headers were handed to the connection."""
        if self._loan is not None:
            self._loan.sent = True

    def sent(self) -> None:
        """Takes the news that the end of the request was handed to the connection."""
        self._end = self._sending.connection.end_of_sent()
        if self._left is not None:
            self._left()

    def _never_leaves(self) -> bool:
        """Tells whether the request's last byte has not left, and never will.

        No server begins on less: what a settled call has not handed over it never does,
        and what a lost connection has not taken is lost.
        """
        if self._end is None:
            return True
        return self._sending.gone and self._end > self._sending.connection.taken

    def _settle(self, outcome: Response | RemoteError) -> None:
        if self._settled is None:
            self._settled = outcome
            self._reader.clear()
        self.wake()

    @override
    def due(self) -> bool:
        """False: the caller's timeout holds for all that a server may leave undone."""
        return False

    @override
    def stalled(self, seconds: float) -> None:
        """Never called, since nothing is due."""

    def response(self) -> Response | None:
        """Returns the response if it is here, or raises what became of the call instead."""
        if isinstance(self._settled, RemoteError):
            try:
                raise self._settled
            finally:
                # Its traceback leads back here, and to the request.
                self._settled = _TOLD
        return self._settled

    async def result(self) -> Response:
        """Waits for the response and returns it, or raises what became of the call."""
        while (response := self.response()) is None:
            await self.pause()
        return response


def _blame_server(error: RemoteError) -> RemoteError:
    """A response that cannot be read is no invalid argument of the caller's."""
    if isinstance(error, InvalidArgumentError):
        return BadResponseError(error.details())
    return error


class ClientConnection(Owner):
    """A connection that carries any number of calls at once.

    Attributes:
        usable: Whether it takes new calls.
    """

    def __init__(
        self,
        address: AnyAddress,
        max_message_size: int,
        silences: Silences,
        secure: Secure | None = None,
        *,
        shared_memory: bool = False,
    ) -> None:
        self._address = address
        self._scheme = "http" if secure is None else "https"
        self._max_message_size = max_message_size
        shares = shared_memory and AVAILABLE and isinstance(address, UnixAddress) and not secure
        self._lender = Lender(max_message_size) if shares else None
        cipher = None if secure is None else Cipher(*secure)
        self._protocol = Protocol(self, client_side=True, silences=silences, cipher=cipher)
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue: deque[_ClientCall] = deque()
        self._reason = "it is not made yet"
        self._look_period = min(silences.ping, silences.answer) / _LOOKS
        self._next_look: asyncio.TimerHandle | None = None
        self.usable = False

    @classmethod
    async def open(
        cls,
        address: AnyAddress,
        max_message_size: int,
        silences: Silences,
        secure: Secure | None = None,
        *,
        shared_memory: bool = False,
    ) -> ClientConnection:
        """Connects, and waits until the peer has shown that it speaks HTTP/2.

        Raises:
            UnavailableError: It cannot be reached, is no HTTP/2 server, or not the one
                that it should be.
            RequestRefusedError: It wants a certificate, or another one.
        """
        loop = asyncio.get_running_loop()
        try:
            self = cls(address, max_message_size, silences, secure, shared_memory=shared_memory)
            if isinstance(address, UnixAddress):
                sock = await _connect_unix(address.path)
                await loop.create_unix_connection(lambda: self._protocol, sock=sock)
            else:
                await loop.create_connection(lambda: self._protocol, address.host, address.port)
        except (OSError, UnicodeError) as error:
            raise UnavailableError(
                f"cannot connect: {getattr(error, 'strerror', None) or error}; "
                "is the server running?",
                str(address),
                never_ran=True,
            ) from error
        except asyncio.CancelledError:
            # What is connected already tells of its end later, when nobody listens.
            self._greeted.cancel()
            await self._wait_lost()
            raise
        timer = loop.call_later(
            _HANDSHAKE_TIMEOUT,
            self._protocol.close,
            f"no HTTP/2 settings came within {_HANDSHAKE_TIMEOUT:g} s",
        )
        try:
            await self._greeted
        except BaseException as error:
            self._protocol.close("the client gave up connecting")
            if isinstance(error, (RemoteError, asyncio.CancelledError)):
                await self._wait_lost()
            raise
        finally:
            timer.cancel()
        return self

    async def _wait_lost(self) -> None:
        """Leaves nothing behind for a loop that ends with this call."""
        for _ in range(2):
            # What is connected gets its protocol in the next turn.
            await asyncio.sleep(0)
        if self._protocol.made:
            self._protocol.close("the client gave up connecting")
            await self._protocol.lost.wait()

    @override
    def settings_received(self) -> None:
        if not self._greeted.done():
            self.usable = True
            self._greeted.set_result(None)
        # The server may allow more calls than before.
        for call in self._queue:
            call.wake()

    @override
    def going_away(self, reason: str) -> None:
        self.usable, self._reason = False, reason
        for call in list(self._queue):
            call.fail(NotTakenError(reason))
        self._close_if_left()

    @override
    def connection_closed(self, reason: str) -> None:
        self.usable, self._reason = False, reason
        if self._lender is not None:
            self._lender.close()
        if not self._greeted.done():
            self._greeted.set_exception(self._not_greeted(reason))
        for call in self._queue:
            call.fail(NotTakenError(reason))
        if self._next_look is not None:
            self._next_look.cancel()

    def _not_greeted(self, reason: str) -> RemoteError:
        address, tls_error = str(self._address), self._protocol.tls_error
        if tls_error is None:
            other = (
                "without TLS, or one that wants a certificate (ClientTLS(cert=..., key=...))"
                if self._scheme == "https"
                else "with TLS (tls=True, or --tls)"
            )
            return UnavailableError(
                f"connected, but the peer did not answer as an HTTP/2 server does ({reason}); "
                f"is this the address of a policy server, or is it one {other}?",
                address,
                never_ran=True,
            )
        if tls_error.refused:
            status = StatusCode.UNAUTHENTICATED
            return RequestRefusedError(tls_error.details, address, status, never_ran=True)
        return UnavailableError(tls_error.details, address, never_ran=True)

    @property
    def lost(self) -> bool:
        """Whether nothing is left of it."""
        return self._protocol.lost.is_set()

    def has_news(self) -> bool:
        """Tells whether the peer has sent or closed since the loop last looked."""
        return self._protocol.connection.has_news()

    def _close_if_left(self) -> None:
        """Closes a connection that takes no new calls, once it carries none."""
        if not self.usable and not self._protocol.processor.streams:
            self._protocol.close("the server went away")

    async def close(self) -> None:
        """Closes the connection; calls that are running are cancelled."""
        self.usable = False
        for call in [*self._protocol.processor.calls(), *self._queue]:
            call.fail(CallCancelledError("the client was closed"))
        self._protocol.close("the client was closed")
        await self._protocol.lost.wait()

    async def call(
        self,
        path: str,
        segments: Segments,
        left: Callable[[], None] | None = None,
        *,
        deadline: Deadline | None,
        metadata: Headers,
        once: Headers = (),
        find: Find | None = None,
    ) -> Response:
        """Sends a request and returns its response.

        Args:
            path: ``/package.Service/Method``.
            segments: The request. They must not change until this returns.
            left: Called when the connection has taken all of it, or wants no more.
            deadline: When to give up, if ever.
            metadata: Encoded already.
            once: More of it, of which the next call has other. It is sent as it is, so that
                neither end forgets for it what it has compressed.
            find: Returns the place in the response that shall be aligned.

        Raises:
            RemoteError: Whatever became of it, with the address.
        """
        headers = _request_headers(path, self._scheme, self._address.authority, metadata)
        if once:
            headers += tuple([volatile(key, value) for key, value in once])
        pauses = iter(_REFUSAL_PAUSES)
        while True:
            writer = self._writer(segments)
            loan = None
            if self._lender is not None and self._lender.wants(path, writer.size):
                loan = await self._lender.lend(path, segments)
                writer = writer if loan is None else self._writer(loan.segments)
            reader = MessageReader(self._max_message_size, "response", find=find)
            call = _ClientCall(reader, self._protocol, loan, left)
            try:
                response = await self._try(call, writer, headers, deadline)
                if self._lender is not None:
                    self._lender.note_response(path, len(response.message))
                return response
            except RemoteError as error:
                if loan is not None and loan.refused and error.never_ran:
                    continue  # on the socket; the server is offered no more memory
                pause = next(pauses, None) if isinstance(error, StreamRefusedError) else None
                if pause is None:
                    error.address = str(self._address)
                    raise
            finally:
                if loan is not None:
                    loan.end()
            await asyncio.sleep(_within(pause, deadline))

    def _writer(self, segments: Segments) -> MessageWriter:
        try:
            return MessageWriter(segments, self._max_message_size, "request")
        except MessageTooLargeError as error:
            error.never_ran, error.address = True, str(self._address)
            raise

    async def _try(
        self, call: _ClientCall, writer: MessageWriter, headers: Headers, deadline: Deadline | None
    ) -> Response:
        if deadline is None:
            return await self._run(call, writer, headers, None)
        seconds = deadline.remaining()
        if seconds <= 0:
            raise DeadlineExceededError("the timeout passed before the call left", never_ran=True)

        def expire() -> None:
            call.fail(_expired(seconds))

        deadlines = self._protocol.processor.deadlines
        deadlines.add(deadline, expire)
        try:
            return await self._run(call, writer, headers, deadline)
        except StreamCancelledError:
            if deadline.remaining() > 0:
                raise
            # The server's clock was quicker to say so, amid the response.
            raise _expired(seconds) from None
        finally:
            deadlines.remove(expire)

    async def _run(
        self, call: _ClientCall, writer: MessageWriter, headers: Headers, deadline: Deadline | None
    ) -> Response:
        try:
            while (stream := self._open_stream(call, headers, deadline)) is None:
                await self._wait_turn(call)
        except BaseException:
            # Its turn may have come at the moment when it was given up.
            self._pass_turn()
            raise
        if self._queue:
            # Several may have ended at once, each of which woke this one.
            self._queue[0].wake()
        try:
            await stream.send_message(writer)
            call.sent()
            return await call.result()
        except H2Error as error:
            raise UnavailableError(
                f"the connection failed while sending: {error}", never_ran=True
            ) from error
        finally:
            self._protocol.processor.release(stream)
            stream.reset_if_open(ErrorCodes.CANCEL)
            self._pass_turn()

    def _pass_turn(self) -> None:
        """Lets the call that waits longest try, and closes a connection that nobody needs."""
        if self._queue:
            self._queue[0].wake()
        self._close_if_left()

    def _open_stream(
        self, call: _ClientCall, headers: Headers, deadline: Deadline | None
    ) -> Stream | None:
        """Opens a stream, if the server allows one more."""
        call.response()  # which cannot be here yet, but an error may
        if not self.usable:
            raise self._not_taken()
        h2 = self._protocol.connection.h2
        if call.offer is not None:
            headers = (*headers, volatile(SHARED_MEMORY, call.offer))
        if deadline is not None:
            # What is left when the call leaves; it may have waited for its turn.
            headers = (*headers, volatile("grpc-timeout", encode_timeout(deadline.remaining())))
        try:
            stream_id = h2.get_next_available_stream_id()
            h2.send_headers(stream_id, headers)
        except TooManyStreamsError:
            return None
        except NoAvailableStreamIDError:
            self.usable = False
            self._reason = "it has carried as many as it can"
            raise self._not_taken() from None
        except H2Error as error:
            text = f"the connection takes no calls: {error}"
            raise NotTakenError(text, never_ran=True) from error
        call.announced()
        stream = Stream(self._protocol.processor, stream_id)
        self._protocol.processor.register(stream, call)
        if self._next_look is None and self._look_period < math.inf:
            self._look_later()
        return stream

    def _look_later(self) -> None:
        # One for many calls, which mostly finds that there is nothing to look for.
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(self._look_period, self._look)

    def _look(self) -> None:
        self._next_look = None
        self._protocol.look(time.monotonic())
        if self._protocol.processor.streams:
            self._look_later()

    def _not_taken(self) -> NotTakenError:
        text = f"the connection takes no more calls: {self._reason}"
        return NotTakenError(text, never_ran=True)

    async def _wait_turn(self, call: _ClientCall) -> None:
        self._queue.append(call)
        try:
            await call.pause()
        finally:
            if call in self._queue:
                self._queue.remove(call)


@lru_cache(maxsize=64)
def _request_headers(path: str, scheme: str, authority: str, metadata: Headers) -> Headers:
    return (
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", CONTENT_TYPE),
        ("user-agent", _USER_AGENT),
        ("grpc-accept-encoding", ACCEPTED_ENCODINGS),
        *metadata,
    )


async def _connect_unix(path: str) -> socket.socket:
    """Connects as soon as the server's queue has room.

    Unlike TCP the system does not wait for that by itself, and asyncio takes a socket
    that is refused for this reason for one that is connected.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            with suppress(BlockingIOError):
                sock.connect(path)
                return sock
            await asyncio.sleep(_QUEUE_PAUSE)
    except BaseException:
        sock.close()
        raise


def _within(pause: float, deadline: Deadline | None) -> float:
    return pause if deadline is None else max(0.0, min(pause, deadline.remaining()))


def _expired(seconds: float) -> DeadlineExceededError:
    return DeadlineExceededError(f"the timeout passed before the answer came, in {seconds:.3g} s")
