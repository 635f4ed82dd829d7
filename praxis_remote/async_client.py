# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The client for programs with an event loop. `client` is its blocking face."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import weakref
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any

import betterproto
from typing_extensions import Self

from . import codec, wire
from .address import DEFAULT_PORT, check_address
from .calls import (
    GET_OBSERVATION_SPEC,
    GET_STATUS,
    HEALTH_CHECK,
    PREDICT,
    RESET,
    Deadline,
    Headers,
    MetadataLike,
    Method,
    check_retries,
    check_timeout,
    encode_metadata,
    encode_session_id,
)
from .channel import Channel
from .errors import (
    BadResponseError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidValueError,
    RemoteError,
    UnavailableError,
    UnimplementedError,
)
from .flags import as_flag
from .framing import DEFAULT_MAX_MESSAGE_SIZE, Find, Segments, check_max_message_size
from .http2 import Response, Silences
from .logs import event
from .retries import MayRepeat, if_never_ran, if_unavailable, repeat
from .schema import Empty, HealthResponse, PolicyServiceStub, ResetRequest, ResetResponse
from .schema.generated_monitor import StatusRequest, StatusResponse
from .schema.generated_specs import SpecRequest, SpecResponse
from .serialization import build_observation
from .specs import Fit, ObservationSpec, explain
from .specs.arrivals import as_arrived, kwargs_as_arrived
from .specs.messages import MAX_ITEMS, decode_spec
from .specs.remembered import Remembered
from .stub import make_stub
from .timing import CallTiming, OnTiming, check_on_timing
from .tls import ClientTLSLike, client_contexts
from .tokens import HEADER, Token, TokenLike
from .tracing import CallTrace, trace_call
from .types import Array, ObservationLike, PolicyKwargValue
from .values import as_batch, as_episode_ids

__all__ = ["AsyncPolicyClient"]

log = logging.getLogger("praxis_remote.client")

# Of silence, and for the answer to a ping, in seconds.
_KEEPALIVE = 20.0

# For calls that do no harm when they are sent again.
_HARMLESS_RETRIES = 2

# How long one try of wait_ready may take, and the pauses between tries.
_READY_ATTEMPT = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_SHORTEST = 1e-3

_NOBODY = (None, None, None)


def _silences(keepalive: float | None) -> Silences:
    if keepalive is None:
        return Silences(ping=_KEEPALIVE, answer=_KEEPALIVE, sparing=True)
    try:
        seconds = float(keepalive)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise InvalidValueError(
            f"keepalive: {keepalive!r} seconds; pass a positive number, or math.inf for never"
        )
    return Silences(ping=seconds, answer=seconds)


