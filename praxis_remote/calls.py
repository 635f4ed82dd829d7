# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The rules of a gRPC call that both ends share: method, deadline, metadata, status.

All of it is text in HTTP/2 headers. Nothing here does I/O or knows a connection.
Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import base64
import binascii
import math
import operator
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import betterproto

from .errors import (
    InvalidValueError,
    RemoteError,
    StatusCode,
    UnsupportedTypeError,
    error_for_status,
)
from .schema import PolicyServiceBase
from .schema.generated_monitor import MonitorServiceBase
from .schema.generated_specs import SpecServiceBase

Headers: TypeAlias = tuple[tuple[str, str], ...]
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
MetadataLike: TypeAlias = Mapping[str, str | bytes] | Collection[tuple[str, str | bytes]]

CONTENT_TYPE = "application/grpc"

# Headers whose meaning is remembered: those of one call are mostly those of the last one.
_REMEMBERED = 64

# ---------------------------------------------------------------- methods


class Method(NamedTuple):
    """One rpc of a service."""

    name: str
    path: str
    request: type[betterproto.Message]
    response: type[betterproto.Message]


def _methods_of(
    service: PolicyServiceBase | MonitorServiceBase | SpecServiceBase,
) -> dict[str, Method]:
    return {
        name: Method(name, path, rpc.request_type, rpc.reply_type)
        for path, rpc in service.__mapping__().items()
        for name in [path.rpartition("/")[2]]
    }


METHODS: dict[str, Method] = _methods_of(PolicyServiceBase())
"""The rpcs of a policy by name, as the generated service base has them."""

PREDICT, RESET, HEALTH_CHECK = METHODS["Predict"], METHODS["Reset"], METHODS["HealthCheck"]

GET_STATUS = _methods_of(MonitorServiceBase())["GetStatus"]

GET_OBSERVATION_SPEC = _methods_of(SpecServiceBase())["GetObservationSpec"]

# ---------------------------------------------------------------- deadline

# At most 8 digits and a unit. In milliseconds from 10 ms up: a finer unit would be another
# value, and so other headers, at each call with the same timeout.
_STEPS_PER_SECOND = {"n": 1e9, "u": 1e6, "m": 1e3, "S": 1.0, "M": 1 / 60, "H": 1 / 3600}
_MOST_STEPS = {"n": 10**4, "u": 10**4, "m": 10**8, "S": 10**8, "M": 10**8, "H": 10**8}
_TIMEOUT = re.compile(r"([0-9]{1,8})([numSMH])")


