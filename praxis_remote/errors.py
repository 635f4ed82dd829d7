# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Every error that praxis-remote raises, as one tree.

Each class has a gRPC status and derives from the built-in exception that people
would catch, so that ``except TimeoutError`` works as well as
``except DeadlineExceededError``. No grpclib, h2 or asyncio exception gets out of
the package but ``asyncio.CancelledError``, which always passes.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from grpclib.const import Status as StatusCode

E = TypeVar("E", bound=BaseException)

__all__ = [
    "BadResponseError",
    "CallCancelledError",
    "DeadlineExceededError",
    "DecodeError",
    "HandlerError",
    "InvalidArgumentError",
    "InvalidValueError",
    "MessageTooLargeError",
    "RemoteError",
    "RequestRefusedError",
    "ResourceExhaustedError",
    "StatusCode",
    "UnavailableError",
    "UnimplementedError",
    "UnsupportedTypeError",
    "error_for_status",
]


class RemoteError(Exception):
    """The base of the tree, and any status that has no class of its own.

    Args:
        details: What happened, for people to read.
        address: The peer, ``host:port`` or ``unix:path``; None for an error found on
            this side before there was a peer.
        status: The gRPC status, where it is not the class's own.
        never_ran: See below.

    Attributes:
        never_ran: Whether it is certain that the policy has not begun on the call, and
            never will; False when nobody can know.
    """

    status: ClassVar[StatusCode] = StatusCode.UNKNOWN

    def __init__(
        self,
        details: str,
        address: str | None = None,
        status: StatusCode | None = None,
        *,
        never_ran: bool = False,
    ) -> None:
        super().__init__(details)
        self._details = details
        self._code = status or self.status
        self.address = address
        self.never_ran = never_ran

    def code(self) -> StatusCode:
        """Returns the status; its ``name`` is gRPC's, such as ``"UNAVAILABLE"``."""
        return self._code

    def details(self) -> str:
        """Returns what happened, without status and address."""
        return self._details

    def add_tries(self, tries: int) -> None:
        """Has the details tell how often the call was tried."""
        self._details += f"; tried {tries} times"

    def __str__(self) -> str:
        where = "" if self.address is None else f" ({self.address})"
        return f"{self._code.name}: {self._details}{where}"

    def __reduce__(self) -> tuple[type[RemoteError], tuple[Any, ...], dict[str, Any]]:
        return type(self), self._arguments(), self._state()

    def _arguments(self) -> tuple[Any, ...]:
        """Returns what makes a copy, whose state is set after."""
        return self._details, self.address, self._code

    def _state(self) -> dict[str, Any]:
        return {"never_ran": self.never_ran, "_details": self._details}


class InvalidArgumentError(RemoteError, ValueError):
    """The request is at fault: the codec, the server or the policy rejected it."""

    status = StatusCode.INVALID_ARGUMENT


class InvalidValueError(InvalidArgumentError):
    """A value that cannot be sent or that a message must not hold."""

    def __str__(self) -> str:
        return self._details


class UnsupportedTypeError(RemoteError, TypeError):
    """A type or dtype that the wire has no form for."""

    status = StatusCode.INVALID_ARGUMENT

    def __str__(self) -> str:
        return self._details


class DecodeError(InvalidValueError):
    """Bytes that are not the message that they should be."""


class BadResponseError(RemoteError, RuntimeError):
    """The server answered with bytes that are not the response they should be."""

    status = StatusCode.INTERNAL


class DeadlineExceededError(RemoteError, TimeoutError):
    """The call's timeout passed before its answer came."""

    status = StatusCode.DEADLINE_EXCEEDED


class UnavailableError(RemoteError, ConnectionError):
    """The server cannot be reached, or the connection was lost during the call."""

    status = StatusCode.UNAVAILABLE


class CallCancelledError(RemoteError):
    """The call was cancelled, by the peer or because the client was closed."""

    status = StatusCode.CANCELLED


class ResourceExhaustedError(RemoteError):
    """A limit of one side was reached."""

    status = StatusCode.RESOURCE_EXHAUSTED


class MessageTooLargeError(ResourceExhaustedError, ValueError):
    """A message is larger than one side allows.

    Attributes:
        size: Bytes of the message.
        limit: Bytes allowed.
    """

    def __init__(
        self,
        what: str,
        size: int,
        limit: int,
        address: str | None = None,
    ) -> None:
        super().__init__(
            f"{what} of {size} bytes is larger than the limit of {limit} bytes; "
            "raise max_message_size on both ends, or send less",
            address,
        )
        self._what = what
        self.size = size
        self.limit = limit

    def _arguments(self) -> tuple[Any, ...]:
        return self._what, self.size, self.limit, self.address


class HandlerError(RemoteError, RuntimeError):
    """The policy raised, or one side failed in a way that it did not foresee."""

    status = StatusCode.INTERNAL


class UnimplementedError(RemoteError, NotImplementedError):
    """The server does not know the method, or not the encoding of the message."""

    status = StatusCode.UNIMPLEMENTED


class RequestRefusedError(RemoteError, PermissionError):
    """The server wants credentials, or other ones."""

    status = StatusCode.PERMISSION_DENIED


_CLASS_OF_STATUS: dict[StatusCode, type[RemoteError]] = {
    StatusCode.CANCELLED: CallCancelledError,
    StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    StatusCode.UNAVAILABLE: UnavailableError,
    StatusCode.UNIMPLEMENTED: UnimplementedError,
    StatusCode.INTERNAL: HandlerError,
    StatusCode.DATA_LOSS: HandlerError,
    StatusCode.PERMISSION_DENIED: RequestRefusedError,
    StatusCode.UNAUTHENTICATED: RequestRefusedError,
}
"""The class that a client raises for a status; RemoteError for the others."""


def error_for_status(
    status: StatusCode, details: str, address: str | None = None, *, never_ran: bool = False
) -> RemoteError:
    """Returns the error to raise for a status that a peer sent."""
    cls = _CLASS_OF_STATUS.get(status, RemoteError)
    return cls(details, address, status, never_ran=never_ran)


def forget_tracebacks(error: E) -> E:
    """Returns an error that is kept, without the tracebacks of it and of what caused it.

    They lead to whoever drove the loop at that moment, and to all that they hold.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return error