class AsyncPolicyClient:
    """Calls a policy on another machine.

    Connects at the first call, and anew at the first call after a connection was
    lost. Any number of calls may run at once. May be pickled: the copy connects by
    itself.

    Args:
        host: Name or IP address of the server, or ``unix:path`` for the UNIX socket on
            which it listens.
        port: Its port. A UNIX socket has none: leave it out.
        timeout: Seconds for each call that has no timeout of its own, connecting
            included; None for no limit.
        max_message_size: Bytes of a request or a response, 64 MiB by default.
        metadata: Pairs sent with every call; the policy may read them.
        retries: How often a call is sent again, after pauses, within its timeout. A
            prediction only when it is certain that the policy has not begun on it
            (`RemoteError.never_ran`) and the server is unavailable or has too much to
            do; the others whenever the server is unavailable. None: never a prediction,
            twice the others.

        keepalive: Seconds without a byte from the server during a call, after which it is
            asked whether it is there; it has as long again to answer before the calls
            end with `UnavailableError`. None: 20, but seldom enough for a grpcio server,
            which closes connections for the fourth ping in five minutes of one call.
            ``math.inf``: never.
        on_timing: Called with the `CallTiming` of each call that went well.
        tls: True for a server whose certificate an authority of this system has signed,
            `ClientTLS` to name other ones, or to show a certificate, or an
            ``ssl.SSLContext``, with which the client cannot be pickled. It must speak
            TLS 1.2 or later, and gets ALPN h2. None: no TLS.
        token: Shown to the server with every call, as ``authorization: Bearer``: the token
            itself, or the ``pathlib.Path`` of a file with it in the first line, which is read
            again when it changes. Pickles hold the former as it is. Without TLS
            everybody on the way can read it.
        session_id: Sent with every call as the metadata ``praxis-session-id``, by which a
            proxy can keep a client on one of several servers. Printable ASCII. None: one
            of its own for each client, a pickled copy and a forked child included.
        shared_memory: Whether large messages go through shared memory, where the server is on
            a UNIX socket without TLS, can do so and belongs to the same user. Else they go
            through the socket, as they do when it is False.

    Raises:
        ValueError: A host, port, timeout, metadata, number of retries, keepalive, token or
            session_id that cannot be, or a file that cannot be used.

    Example:
        ```python
        async with AsyncPolicyClient("gpu-box", timeout=1.0) as client:
            action = await client.predict_action([{"observation.state": state}])
        ```
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = DEFAULT_PORT,
        *,
        timeout: float | None = None,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        metadata: MetadataLike | None = None,
        retries: int | None = None,
        keepalive: float | None = None,
        on_timing: OnTiming | None = None,
        tls: ClientTLSLike | None = None,
        token: TokenLike | None = None,
        session_id: str | None = None,
        shared_memory: bool = True,
    ) -> None:
        check_max_message_size(max_message_size)
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "timeout": timeout,
            "max_message_size": max_message_size,
            "metadata": metadata,
            "retries": retries,
            "keepalive": keepalive,
            "on_timing": on_timing,
            "tls": tls,
            "token": token,
            "session_id": session_id,
            "shared_memory": shared_memory,
        }
        self._on_timing = check_on_timing(on_timing)
        self._last_timing: tuple[str, float, float, float, float, str] | None = None
        self._spec: Remembered | None = None
        self._timeout = check_timeout(timeout)
        self._retries = check_retries(retries)
        contexts, address = client_contexts(tls), check_address(host, port)
        headers = encode_metadata(metadata)
        if token is not None and HEADER in dict(headers):
            raise InvalidValueError(f"metadata: {HEADER!r}, which token stands for; pass one")
        if token is not None and contexts is None and not address.local:
            log.warning(
                "a token is sent to %s without TLS: whoever is on the way can read it, and use it; "
                "pass tls=True or ClientTLS(...), on the command line --tls",
                address,
                extra=event("open", address=str(address)),
            )
        self._channel = Channel(
            address,
            max_message_size,
            headers,
            _silences(keepalive),
            tls=contexts,
            token=None if token is None else Token(token),
            session=encode_session_id(session_id),
            shared_memory=as_flag(shared_memory, "shared_memory"),
        )
        _clients.add(self)

    @property
    def address(self) -> str:
        """The server's, as ``host:port`` or ``unix:path``."""
        return str(self._channel.address)

    @property
    def last_timing(self) -> CallTiming | None:
        """Where the time went of the last call that went well; None before there is one.

        Of calls that run at once, the one that ended last: to know of a certain one, give
        it ``on_timing``.
        """
        return None if self._last_timing is None else CallTiming.between(*self._last_timing)

    @property
    def session_id(self) -> str:
        """What is sent with every call as ``praxis-session-id``."""
        ((_, session_id),) = self._channel.session
        return session_id

    @property
    def stub(self) -> PolicyServiceStub:
        """The generated stub on the same connection: messages in, messages out."""
        return make_stub(self._channel, self._timeout)

    async def predict_action(
        self,
        observations: Collection[ObservationLike],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        metadata: MetadataLike | None = None,
        on_timing: OnTiming | None = None,
    ) -> Array:
        """Returns the policy's action for a batch of observations.

        Args:
            observations: One mapping for each environment, at least one. Values are
                arrays (or what ``np.asarray`` turns into one) of dtype float32,
                float64, int32, int64, uint8 or bool, text, bool, int, float, or
                numpy scalars. Arrays must not change until the call returns.
            policy_kwargs: Options for the policy: None, bool, int, float, str, numpy
                scalars, and sequences and mappings of these.
            episode_ids: The episode of each observation, for policies that remember. Calls of
                this client that share one leave in the order in which they were begun: each
                is held until the message of the one before has left, not until it is
                answered. One that is sent again (``retries``) comes behind those that were
                begun meanwhile. Calls without ids are held only by resets of everything.
            timeout: Seconds for this call; None for the client's, ``math.inf`` for
                no limit.
            retries: How often this call is sent again; None for the client's.
            metadata: Pairs sent with this call, after those of the client. A ``traceparent``
                is sent as it is; OpenTelemetry's spans of the call, if there are any, then
                belong to it, and not to the span that is current.
            on_timing: Called with the `CallTiming` of this call if it goes well, after the
                client's. What it raises, the call raises.

        Returns:
            The action as the policy returned it, writable; usually its first
            dimension is the batch.

        Raises:
            TypeError: A value has a type or dtype that cannot be sent.
            ValueError: The batch is empty, ids do not match it, keys collide, an
                integer is beyond int64, or the policy rejected the request
                (`InvalidArgumentError`).
            TimeoutError: No answer came in time (`DeadlineExceededError`).
            ConnectionError: The server cannot be reached (`UnavailableError`).
            RuntimeError: The policy failed (`HandlerError`).
            RemoteError: The base of these and all others.
        """
        deadline = self._deadline(timeout)
        retries = self._retries if retries is None else check_retries(retries)
        headers, on_timing = encode_metadata(metadata), check_on_timing(on_timing)
        with self._trace(PREDICT, headers) as trace:
            begun = time.monotonic()
            try:
                segments = codec.encode_predict_request(observations, policy_kwargs, episode_ids)
            except RemoteError as error:
                error.never_ran = True
                raise
            ids = None if episode_ids is None else tuple(map(str, episode_ids))
            sent = time.monotonic()
            find = codec.find_data_in_response
            headers = trace.carry(headers)
            try:
                if not retries:
                    response = await self._channel.call(
                        PREDICT.path, segments, ids, deadline=deadline, metadata=headers, find=find
                    )
                else:
                    may_repeat = trace.note_retries(if_never_ran)
                    response = await self._repeat(
                        PREDICT, segments, ids, deadline, retries, may_repeat, headers, find
                    )
            except InvalidArgumentError:
                # Behind a proxy there may be another server by now, which expects other things.
                self._spec = None
                raise
            received = time.monotonic()
            try:
                action = codec.decode_predict_response(response.message)
            except InvalidArgumentError as error:
                raise BadResponseError(error.details(), self.address) from error
            self._note(PREDICT.name, begun, sent, received, response.timing, trace, on_timing)
            return action

    async def predict_action_from_parts(
        self,
        state: object | None = None,
        images: Mapping[str, object] | None = None,
        task_description: str | None = None,
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_id: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        metadata: MetadataLike | None = None,
        on_timing: OnTiming | None = None,
    ) -> Array:
        """Returns the policy's action for one observation given in parts.

        Args:
            state: Goes to ``"observation.state"``.
            images: Image ``"front"`` goes to ``"observation.images.front"``; a key
                that starts with ``"observation."`` is kept.
            task_description: Goes to ``"task"``.
            policy_kwargs: As in `predict_action`.
            episode_id: The episode that the observation belongs to.
            timeout: As in `predict_action`.
            retries: As in `predict_action`.
            metadata: As in `predict_action`.
            on_timing: As in `predict_action`.

        Returns:
            The action for a batch of one, as the policy returned it.

        Raises:
            RemoteError: As in `predict_action`.
        """
        observation = build_observation(
            state=state, images=images, task_description=task_description
        )
        return await self.predict_action(
            [observation],
            policy_kwargs=policy_kwargs,
            episode_ids=None if episode_id is None else [episode_id],
            timeout=timeout,
            retries=retries,
            metadata=metadata,
            on_timing=on_timing,
        )

    async def reset(
        self,
        *,
        episode_ids: Sequence[str] | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> bool:
        """Has the policy forget what it remembers.

        Args:
            episode_ids: The episodes to forget; none given, or an empty list: all. In order
                with predictions, as `predict_action` has it; a reset of all leaves after
                whatever was begun before it, and before what comes later.
            timeout: As in `predict_action`.
            retries: How often this call is sent again; None for the client's.

        Returns:
            True when the policy was reset.

        Raises:
            RemoteError: As in `predict_action`.
        """
        request = ResetRequest(episode_ids=list(as_episode_ids(episode_ids) or ()))
        return (await self._call(RESET, request, ResetResponse, timeout, retries)).success

    async def health_check(
        self, *, timeout: float | None = None, retries: int | None = None
    ) -> tuple[bool, str]:
        """Returns whether the server is ready, and what its policy says of itself.

        Answered also while the policy works.

        Args:
            timeout: As in `predict_action`.
            retries: As in `reset`.

        Raises:
            RemoteError: As in `predict_action`.
        """
        response = await self._call(HEALTH_CHECK, Empty(), HealthResponse, timeout, retries)
        return response.ready, response.model_info

    async def status(
        self, *, seconds: float = 0.0, timeout: float | None = None, retries: int | None = None
    ) -> StatusResponse:
        """Returns what the server does at the moment, and how long its last calls took.

        Answered also while the policy works, and anew some times a second at most. Its
        fields are described in ``monitor_service.proto``; times are seconds.

        Args:
            seconds: How far back to look at calls: 1, 5, 10, 60 or 300, rounded up to one of
                these; 0 for 10. ``covered_seconds`` says how far the server remembers.
            timeout: As in `predict_action`.
            retries: As in `reset`.

        Raises:
            NotImplementedError: The server is older than this (`UnimplementedError`).
            RemoteError: As in `predict_action`.
        """
        request = StatusRequest(seconds=seconds)
        return await self._call(GET_STATUS, request, StatusResponse, timeout, retries)

    async def observation_spec(
        self, *, timeout: float | None = None, retries: int | None = None
    ) -> ObservationSpec | None:
        """Returns what the policy expects of each observation, and of ``policy_kwargs``.

        Asks the server each time. Answered also while the policy works, but not before it
        has warmed up.

        Args:
            timeout: As in `predict_action`.
            retries: As in `reset`.

        Returns:
            None if the policy does not say it, or the server is older than this.

        Raises:
            RemoteError: As in `predict_action`.
        """
        try:
            response = await self._call(
                GET_OBSERVATION_SPEC, SpecRequest(), SpecResponse, timeout, retries
            )
            spec = decode_spec(response)
        except UnimplementedError:
            spec = None
        except InvalidArgumentError as error:
            text = f"the observation spec of the server is none: {error.details()}"
            raise BadResponseError(text, self.address) from error
        self._spec = Remembered(spec, await self._channel.connection())
        return spec

    async def check(
        self,
        observation: ObservationLike | Collection[ObservationLike],
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> bool:
        """Looks whether the policy would take an observation, without sending it.

        The server is asked for its spec once for each connection. Nothing is refused by a
        spec that was remembered: the server is asked again before that. What one that has
        become too lenient lets pass, the server itself refuses, with the same error, and
        that has it forgotten.

        Args:
            observation: What `predict_action` would be called with: one, or a batch of them.
            policy_kwargs: As in `predict_action`.
            timeout: As in `predict_action`, for asking.
            retries: As in `reset`.

        Returns:
            Whether there was a spec to check it by; see `observation_spec`.

        Raises:
            ValueError: It is not what the policy expects; all that is wrong is told
                (`InvalidArgumentError`). Or it cannot be sent.
            TypeError: It is no mapping.
            RemoteError: As in `predict_action`, of asking.
        """
        batch = as_batch([observation] if hasattr(observation, "items") else observation)
        observations = [
            as_arrived(each, f"observations[{index}]") for index, each in enumerate(batch)
        ]
        kwargs = kwargs_as_arrived(policy_kwargs)
        remembered = self._spec
        if remembered is not None and remembered.is_of(await self._channel.connection()):
            fit = remembered.fit
            if fit is None or fit(observations, kwargs):
                return fit is not None
        spec = await self.observation_spec(timeout=timeout, retries=retries)
        if spec is None:
            return False
        if text := explain(Fit(spec), observations, kwargs):
            raise InvalidArgumentError(text, self.address, never_ran=True)
        return True

    async def wait_ready(self, timeout: float | None = None) -> str:
        """Waits until the server is there and ready.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            What the policy says of itself.

        Raises:
            TimeoutError: It was not ready in time; the text tells what the last try met.
        """
        limit = check_timeout(timeout)
        deadline = None if limit is None else Deadline.after(limit)
        pause = _FIRST_PAUSE
        last: str | None = None
        while deadline is None or deadline.remaining() > 0:
            # The pauses are those below.
            self._channel.hurry()
            try:
                ready, info = await self.health_check(
                    timeout=min(_READY_ATTEMPT, _remaining(deadline)), retries=0
                )
                if ready:
                    return info
                last = f"the server says that it is not ready: {info}".removesuffix(": ")
            except UnavailableError as error:
                last = error.details()
            except DeadlineExceededError as error:
                # One that ends with the waiting was too short to tell more than those before.
                if last is None or _remaining(deadline) > _SHORTEST:
                    last = error.details()
            await asyncio.sleep(min(pause, _remaining(deadline)))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise DeadlineExceededError(
            f"the server was not ready within {limit:g} s; last: {last or 'no try was made'}",
            self.address,
        )

    async def close(self) -> None:
        """Closes the connection. Calls that are running or come later are cancelled."""
        await self._channel.close()

    def _deadline(self, timeout: float | None) -> Deadline | None:
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        return None if seconds is None else Deadline.after(seconds)

    async def _call(
        self,
        method: Method,
        request: betterproto.Message,
        response_type: type[wire.M],
        timeout: float | None,
        retries: int | None,
    ) -> wire.M:
        """Calls what does no harm when it is done twice."""
        deadline = self._deadline(timeout)
        retries = self._retries if retries is None else check_retries(retries)
        if retries is None:
            retries = _HARMLESS_RETRIES
        with self._trace(method) as trace:
            begun = time.monotonic()
            segments = [wire.write_message(request)]
            sent = time.monotonic()
            response = await self._repeat(
                method,
                segments,
                getattr(request, "episode_ids", None),
                deadline,
                retries,
                trace.note_retries(if_unavailable),
                trace.carry(()),
            )
            received = time.monotonic()
            try:
                # No answer of ours has more, and in memory each item takes hundreds of bytes.
                message = wire.read_message(response_type, response.message, MAX_ITEMS)
            except RemoteError as error:
                raise BadResponseError(error.details(), self.address) from error
            self._note(method.name, begun, sent, received, response.timing, trace)
            return message

    def _trace(self, method: Method, metadata: Headers = ()) -> CallTrace:
        channel = self._channel
        return trace_call(method.path, channel.address, channel.metadata, metadata)

    async def _repeat(
        self,
        method: Method,
        segments: Segments,
        episode_ids: Collection[str] | None,
        deadline: Deadline | None,
        retries: int,
        may_repeat: MayRepeat,
        metadata: Headers = (),
        find: Find | None = None,
    ) -> Response:
        return await repeat(
            lambda: self._channel.call(
                method.path, segments, episode_ids, deadline=deadline, metadata=metadata, find=find
            ),
            retries,
            may_repeat,
            deadline,
        )

    def _note(
        self,
        method: str,
        begun: float,
        sent: float,
        received: float,
        said: str,
        trace: CallTrace,
        on_timing: OnTiming | None = None,
    ) -> None:
        last = self._last_timing = (method, begun, sent, received, time.monotonic(), said)
        # The trace first: what others raise, the call raises.
        listeners = (trace.on_timing, self._on_timing, on_timing)
        if listeners != _NOBODY:
            timing = CallTiming.between(*last)
            for tell in listeners:
                if tell is not None:
                    tell(timing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _begin_anew(self) -> object:
        """Has the next call connect, in a forked child; returns what is the parent's."""
        channel = self._channel
        self._channel = channel.begin_anew(encode_session_id(self._options["session_id"]))
        self._last_timing = None
        self._spec = None
        return channel

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        self.__init__(**options)  # type: ignore[misc]  # the copy is made as the original was


_clients: weakref.WeakSet[AsyncPolicyClient] = weakref.WeakSet()


def _begin_sessions_after_fork() -> None:
    for client in list(_clients):
        client._channel.session = encode_session_id(client._options["session_id"])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_sessions_after_fork)


def _remaining(deadline: Deadline | None) -> float:
    """Seconds that are left, never quite none, so that they are a valid timeout."""
    return float("inf") if deadline is None else max(_SHORTEST, deadline.remaining())
