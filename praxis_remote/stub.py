# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The generated stub on a client's own connection, and its blocking twin.

betterproto's messages go in and out. What arrives is read by `wire`, and what goes
wrong is raised as `praxis_remote.errors`, as everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import betterproto
from typing_extensions import Self

from . import wire
from .calls import Deadline, MetadataLike, check_timeout, encode_metadata
from .channel import Channel
from .errors import BadResponseError, DecodeError, UnimplementedError
from .http2 import Response
from .schema import (
    Empty,
    HealthResponse,
    PolicyServiceStub,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    ResetResponse,
)
from .tracing import trace_call

if TYPE_CHECKING:
    import grpclib.client
    import grpclib.const
    import grpclib.metadata

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", bound=betterproto.Message)


class _StubCall(Generic[ReplyT]):
    """What betterproto's stub does a unary call with."""

    def __init__(
        self,
        call: Callable[[betterproto.Message], Coroutine[Any, Any, Response]],
        reply_type: type[ReplyT],
        address: str,
    ) -> None:
        self._call = call
        self._reply_type = reply_type
        self._address = address
        self._response: Response | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left open: the call ends within `send_message`."""

    async def send_message(self, message: betterproto.Message, *, end: bool = False) -> None:  # noqa: ARG002 - the name is the stub's; a unary call always ends
        """Sends the request and waits for the response."""
        self._response = await self._call(message)

    async def recv_message(self) -> ReplyT:
        """Returns the response."""
        assert self._response is not None, "send_message comes first"
        try:
            return wire.read_message(self._reply_type, self._response.message)
        except DecodeError as error:
            raise BadResponseError(error.details(), self._address) from error


class _StubChannel:
    """The part of grpclib's channel that betterproto's stub uses, over ours."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def request(
        self,
        name: str,
        cardinality: grpclib.const.Cardinality,
        request_type: type[betterproto.Message],  # noqa: ARG002 - the message knows its type
        reply_type: type[ReplyT],
        *,
        timeout: float | None = None,
        deadline: grpclib.metadata.Deadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> _StubCall[ReplyT]:
        """Returns a call that is about to begin."""
        if any(cardinality.value):
            raise UnimplementedError(f"{name}: only unary calls are carried")
        limit = _earlier(check_timeout(timeout), deadline)
        headers = encode_metadata(metadata)

        async def call(message: betterproto.Message) -> Response:
            channel = self._channel
            with trace_call(name, channel.address, channel.metadata, headers) as trace:
                return await channel.call(
                    name,
                    [wire.write_message(message)],
                    getattr(message, "episode_ids", None),
                    deadline=limit,
                    metadata=trace.carry(headers),
                )

        return _StubCall(call, reply_type, str(self._channel.address))


def _earlier(timeout: float | None, deadline: grpclib.metadata.Deadline | None) -> Deadline | None:
    ends = [] if timeout is None else [Deadline.after(timeout)]
    if deadline is not None:
        ends.append(Deadline.after(deadline.time_remaining()))
    return min(ends, default=None)


def make_stub(channel: Channel, timeout: float | None) -> PolicyServiceStub:
    """Returns the generated stub over a channel of ours."""
    return PolicyServiceStub(cast("grpclib.client.Channel", _StubChannel(channel)), timeout=timeout)


class BlockingPolicyServiceStub:
    """The generated stub for callers without an event loop.

    Args:
        stub: Returns the stub on the client's connection of the moment.
        run: Runs a coroutine to its end.
    """

    def __init__(
        self,
        stub: Callable[[], PolicyServiceStub],
        run: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any],
    ) -> None:
        self._stub = stub
        self._run = run

    def predict(
        self,
        predict_request: PredictRequest,
        *,
        timeout: float | None = None,
        deadline: grpclib.metadata.Deadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> PredictResponse:
        """One step: observations in, action out."""
        return cast(
            "PredictResponse",
            self._run(
                lambda: self._stub().predict(
                    predict_request, timeout=timeout, deadline=deadline, metadata=metadata
                )
            ),
        )

    def reset(
        self,
        reset_request: ResetRequest,
        *,
        timeout: float | None = None,
        deadline: grpclib.metadata.Deadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> ResetResponse:
        """Ends or starts episodes. An empty list of episodes resets everything."""
        return cast(
            "ResetResponse",
            self._run(
                lambda: self._stub().reset(
                    reset_request, timeout=timeout, deadline=deadline, metadata=metadata
                )
            ),
        )

    def health_check(
        self,
        empty: Empty,
        *,
        timeout: float | None = None,
        deadline: grpclib.metadata.Deadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> HealthResponse:
        """Says whether the server is up and which policy it serves."""
        return cast(
            "HealthResponse",
            self._run(
                lambda: self._stub().health_check(
                    empty, timeout=timeout, deadline=deadline, metadata=metadata
                )
            ),
        )