@dataclass(frozen=True, order=True)
class Deadline:
    """A point in time after which nobody waits for an answer.

    Attributes:
        at: Seconds on the monotonic clock, which asyncio's loops use as well.
    """

    at: float

    @classmethod
    def after(cls, timeout: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Returns the deadline that is ``timeout`` seconds from now."""
        return cls(clock() + timeout)

    def remaining(self, clock: Callable[[], float] = time.monotonic) -> float:
        """Returns the seconds that are left, negative when it has passed."""
        return self.at - clock()


def check_timeout(timeout: float | None) -> float | None:
    """Returns ``timeout`` as a float of seconds, or None for no limit.

    Raises:
        InvalidValueError: It is not positive, or no number.
    """
    if timeout is None:
        return None
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise InvalidValueError(
            f"timeout: {timeout!r} seconds; pass a positive number, or None for no limit"
        )
    return None if seconds == float("inf") else seconds


def check_retries(retries: int | None) -> int | None:
    """Returns how often a call may be sent again, or None for what its method has.

    Raises:
        InvalidValueError: It is negative.
        UnsupportedTypeError: It is no integer.
    """
    if retries is None:
        return None
    try:
        number = operator.index(retries)
    except TypeError:
        raise UnsupportedTypeError(
            f"retries: {retries!r}; pass an integer, at least 0, or None"
        ) from None
    if number < 0:
        raise InvalidValueError(f"retries: {retries!r}; at least 0 is needed, or None")
    return number


def encode_timeout(seconds: float) -> str:
    """Returns a ``grpc-timeout`` value, rounded up to the next step of its unit.

    Rounded up because the server shall never give up before the client does.
    """
    for unit, most in _MOST_STEPS.items():
        steps = max(1, math.ceil(seconds * _STEPS_PER_SECOND[unit]))
        if steps < most:
            return f"{steps}{unit}"
    return f"{_MOST_STEPS['H'] - 1}H"


def decode_timeout(value: str) -> float:
    """Returns the seconds of a ``grpc-timeout`` value.

    Raises:
        InvalidValueError: It has another form.
    """
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidValueError(
            f"grpc-timeout: {value[:40]!r}; allowed: 1 to 8 digits and one of n, u, m, S, M, H"
        )
    return int(match[1]) / _STEPS_PER_SECOND[match[2]]


# ---------------------------------------------------------------- metadata

_KEY = re.compile(r"[0-9a-z_.\-]+")
_PRINTABLE = re.compile(r"[ -~]*")
SHARED_MEMORY = "praxis-shared-memory"
"""What a client says of memory that the server may open, and the server of its use."""

_RESERVED = ("te", "content-type", "user-agent", SHARED_MEMORY)

SESSION_ID = "praxis-session-id"
"""The metadata by which a client is known to proxies and policies: one value for its life."""


def is_metadata(key: str) -> bool:
    """Tells whether a header is the caller's and not the protocol's."""
    return not key.startswith((":", "grpc-")) and key not in _RESERVED


def encode_metadata(metadata: MetadataLike | None) -> Headers:
    """Returns metadata as headers.

    Args:
        metadata: A mapping or pairs. Keys ending in ``-bin`` hold bytes, the
            others printable ASCII.

    Raises:
        InvalidValueError: A key or a value has another form.
        UnsupportedTypeError: It is neither a mapping nor pairs.
    """
    if not metadata:
        return ()
    given = metadata.items() if isinstance(metadata, Mapping) else metadata
    try:
        pairs = [(key, value) for key, value in given]
    except (TypeError, ValueError):
        raise UnsupportedTypeError(
            f"metadata: {type(metadata).__name__}; pass a mapping, or pairs of key and value"
        ) from None
    return tuple([(key, _encode_metadata_value(key, value)) for key, value in pairs])


def _encode_metadata_value(key: object, value: str | bytes) -> str:
    if not (isinstance(key, str) and _KEY.fullmatch(key) and is_metadata(key)):
        raise InvalidValueError(
            f"metadata: key {key!r}; allowed: lower-case letters, digits, '_', '-', '.', "
            f"but not grpc-*, {', '.join(_RESERVED)}"
        )
    if key == SESSION_ID:
        raise InvalidValueError(f"metadata: key {key!r}; give it to the client as session_id=")
    if key.endswith("-bin"):
        if not isinstance(value, (bytes, bytearray)):
            raise InvalidValueError(
                f"metadata[{key!r}]: {type(value).__name__}; a key ending in -bin holds bytes"
            )
        return base64.b64encode(value).rstrip(b"=").decode()
    if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        shown = "not shown" if key == "authorization" else repr(value)
        raise InvalidValueError(
            f"metadata[{key!r}]: {shown}; allowed: printable ASCII, or a key ending in -bin"
        )
    return value


def encode_session_id(session_id: str | None) -> Headers:
    """Returns the header that names a session; one that nobody else has if it is None.

    Raises:
        InvalidValueError: It cannot be metadata, or says nothing.
    """
    if session_id is None:
        return ((SESSION_ID, uuid.uuid4().hex),)
    given: object = session_id  # from programs without types it may be anything
    if not isinstance(given, str) or not _PRINTABLE.fullmatch(given):
        allowed = "printable ASCII"
    elif not given or given != given.strip():
        # A proxy would send it on in another form, or not at all.
        allowed = "at least one character, and no spaces around it"
    else:
        return ((SESSION_ID, given),)
    raise InvalidValueError(
        f"session_id: {given!r}; allowed: {allowed}, or None for one of its own"
    )


@lru_cache(maxsize=_REMEMBERED)
def decode_metadata(headers: Headers) -> Metadata:
    """Returns the metadata among headers.

    A ``-bin`` value that is no base64 is left out: the caller's slip shall not cost
    it the call (gRPC's own stacks drop it too).
    """
    metadata: list[tuple[str, str | bytes]] = []
    for key, value in headers:
        if not is_metadata(key):
            continue
        if not key.endswith("-bin"):
            metadata.append((key, value))
            continue
        try:
            # A list of values may be joined by commas, which base64 lacks.
            metadata.extend((key, _decode_base64(part)) for part in value.split(","))
        except (binascii.Error, ValueError):
            continue
    return tuple(metadata)


def _decode_base64(text: str) -> bytes:
    text = text.strip()
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


# ---------------------------------------------------------------- status

_UNQUOTED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

NEVER_RAN = ("praxis-never-ran", "1")
"""The trailer with which a server says that the policy never began on the call."""

# A grpcio client takes more for RESOURCE_EXHAUSTED: its limit for all headers is 8 KiB.
_MAX_DETAILS = 4096

# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_STATUS_OF_HTTP = {
    "400": StatusCode.INTERNAL,
    "401": StatusCode.UNAUTHENTICATED,
    "403": StatusCode.PERMISSION_DENIED,
    "404": StatusCode.UNIMPLEMENTED,
    "429": StatusCode.UNAVAILABLE,
    "502": StatusCode.UNAVAILABLE,
    "503": StatusCode.UNAVAILABLE,
    "504": StatusCode.UNAVAILABLE,
}


def encode_status(code: StatusCode, details: str = "", *, never_ran: bool = False) -> Headers:
    """Returns a status as trailers. Text over 4 kB is cut.

    Args:
        code: The status.
        details: What happened.
        never_ran: Whether the policy has not begun on the call and never will.
    """
    status: Headers = (("grpc-status", str(code.value)),)
    if never_ran:
        status = (*status, NEVER_RAN)
    if not details:
        return status
    raw = details.encode("utf-8", "replace")
    if len(raw) > _MAX_DETAILS:
        raw = raw[: _MAX_DETAILS - 3].decode("utf-8", "ignore").encode() + b"..."
    return *status, ("grpc-message", _cut_quoted(quote(raw, safe=_UNQUOTED)))


def _cut_quoted(quoted: str) -> str:
    """Keeps text that grows when quoted below the limit as well, at a whole escape."""
    if len(quoted) <= _MAX_DETAILS:
        return quoted
    whole = unquote(re.sub(r"%[0-9A-F]?$", "", quoted[: _MAX_DETAILS - 3]), errors="ignore")
    return quote(whole, safe=_UNQUOTED) + "..."


@lru_cache(maxsize=_REMEMBERED)
def check_response_headers(headers: Headers) -> str:
    """Returns what a response may be compressed with, a ``grpc-encoding``.

    Raises:
        RemoteError: The headers come from something else, such as a proxy or web server.
    """
    fields = dict(headers)
    status = fields.get(":status", "none")
    content_type = fields.get("content-type", "none")
    if status != "200":
        code = _STATUS_OF_HTTP.get(status, StatusCode.UNKNOWN)
        raise error_for_status(code, f"HTTP status {status} and no gRPC response")
    if not content_type.startswith(CONTENT_TYPE):
        raise RemoteError(
            f"content-type {content_type!r}; {CONTENT_TYPE!r} expected: "
            "is this the address of a policy server?"
        )
    return fields.get("grpc-encoding", "identity")


@lru_cache(maxsize=_REMEMBERED)
def decode_status(trailers: Headers) -> tuple[StatusCode, str]:
    """Returns the status and the details that trailers carry.

    Raises:
        RemoteError: There is none, or one that gRPC does not have.
    """
    fields = dict(trailers)
    raw = fields.get("grpc-status")
    if raw is None:
        raise RemoteError("the response ended without a grpc-status")
    try:
        code = StatusCode(int(raw))
    except ValueError:
        raise RemoteError(f"grpc-status {raw[:40]!r} is none of gRPC's") from None
    return code, unquote(fields.get("grpc-message", ""), errors="replace")


def check_status(trailers: Headers) -> None:
    """Raises unless trailers carry the status OK.

    Raises:
        RemoteError: The error that the status stands for, or there is none.
    """
    code, details = decode_status(trailers)
    if code is not StatusCode.OK:
        raise error_for_status(code, details, never_ran=NEVER_RAN in trailers)
