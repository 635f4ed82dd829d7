# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A call as the server sees it: a request that arrives, is answered, or comes to nothing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Coroutine, Hashable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from typing_extensions import override

from ..calls import (
    CONTENT_TYPE,
    SESSION_ID,
    SHARED_MEMORY,
    Deadline,
    Headers,
    Metadata,
    decode_metadata,
    decode_timeout,
    encode_status,
    is_metadata,
)
from ..errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    MessageTooLargeError,
    RemoteError,
    StatusCode,
    UnavailableError,
)
from ..framing import ACCEPTED_ENCODINGS, MessageReader, MessageWriter, Reserve, Segments
from ..logs import event
from ..records import EndedCall
from ..shared_memory import Borrowed, Borrower
from ..stepper import Stepper
from ..timing import SERVER_TIMING, encode_server_timing
from ..tokens import HEADER, digest
from ..tracing import RequestTrace
from .budget import Account
from .headers import volatile
from .streams import Call, Stream

log = logging.getLogger("praxis_remote.http2")

RESPONSE_HEADERS: Headers = (
    (":status", "200"),
    ("content-type", CONTENT_TYPE),
    ("grpc-accept-encoding", ACCEPTED_ENCODINGS),
)
_OK_TRAILERS = encode_status(StatusCode.OK)

# Messages up to this size are not counted, so that health is told and episodes end
# however short memory is.
_SMALL = 4096

# Longer names of sessions are told apart by their characters' number and hash.
_MAX_SESSION = 64

# Seconds after which it can be said how fast a message moves.
_SPEED_AFTER = 5.0


class Caller(Protocol):
    """The connection on which a call came."""

    called: bool
    streaming: int
    number: int

    @property
    def borrower(self) -> Borrower | None:
        """What maps the memory that the caller shares; None if it cannot share any."""

    def drop_idle_memory(self) -> None:
        """Lets go of shared memory that no call uses."""

    @property
    def peer(self) -> str:
        """The caller's address."""

    @property
    def account(self) -> Account:
        """What its messages take."""


class Answerer(Protocol):
    """Who answers a call, and is told what becomes of it."""

    def reader(self, path: str, reserve: Reserve) -> MessageReader:
        """Returns what takes a request's message."""

    def check(self, call: ServerCall) -> None:
        """Raises `RemoteError` for a call whose message need not be waited for."""

    def answer(self, call: ServerCall) -> Coroutine[Any, Any, None]:
        """Answers a call whose message is there."""

    def make_room(self, call: ServerCall, size: int) -> None:
        """Ends other calls, if there is no memory left for this one."""

    def forget(self, call: ServerCall) -> None:
        """Takes the news that a call has ended."""


class Request(NamedTuple):
    """What the headers of a request say. `refusal` is the HTTP status for one that is no call,
    and `shared` what it says of shared memory.
    """  # noqa: D205 - the first sentence is one thought

    path: str
    credential: bytes | None
    metadata: Metadata
    timeout: str | None
    encoding: str
    refusal: str | None
    shared: str | None


# Headers of calls whose meaning is remembered: at least those of as many clients, each of which
# names its session.
_REMEMBERED = 512

# What differs from call to call, and comes last where our clients send it.
_ONCE = frozenset({"traceparent", "tracestate", "baggage", SHARED_MEMORY, "grpc-timeout"})


def read_headers(headers: Headers) -> Request:
    """Returns what the headers of a request say."""
    end = len(headers)
    while end and headers[end - 1][0] in _ONCE:
        end -= 1
    if end == len(headers) or headers[end][0] == "grpc-timeout":
        # A timeout is mostly that of the last call.
        return _remember_headers(headers)
    request, once = _remember_headers(headers[:end]), headers[end:]
    return request._replace(
        metadata=request.metadata + tuple(field for field in once if is_metadata(field[0])),
        timeout=dict(once).get("grpc-timeout", request.timeout),
        shared=dict(once).get(SHARED_MEMORY, request.shared),
    )


@lru_cache(maxsize=_REMEMBERED)
def _remember_headers(headers: Headers) -> Request:
    fields = dict(headers)
    content_type = fields.get("content-type", "").partition(";")[0].strip().lower()
    refusal = None
    if fields.get(":method") != "POST":
        refusal = "405"
    elif content_type not in (CONTENT_TYPE, CONTENT_TYPE + "+proto"):
        refusal = "415"
    return Request(
        path=fields.get(":path", ""),
        credential=digest(fields.get(HEADER, "")),
        # Its token is none of the policy's business.
        metadata=tuple(pair for pair in decode_metadata(headers) if pair[0] != HEADER),
        timeout=fields.get("grpc-timeout"),
        encoding=fields.get("grpc-encoding", "identity"),
        refusal=refusal,
        shared=fields.get(SHARED_MEMORY),
    )


