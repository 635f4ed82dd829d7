# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""OpenTelemetry's spans of calls, on both ends, for a program that traces.

A program does that when it has imported OpenTelemetry and set a tracer provider. Nothing
here imports it before; for any other program a call costs one look-up in ``sys.modules``.

The names of attributes are OpenTelemetry's for RPC, and ``praxis_remote.*`` for the rest.
https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self, override

from .address import AnyAddress
from .calls import METHODS, Headers, Metadata, encode_metadata
from .errors import InvalidValueError, RemoteError, StatusCode
from .records import CallRecord
from .retries import MayRepeat
from .timing import CallTiming, OnTiming
from .version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

_API = "opentelemetry.trace"

_STATUS = "rpc.grpc.status_code"

# Probes of other services come every few seconds, and unknown paths without end.
_TRACED = frozenset(method.path for method in METHODS.values())

# Those that are the server's fault; a client's are all but OK.
_SERVER_ERRORS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)


def may_trace() -> bool:
    """Tells whether the program has anything to do with OpenTelemetry."""
    return _API in sys.modules


def _find_tracer() -> Tracer | None:
    api: Any = sys.modules.get(_API)
    if api is None:
        return None
    # Another thread may be amid importing it.
    find_provider = getattr(api, "get_tracer_provider", None)
    if find_provider is None:
        return None
    provider = find_provider()
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    return _tracer_of(provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("praxis_remote", __version__)


def _describe(path: str) -> dict[str, str | int]:
    service, _, method = path[1:].partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def _name_end(side: str, host: str, port: int) -> dict[str, str | int]:
    name: dict[str, str | int] = {f"{side}.address": host}
    if port:  # a UNIX socket has none
        name[f"{side}.port"] = port
    return name


def _fail(span: Span, description: str) -> None:
    from opentelemetry.trace import Status
    from opentelemetry.trace import StatusCode as SpanStatus

    span.set_status(Status(SpanStatus.ERROR, description))


# ---------------------------------------------------------------- client


class CallTrace:
    """What follows a call of a client: nothing, where the program does not trace."""

    @property
    def on_timing(self) -> OnTiming | None:
        """What shall be told of the call's timing, if anything."""
        return None

    def carry(self, metadata: Headers) -> Headers:
        """Returns the metadata to send with this call."""
        return metadata

    def note_retries(self, may_repeat: MayRepeat) -> MayRepeat:
        """Returns a rule that decides alike, and has each repetition noted."""
        return may_repeat

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class _ClientSpan(CallTrace):
    """The span of a call, and the headers that tell the server of it.

    Args:
        tracer: Who makes it.
        path: ``/package.Service/Method``.
        address: The server's.
        metadata: What the caller sends along, with this call or with all. If a trace is
            among it, that is where the span belongs, and the server is told of no other.
    """

    def __init__(self, tracer: Tracer, path: str, address: AnyAddress, metadata: Headers) -> None:
        from opentelemetry import context, propagate, trace

        given = dict(metadata)
        parent = propagate.extract(given, context=context.Context()) if given else None
        told = parent is not None and trace.get_current_span(parent).get_span_context().is_valid
        self._span = tracer.start_span(
            path[1:],
            context=parent if told else None,
            kind=trace.SpanKind.CLIENT,
            attributes={**_describe(path), **_name_end("server", address.host, address.port)},
        )
        self._injected: Headers = ()
        if not told:
            self._injected = _inject(trace.set_span_in_context(self._span), given)

    @property
    @override
    def on_timing(self) -> OnTiming:
        return self._note_timing

    @override
    def carry(self, metadata: Headers) -> Headers:
        return metadata + self._injected

    @override
    def note_retries(self, may_repeat: MayRepeat) -> MayRepeat:
        def decide(error: RemoteError) -> bool:
            again = may_repeat(error)
            if again:
                facts = {_STATUS: error.code().value, "exception.message": str(error)}
                self._span.add_event("retry", facts)
            return again

        return decide

    def _note_timing(self, timing: CallTiming) -> None:
        phases = {name: getattr(timing, name) for name in ("encode", "network", "decode")}
        if timing.server is not None:
            phases |= {f"server.{name}": each for name, each in timing.server._asdict().items()}
        self._span.set_attributes(
            {f"praxis_remote.{name}": seconds for name, seconds in phases.items()}
        )

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        code: StatusCode | None = StatusCode.OK
        if exc is not None:
            code = _code_of(exc)
            self._span.record_exception(exc)
            _fail(self._span, str(exc) or type(exc).__name__)
        if code is not None:
            self._span.set_attribute(_STATUS, code.value)
        self._span.end()


def _inject(context: Context, given: dict[str, str]) -> Headers:
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=context)
    headers: Headers = ()
    for key, value in carrier.items():
        # A propagator may have names that HTTP/2 has in lower case only; what cannot be
        # sent at all shall not cost the call.
        if key.lower() not in given:
            with suppress(InvalidValueError):
                headers += encode_metadata({key.lower(): value})
    return headers


