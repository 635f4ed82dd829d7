# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The client for ordinary programs: the blocking face of `AsyncPolicyClient`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from .address import DEFAULT_PORT
from .async_client import AsyncPolicyClient
from .calls import MetadataLike
from .errors import CallCancelledError
from .framing import DEFAULT_MAX_MESSAGE_SIZE
from .portal import Portal
from .schema.generated_monitor import StatusResponse
from .specs import ObservationSpec
from .stub import BlockingPolicyServiceStub
from .timing import CallTiming, OnTiming
from .tls import ClientTLSLike
from .tokens import TokenLike
from .types import Array, ObservationLike, PolicyKwargValue

__all__ = ["PolicyClient"]

T = TypeVar("T")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _documented_by(original: Callable[..., Any]) -> Callable[[MethodT], MethodT]:
    """Gives a method the docstring of the one that it blocks on."""

    def decorate(method: MethodT) -> MethodT:
        method.__doc__ = original.__doc__
        return method

    return decorate


class PolicyClient:
    """Calls a policy on another machine, and blocks until the answer is here.

    Connects at the first call, and anew at the first call after a connection was
    lost. May be shared by threads, whose calls then run at once, used where an event
    loop runs already (a notebook), used after ``fork`` (the child gets a connection
    of its own), and pickled. Ctrl-C during a call ends that call; its answer, should
    it come late, goes to nobody.

    Args:
        host: Name or IP address of the server, or ``unix:path`` for the UNIX socket on
            which it listens.
        port: Its port. A UNIX socket has none: leave it out.
        timeout: Seconds for each call that has no timeout of its own, connecting
            included; None for no limit.
        max_message_size: Bytes of a request or a response, 64 MiB by default.
        metadata: Pairs sent with every call; the policy may read them.
        retries: How often a call is sent again, as `AsyncPolicyClient` has it.

        keepalive: Seconds without a byte from the server during a call, after which it is
            asked whether it is there; it has as long again to answer before the calls
            end with `UnavailableError`. None: 20, but seldom enough for a grpcio server,
            which closes connections for the fourth ping in five minutes of one call.
            ``math.inf``: never.
        on_timing: Called with the `CallTiming` of each call that went well, by whichever
            thread drives the connection at that moment.
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
        with PolicyClient("gpu-box", timeout=1.0) as client:
            action = client.predict_action([{"observation.state": state}])
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
        self._client = AsyncPolicyClient(**self._options)
        self._start(closed=False)
        _clients.add(self)

    def _start(self, *, closed: bool) -> None:
        self._lock = threading.Lock()
        self._closed = closed
        self._portal: Portal | None = None
        self._finalizer: weakref.finalize[Any, Any] = weakref.finalize(self, _nothing_to_close)

    @property
    def session_id(self) -> str:
        """What is sent with every call as ``praxis-session-id``."""
        return self._client.session_id

    @property
    def address(self) -> str:
        """The server's, as ``host:port`` or ``unix:path``."""
        return self._client.address

    @property
    def last_timing(self) -> CallTiming | None:
        """Where the time went of the last call that went well, of whichever thread."""
        return self._client.last_timing

    @property
    def stub(self) -> BlockingPolicyServiceStub:
        """The generated stub on the same connection, blocking: messages in, messages out."""
        return BlockingPolicyServiceStub(lambda: self._client.stub, self._run)

    @_documented_by(AsyncPolicyClient.predict_action)
    def predict_action(  # noqa: D102 - documented by its original
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
        return self._run(
            lambda: self._client.predict_action(
                observations,
                policy_kwargs=policy_kwargs,
                episode_ids=episode_ids,
                timeout=timeout,
                retries=retries,
                metadata=metadata,
                on_timing=on_timing,
            )
        )

    @_documented_by(AsyncPolicyClient.predict_action_from_parts)
    def predict_action_from_parts(  # noqa: D102 - documented by its original
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
        return self._run(
            lambda: self._client.predict_action_from_parts(
                state,
                images,
                task_description,
                policy_kwargs=policy_kwargs,
                episode_id=episode_id,
                timeout=timeout,
                retries=retries,
                metadata=metadata,
                on_timing=on_timing,
            )
        )

    @_documented_by(AsyncPolicyClient.reset)
    def reset(  # noqa: D102 - documented by its original
        self,
        *,
        episode_ids: Sequence[str] | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> bool:
        return self._run(
            lambda: self._client.reset(episode_ids=episode_ids, timeout=timeout, retries=retries)
        )

    @_documented_by(AsyncPolicyClient.health_check)
    def health_check(  # noqa: D102 - documented by its original
        self, *, timeout: float | None = None, retries: int | None = None
    ) -> tuple[bool, str]:
        return self._run(lambda: self._client.health_check(timeout=timeout, retries=retries))

    @_documented_by(AsyncPolicyClient.status)
    def status(  # noqa: D102 - documented by its original
        self, *, seconds: float = 0.0, timeout: float | None = None, retries: int | None = None
    ) -> StatusResponse:
        return self._run(
            lambda: self._client.status(seconds=seconds, timeout=timeout, retries=retries)
        )

    @_documented_by(AsyncPolicyClient.observation_spec)
    def observation_spec(  # noqa: D102 - documented by its original
        self, *, timeout: float | None = None, retries: int | None = None
    ) -> ObservationSpec | None:
        return self._run(lambda: self._client.observation_spec(timeout=timeout, retries=retries))

    @_documented_by(AsyncPolicyClient.check)
    def check(  # noqa: D102 - documented by its original
        self,
        observation: ObservationLike | Collection[ObservationLike],
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> bool:
        return self._run(
            lambda: self._client.check(observation, policy_kwargs, timeout=timeout, retries=retries)
        )

    @_documented_by(AsyncPolicyClient.wait_ready)
    def wait_ready(self, timeout: float | None = None) -> str:  # noqa: D102 - documented by its original
        return self._run(lambda: self._client.wait_ready(timeout))

    @_documented_by(AsyncPolicyClient.close)
    def close(self) -> None:  # noqa: D102 - documented by its original
        with self._lock:
            self._closed = True
        self._finalizer()

    def _run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        portal = self._portal
        if portal is None or portal.broken or self._closed:
            portal = self._open_portal()
        return portal.run(function)

    def _open_portal(self) -> Portal:
        with self._lock:
            if self._closed:
                raise CallCancelledError(
                    "the client was closed; make a new one", self.address, never_ran=True
                )
            if self._portal is not None and self._portal.broken:
                self._portal = None
            if self._portal is None:
                portal = Portal()
                # Without a reference to self, which would keep this client alive. Before
                # anybody can use the portal, in case that Ctrl-C comes in between.
                self._finalizer = weakref.finalize(self, portal.close, self._client.close)
                self._portal = portal
            return self._portal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        self.__init__(**options)  # type: ignore[misc]  # the copy is made as the original was

    def _begin_anew(self) -> None:
        """Leaves the connection to the parent of a forked process."""
        if self._portal is not None:
            self._portal.leave_to_parent()
        # Its files may be gone by now, or have other names from here.
        _left_to_parent.append((self._client._begin_anew(), self._portal))
        self._finalizer.detach()
        self._start(closed=self._closed)


_clients: weakref.WeakSet[PolicyClient] = weakref.WeakSet()

# Loops and transports of the parent, which would warn if they were collected unclosed.
_left_to_parent: list[object] = []


def _begin_anew_after_fork() -> None:
    for client in list(_clients):
        client._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)


def _nothing_to_close() -> None:
    """Stands in for a finalizer before there is a connection."""