class ServerCall(Call):
    """A call as the service sees it.

    Attributes:
        path: ``/package.Service/Method``.
        credential: What stands for the caller's token.
        metadata: What the caller sent along, without the token.
        deadline: When the caller gives up, if it said so.
        peer: The caller's address; for one without, as on a UNIX socket, the socket's.
        connection: On which it came.
        ran: Whether the policy has begun on it.
        held: Bytes that are counted as its own.
        marks: When it began, and when each phase of `ServerTiming` ended, on the monotonic
            clock.
        code: How it ended; None before.
        request_bytes: Of the message, as it came.
        response_bytes: Of the message; 0 for none.
        batch_size: Observations that the policy got at once for it and others.
        trace: Its span, once there is one.
    """

    deadline: Deadline | None = None
    # Whether it waits for news, and for nobody to send or take anything.
    resting = False
    trace: RequestTrace | None = None
    batch_size = 0

    def __init__(
        self, stream: Stream, request: Request, connection: Caller, listener: Answerer
    ) -> None:
        super().__init__()
        self.path = request.path
        self.credential = request.credential
        self.metadata = request.metadata
        self.peer = connection.peer
        self.connection = connection
        self._request = request
        self._stream = stream
        self._listener = listener
        self._reader = listener.reader(request.path, self.hold)
        self._writer: MessageWriter | None = None
        self._borrowed: Borrowed | None = None
        self.held = 0
        # When the message of the moment began to move.
        self._since = time.monotonic()
        self.marks = [self._since]
        self.code: StatusCode | None = None
        self.request_bytes = self.response_bytes = 0
        self._error: RemoteError | None = None
        self._answer: Stepper[None] | None = None
        self._gone = False
        self._finished = False
        self._cut_off = False
        self.ran = False

    def begin(self) -> None:
        """Starts the deadline, or answers at once what needs no message to be answered."""
        if self._request.refusal is not None:
            self.code = StatusCode.UNKNOWN
            self.send_headers(((":status", self._request.refusal),))
            self._finish()
            return
        borrower = None if self._request.shared is None else self.connection.borrower
        if borrower is not None:
            self._borrowed = Borrowed(borrower)
        try:
            self._read_deadline()
            self._listener.check(self)
            if self._borrowed is not None and self._request.shared is not None:
                self._borrowed.open(self._request.shared, self._reader.limit, self._hold_area)
        except RemoteError as error:
            self.end_with(error)

    def _read_deadline(self) -> None:
        if self._request.timeout is None:
            return
        seconds = decode_timeout(self._request.timeout)
        if seconds <= 0:
            raise _expired()
        self.deadline = Deadline.after(seconds)
        self._stream.processor.deadlines.add(self.deadline, self._expire)

    def _expire(self) -> None:
        self.end_with(_expired())

    # What the stream tells.

    @override
    def abandoned(self) -> bool:
        return self._gone

    @override
    def receive_headers(self, headers: Headers) -> None:
        """Trailers of a request mean nothing."""

    @override
    def receive_data(self, data: bytes | memoryview) -> None:
        if not self._finished:
            try:
                self._reader.feed(data)
            except RemoteError as error:
                self.end_with(error)

    @override
    def receive_into(self, size: int) -> memoryview | None:
        return None if self._finished else self._reader.space(size)

    @override
    def received_into(self, size: int) -> None:
        self._reader.filled(size)

    @override
    def receive_end(self) -> None:
        if not self._finished:
            self.mark()
            self._answer = Stepper(self._listener.answer(self), self._step)
            self._step()

    @override
    def fail(self, error: RemoteError) -> None:
        self._gone = True
        self.code = self.code or StatusCode.CANCELLED
        if self._answer is None:
            self._finish()
        else:
            self._answer.cancel()

    @override
    def due(self) -> bool:
        return self._answer is None or self._writer is not None

    @override
    def stalled(self, seconds: float) -> None:
        moved, size = self._progress()
        what = "request" if self._answer is None else "response"
        text = f"nothing of the {what} moved for {seconds:g} s, after {moved} of {size} bytes"
        self.log_end(text)
        self.end_with(DeadlineExceededError(text))

    def log_end(self, reason: str) -> None:
        """Tells the log why the call ends before its time."""
        fields = event("call_ended", peer=self.peer, path=self.path, reason=reason)
        log.warning("%s: %s: %s", self.peer, self.path, reason, extra=fields)

    def _progress(self) -> tuple[int, int]:
        if self._writer is None:
            return self._reader.progress()
        return self._writer.size - self._writer.remaining, self._writer.size

    def speed(self, now: float) -> float:
        """Returns the bytes a second of a message that moves; infinity where none does."""
        seconds = now - self._since
        if not self.due() or seconds < _SPEED_AFTER:
            return math.inf
        return self._progress()[0] / seconds

    def hold(self, size: int) -> None:
        """Counts memory as this call's until it ends.

        Raises:
            ResourceExhaustedError: There is no room for it.
        """
        if size > _SMALL:
            self._hold_area(size)
            self.held += size

    def _hold_area(self, size: int) -> None:
        if not self.connection.account.allows(size):
            self.connection.drop_idle_memory()
        self.connection.account.check(size)
        self._listener.make_room(self, size)
        self.connection.account.take(size)

    # What the service asks.

    @property
    def caller(self) -> Hashable:
        """What stands for who calls: a session; for one that names none, its connection.

        It takes next to no memory, and keeps nothing.
        """
        for key, value in self.metadata:
            if key == SESSION_ID:
                return value if len(value) <= _MAX_SESSION else (len(value), hash(value))
        return self.connection.number

    @property
    def compressed(self) -> bool:
        """Whether `message` has to decompress it, which may take long."""
        return self._reader.compressed

    def message(self) -> bytearray | memoryview:
        """Returns the request message.

        Raises:
            RemoteError: It is cut off, cannot be decompressed, or is not there.
        """
        self.request_bytes = self._reader.progress()[1]
        message = self._reader.end(self._request.encoding)
        if message is None:
            raise InvalidArgumentError("the call ended without a request message")
        if self._borrowed is not None:
            message = self._borrowed.read(message)
            self.request_bytes = len(message)
        # It belongs to the caller from now on, who knows when it is of no more use.
        self._reader.clear()
        return message

    def ended(self, path: str) -> EndedCall:
        """Returns what became of it, once it has ended, under the name of a path."""
        return EndedCall(
            path,
            self.code or StatusCode.CANCELLED,
            self.peer,
            # The policy may still work on a call that was given up, and mark its end.
            tuple(self.marks),
            time.monotonic(),
            self.request_bytes,
            self.response_bytes,
            self.batch_size,
        )

    def mark(self) -> None:
        """Takes note that a phase of the call has ended. May be called in any thread."""
        self.marks.append(time.monotonic())

    # What the server does.

    def _step(self) -> None:
        assert self._answer is not None
        self._answer.step()
        if self._answer.done:
            self._finish()

    def _finish(self) -> None:
        """Ends the call, and lets the peer stop sending if it still does."""
        if self._finished:
            return
        self._finished = True
        if self.deadline is not None:
            self._stream.processor.deadlines.remove(self._expire)
        self._stream.processor.release(self._stream)
        if not self._cut_off:
            self._stream.reset_if_open(ErrorCodes.NO_ERROR)
        self._reader.clear()
        if self._borrowed is not None:
            self._borrowed.end()
        self.connection.account.give_back(self.held)
        self._listener.forget(self)

    def end_with(self, error: RemoteError) -> None:
        """Has the call answered with a status, and stops the work on it."""
        if self._answer is not None:
            # Its traceback would lead back here, and to the memory of what was received.
            self._error = error.with_traceback(None)
            self._answer.cancel()
            return
        self.send_status(error)
        self._finish()

    def error_after_cancel(self) -> RemoteError | None:
        """Returns what to answer after the call was stopped; None if nobody listens."""
        return None if self._gone else self._error

    async def send(self, segments: Segments, max_message_size: int) -> None:
        """Sends the response."""
        try:
            writer = MessageWriter(segments, max_message_size, "response")
        except MessageTooLargeError as error:
            self.log_end(error.details())
            raise
        size = writer.size
        if self._borrowed is not None and await self._borrowed.write(segments):
            writer = MessageWriter([], max_message_size, "response")
        self.hold(writer.remaining)
        self._stream.queue_headers(RESPONSE_HEADERS)
        self._writer, self._since = writer, time.monotonic()
        trailers = (*_OK_TRAILERS, *self._tell_sharing(), self._tell_timing())
        await self._stream.send_message(writer, trailers)
        self.code, self.response_bytes = self.code or StatusCode.OK, size
        self._stream.processor.patience.answered()

    def _tell_timing(self) -> Any:
        return volatile(SERVER_TIMING, encode_server_timing(self.marks))

    def _tell_sharing(self) -> Headers:
        return () if self._borrowed is None else self._borrowed.trailers()

    def send_status(self, error: RemoteError) -> None:
        """Answers with an error alone. What was half sent is cut off instead."""
        self.code = self.code or error.code()
        if self._writer is not None:
            self._cut_off = isinstance(error, UnavailableError)
            if not self._cut_off:
                self._stream.reset_if_open(ErrorCodes.CANCEL)
            # Else the connection ends next, which says so: no reset would.
            return
        # Not where it would be sent again in vain.
        never_ran = not (self.ran or isinstance(error, MessageTooLargeError))
        status = encode_status(error.code(), error.details(), never_ran=never_ran)
        status = (*status, *self._tell_sharing())
        self.send_headers((*RESPONSE_HEADERS, *status, self._tell_timing()))

    def send_headers(self, headers: Headers) -> None:
        """Sends headers that are all of the response."""
        with suppress(H2Error):
            self._stream.queue_headers(headers, end_stream=True)
            self._stream.connection.flush()
            self._stream.processor.patience.answered()


def _expired() -> DeadlineExceededError:
    return DeadlineExceededError("the caller's deadline passed before the answer was ready")