def _code_of(error: BaseException) -> StatusCode | None:
    """Returns the status of a call that ended with this; None for an error that is no call's."""
    if isinstance(error, RemoteError):
        return error.code()
    cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit))
    return StatusCode.CANCELLED if cancelled else None


_UNTRACED = CallTrace()


def trace_call(path: str, address: AnyAddress, always: Headers, metadata: Headers) -> CallTrace:
    """Returns what follows a call for the time of a with block.

    Args:
        path: ``/package.Service/Method``.
        address: The server's.
        always: Metadata that goes with every call.
        metadata: That of this call.
    """
    tracer = _find_tracer()
    return _UNTRACED if tracer is None else _ClientSpan(tracer, path, address, always + metadata)


# ---------------------------------------------------------------- server


class RequestTrace:
    """The span of a call on the server.

    Args:
        tracer: Who makes it.
        path: ``/package.Service/Method``.
        peer: The caller's address.
        metadata: What the caller sent along, perhaps with the span that this one belongs to.
        began: When its first byte came, on the monotonic clock.
    """

    def __init__(
        self, tracer: Tracer, path: str, peer: str, metadata: Metadata, began: float
    ) -> None:
        from opentelemetry import context, propagate, trace

        # Nanoseconds by which the clock of spans is ahead of the one of calls.
        self._ahead = time.time_ns() - time.monotonic_ns()
        self._tracer = tracer
        carrier: dict[str, list[str]] = {}
        for key, value in metadata:
            if isinstance(value, str):
                carrier.setdefault(key, []).append(value)
        # Whatever is current where the server was started is nothing to its callers.
        parent = propagate.extract(carrier, context=context.Context())
        attributes = {**_describe(path), **_name_end("client", *_split_peer(peer))}
        self._span = self._start(path[1:], parent, trace.SpanKind.SERVER, began, attributes)
        self._within = trace.set_span_in_context(self._span, parent)

    def _start(
        self,
        name: str,
        parent: Context,
        kind: SpanKind,
        began: float,
        attributes: dict[str, str | int] | None = None,
    ) -> Span:
        return self._tracer.start_span(
            name, context=parent, kind=kind, attributes=attributes, start_time=self._time(began)
        )

    def _time(self, seconds: float) -> int:
        return round(seconds * 1e9) + self._ahead

    @contextmanager
    def current(self) -> Iterator[None]:
        """Has the spans that the policy makes on this thread belong to this one."""
        from opentelemetry import context

        token = context.attach(self._within)
        try:
            yield
        except BaseException as error:
            if self._span.is_recording():  # not where the caller has given up
                self._span.record_exception(error)
            raise
        finally:
            context.detach(token)

    def end(self, record: CallRecord) -> None:
        """Ends the span with what became of the call."""
        if self._span.is_recording():
            self._add_phases(record)
        self._span.set_attribute(_STATUS, record.code.value)
        if record.code in _SERVER_ERRORS:
            _fail(self._span, record.code.name)
        self._span.end(self._time(record.ended))

    def _add_phases(self, record: CallRecord) -> None:
        from opentelemetry.trace import SpanKind

        at = record.ended - record.total
        for name, seconds in record.timing._asdict().items():
            if seconds > 0:  # it was reached
                phase = self._start(name, self._within, SpanKind.INTERNAL, at)
                phase.end(self._time(at + seconds))
            at += seconds


def _split_peer(peer: str) -> tuple[str, int]:
    host, _, port = peer.rpartition(":")
    if peer.startswith("unix:") or not port.isdecimal():
        return peer, 0
    return host.strip("[]"), int(port)


def trace_request(path: str, peer: str, metadata: Metadata, began: float) -> RequestTrace | None:
    """Returns the span of a call; None where the program does not trace it."""
    tracer = _find_tracer()
    if tracer is None or path not in _TRACED:
        return None
    return RequestTrace(tracer, path, peer, metadata, began)
