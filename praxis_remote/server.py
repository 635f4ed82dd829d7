# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Serves a policy: binding, starting, stopping."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import operator
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from typing_extensions import Self, Unpack

from .address import DEFAULT_PORT, UnixAddress, check_address
from .batching import DEFAULT_MAX_BATCH_DELAY, Batching
from .errors import HandlerError, InvalidValueError
from .eviction import Eviction, check_lifetime
from .flags import as_flag
from .framing import DEFAULT_MAX_MESSAGE_SIZE, check_max_message_size
from .http2 import Listener
from .limits import DEFAULT_MAX_PENDING, Limits, check_limits
from .listening import bind, check_socket_mode
from .logs import Event, Fields, event
from .loop import SharedEventLoop
from .openness import warn_if_open
from .protocol import BatchedPolicyHandler, PolicyHandler
from .records import CallObserver, CallRecord, check_observers
from .scheduler import Scheduler
from .service import PolicyService
from .shift import Shift
from .stage import Progress, Stage
from .status import ServerStatus
from .tls import ServerContexts, ServerTLSLike
from .tokens import Tokens, TokensLike

__all__ = ["PolicyServer"]

log = logging.getLogger("praxis_remote.server")

_METHODS = ("predict_action", "reset", "model_info")
_OPTIONAL_METHODS = ("warmup", "is_ready", "observation_spec")


class PolicyServer:
    """A policy that can be called over the network.

    The socket is bound and listens as soon as the object is made; calls are
    answered from `serve` on, and those that came before wait for it.

    The policy's methods are called one at a time, always from the same thread, first
    come first served. Health checks and new connections are answered meanwhile. A policy
    with a method ``warmup`` runs it before all calls; see `WarmingHandler`. Requests are
    checked against what one with a method ``observation_spec`` expects; see `SpecHandler`.

    Args:
        handler: The policy: an object with the methods of `PolicyHandler`.
        host: The interface to listen on. The default is reached from this machine
            only; ``"0.0.0.0"`` or ``"::"`` is reached from everywhere. Or ``unix:path``
            for a UNIX socket: its file takes the place of one whose server is gone,
            and is removed when the server stops.
        port: 0 lets the system pick one; `port` tells which. A UNIX socket has none:
            leave it out.
        max_message_size: Bytes of a request or a response, 64 MiB by default.
        max_pending: Calls that may wait for the policy, 1024 by default. Beyond it
            callers get RESOURCE_EXHAUSTED at once.
        max_batch_size: Observations that may be handed to the policy at once. Above 1, calls
            of several clients that wait at the same time are joined into one where they
            have the same ``policy_kwargs``, and observations of the same keys, dtypes and
            shapes. The action then needs a row for each observation.
        max_batch_delay: Seconds that a batch which is not full may be held back for the
            clients that were just answered. An idle server holds nothing back.
        batched: Whether the policy takes stacked batches; see `BatchedPolicyHandler`.
        limits: What clients are granted in connections, memory and time.
        observers: Who is told of each call that has ended; see `CallObserver`.
        tls: `ServerTLS` with the files of certificate and key, or an ``ssl.SSLContext``,
            which must speak TLS 1.2 or later, and gets ALPN h2. None: no TLS.
        tokens: Of which callers must show one, as ``authorization: Bearer``: a list, or
            the ``pathlib.Path`` of a file with one in each line, which is read again when it
            changes. They hold for all that is asked of this port but Check and Watch of
            ``grpc.health.v1.Health``, whose callers cannot show any. None: everybody
            may call.
        socket_mode: The permissions of a UNIX socket's file, such as ``0o660``: who may
            write to it may connect. None: what the umask leaves.
        shared_memory: Whether clients of the same user may hand over large messages in
            shared memory, on a UNIX socket without TLS.
        scheduler: The thread to run the policy on, where the policy was made on it.
        episode_ttl: Seconds after its last call until an episode is over; None for never.
            The policy is told through ``reset(episode_ids=...)``, which it must have.
        end_episodes_on_disconnect: Whether an episode is over as well when the client that
            used it last has been without a connection for 10 seconds.
        max_workers: Taken for the sake of praxis-remote 0.1.1 and without effect.

    Raises:
        TypeError: The handler lacks a method, or has one that cannot be called.
        ValueError: A host, port, token or mode that cannot be, or a file of ``tls`` or
            ``tokens`` that cannot be used.
        OSError: The address is in use, or not of this machine; the path is that of a
            file that is no socket, or in a folder that is not there.

    Example:
        ```python
        with PolicyServer(MyPolicy(), port=0) as server:
            print(server.port)
        ```
    """

    def __init__(
        self,
        handler: PolicyHandler | BatchedPolicyHandler,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_pending: int = DEFAULT_MAX_PENDING,
        max_batch_size: int = 1,
        max_batch_delay: float = DEFAULT_MAX_BATCH_DELAY,
        batched: bool = False,
        limits: Limits | None = None,
        observers: Sequence[CallObserver] = (),
        tls: ServerTLSLike | None = None,
        tokens: TokensLike | None = None,
        socket_mode: int | None = None,
        shared_memory: bool = True,
        scheduler: Scheduler | None = None,
        episode_ttl: float | None = None,
        end_episodes_on_disconnect: bool = False,
        max_workers: int | None = None,  # noqa: ARG002 - see the docstring
    ) -> None:
        check_handler(handler)
        check_max_message_size(max_message_size)
        _check_max_pending(max_pending)
        check_observers(observers)
        batching = Batching(max_batch_size, max_batch_delay, batched)
        shared_memory = as_flag(shared_memory, "shared_memory")
        lifetime = check_lifetime(handler, episode_ttl, on_disconnect=end_episodes_on_disconnect)
        limits = check_limits(limits)
        self._address = check_address(host, port, lowest_port=0)
        contexts = None if tls is None else ServerContexts(tls)
        gate = None if tokens is None else Tokens(tokens)
        mode = check_socket_mode(socket_mode, self._address)
        self._socket = self._listen(mode, contexts, named=gate is not None)
        self._scheduler = scheduler or Scheduler()
        self._scheduler.max_pending = max_pending
        self._progress = Progress()
        self._eviction = None
        if lifetime is not None:
            self._eviction = Eviction(handler, self._scheduler, lifetime, limits.episodes)
        self._service = self._service_class()(
            handler,
            self._scheduler,
            limits.items,
            observers,
            self._progress,
            self.status,
            batching,
            self._eviction,
        )
        self._made = time.monotonic()
        self._listener = Listener(
            self._service,
            max_message_size,
            limits,
            streams=self._service.streams,
            small=self._service.small,
            admit=None if gate is None else gate.check,
            tls=None if contexts is None else contexts.get,
            closed=None if self._eviction is None else self._eviction.disconnected,
            shared_memory=shared_memory,
        )
        # Guards the step from one state to the next: made, serving, stopped.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None
        self._grace = 0.0
        # Why it stopped by itself.
        self._failure: HandlerError | None = None
        self._blocking = True
        self._begun = False
        self._stopping = False
        # A future's condition is reentrant, so that a signal handler may stop the
        # server in the middle of serve().
        self._stopped: concurrent.futures.Future[None] = concurrent.futures.Future()

    def _listen(
        self, mode: int | None, tls: ServerContexts | None, *, named: bool
    ) -> socket.socket:
        """Returns the socket on which connections come."""
        sock = bind(self._address, mode)
        if not isinstance(self._address, UnixAddress):
            self._address = self._address._replace(port=sock.getsockname()[1])
        warn_if_open(self._address, tls, named=named)
        log.info("listening on %s", self._address, extra=self._event("listening"))
        return sock

    def _service_class(self) -> type[PolicyService]:
        return PolicyService

    @property
    def host(self) -> str:
        """The interface on which the server listens, or ``unix:path``, as it was given."""
        return self._address.host

    @property
    def port(self) -> int:
        """The port on which the server listens; 0 on a UNIX socket."""
        return self._address.port

    @property
    def address(self) -> str:
        """Where the server listens, as ``host:port`` or ``unix:path``."""
        return str(self._address)

    @property
    def stage(self) -> Stage:
        """How far the server has come. May be asked in any thread."""
        return self._progress.stage

    def status(self) -> ServerStatus:
        """Returns what the server does at the moment. May be called in any thread."""
        recorder, eviction = self._service.recorder, self._eviction
        return ServerStatus(
            stage=self.stage,
            uptime=time.monotonic() - self._made,
            connections=len(self._listener.connections),
            in_flight=self._listener.in_flight,
            waiting=self._scheduler.waiting,
            held_bytes=self._listener.held,
            request_bytes=recorder.request_bytes,
            response_bytes=recorder.response_bytes,
            counts=recorder.counts,
            episodes=0 if eviction is None else eviction.remembered,
            ended_episodes={} if eviction is None else dict(eviction.ended),
        )

    def recent_calls(self) -> list[CallRecord]:
        """Returns the last calls that ended, oldest first. May be called in any thread."""
        return self._service.recorder.recent_calls()

    # ------------------------------------------------------------ start

    def serve(self, *, block: bool = True) -> None:
        """Answers calls.

        Args:
            block: Return only when the server has been stopped, by `stop` from
                another thread or a signal handler, or by Ctrl-C. Otherwise return at
                once; the server runs on a thread of its own.

        Raises:
            RuntimeError: It was started or stopped before, or the policy's ``warmup`` or
                ``observation_spec`` failed (`HandlerError`), which stops it. Where that is
                not waited for, it is logged.
        """
        self._begin()
        self._blocking = block
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        thread = threading.Thread(
            target=self._run, args=[ready], name="praxis-remote-server", daemon=True
        )
        thread.start()
        ready.result()
        if not block:
            return
        try:
            self._stopped.result()
        except BaseException:
            self.stop()
            raise
        self._raise_failure()

    async def serve_async(self) -> None:
        """Answers calls on the running event loop, until stopped or cancelled.

        Raises:
            RuntimeError: The server was started or stopped before, or the policy's
                ``warmup`` or ``observation_spec`` failed (`HandlerError`).
        """
        self._begin()
        await self._main(concurrent.futures.Future())
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        with self._lock:
            if self._begun:
                raise RuntimeError("a PolicyServer can be started once; make a new one")
            self._begun = True

    def _run(self, ready: concurrent.futures.Future[None]) -> None:
        loop = SharedEventLoop()
        try:
            Shift(loop, self._scheduler).run(self._main(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            loop.close()

    async def _main(self, ready: concurrent.futures.Future[None]) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._stop_requested = asyncio.Event()
            if self._stopping:
                self._stop_requested.set()
        # Its turn comes before that of any call, since none is accepted yet.
        warm = asyncio.ensure_future(self._service.warm_up(self._fail, self._warm))
        try:
            self._service.readiness.begin()
            await self._accept()
            log.info("serving on %s", self._address, extra=self._event("serving"))
            ready.set_result(None)
            await self._stop_requested.wait()
            text = "stopping: no new calls are taken, running ones get %g s"
            log.info(text, self._grace, extra=self._event("draining", seconds=self._grace))
            await self._listener.stop(self._grace)
        except asyncio.CancelledError:
            self._progress.enter(Stage.DRAINING)
            await self._listener.stop(0)
            raise
        finally:
            warm.cancel()
            with self._lock:
                self._loop = None
            self._close()

    async def _accept(self) -> None:
        """Takes connections from now on."""
        await self._listener.start(self._socket)

    def _warm(self) -> None:
        """Takes the news, on the policy's thread, that it is warm."""

    def _fail(self, error: HandlerError, method: str) -> None:
        """Stops, since the policy cannot be called."""
        if not self._blocking:
            fields = self._event("policy_failed", method=method)
            log.error("stopping: %s", error.details(), exc_info=error.__cause__, extra=fields)
        self._failure = error
        self.request_stop()

    # ------------------------------------------------------------ stop

    def stop(self, *, grace: float = 0) -> None:
        """Stops, and returns when the server has stopped. May be called at any time,
        from any thread but the server's own, from a signal handler, and repeatedly.

        No new calls are taken from now on.

        Args:
            grace: Seconds that running and waiting calls get to finish; the callers
                of those that do not get UNAVAILABLE.
        """  # noqa: D205 - the first sentence is one thought
        self.request_stop(grace=grace)
        self._stopped.result()

    def request_stop(self, *, grace: float = 0) -> None:
        """Begins to stop, and returns at once. May be called from anywhere."""
        with self._lock:
            if not self._begun:
                self._begun = True
                self._close()
            self._stopping = True
            self._progress.enter(Stage.DRAINING)
            self._listener.refuse_calls()
            self._grace = max(0.0, float(grace))
            if self._loop is not None and self._stop_requested is not None:
                self._loop.call_soon_threadsafe(self._stop_requested.set)
                # Shortens the grace of a stop that is under way.
                self._loop.call_soon_threadsafe(self._listener.end_calls, self._grace)

    def _close(self) -> None:
        self._socket.close()
        self._service.close()
        if not self._stopped.done():
            log.info("stopped serving on %s", self._address, extra=self._event("stopped"))
            self._stopped.set_result(None)

    def _event(self, name: Event, **fields: Unpack[Fields]) -> dict[str, object]:
        return {**event(name, **fields), "address": self.address}

    def __enter__(self) -> Self:
        """Starts serving on a thread of its own, if it does not already."""
        if not self._begun:
            self.serve(block=False)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _check_max_pending(max_pending: int) -> None:
    try:
        number = operator.index(max_pending)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidValueError(
            f"max_pending: {max_pending!r}; at least 0 is needed, and a whole number"
        )


def check_handler(handler: object) -> None:
    """Raises unless an object has the methods of a policy.

    Raises:
        TypeError: It lacks one, has one that cannot be called, or is a class instead
            of an instance.
    """
    if isinstance(handler, type):
        raise TypeError(f"handler: {handler.__name__} is a class; pass an instance of it")
    missing = [name for name in _METHODS if not callable(getattr(handler, name, None))]
    if missing:
        raise TypeError(
            f"handler: {type(handler).__name__} lacks {', '.join(missing)}; "
            f"a policy has the methods {', '.join(_METHODS)}"
        )
    for name, arguments in (("predict_action", ([],)), ("reset", ()), ("model_info", ())):
        _check_method(handler, name, arguments)
    for name in _OPTIONAL_METHODS:
        _check_optional(handler, name)


def _check_optional(handler: object, name: str) -> None:
    method = getattr(handler, name, None)
    if method is None:
        return
    if not callable(method):
        raise TypeError(
            f"handler: {type(handler).__name__}.{name} is a {type(method).__name__}; the server "
            f"calls it: make it a method without arguments, or give it another name"
        )
    _check_method(handler, name, ())


def _check_method(handler: object, name: str, arguments: tuple[object, ...]) -> None:
    """Finds at the start what would fail every call."""
    method = getattr(handler, name)
    where = f"handler: {type(handler).__name__}.{name}"
    if inspect.iscoroutinefunction(method):
        raise TypeError(f"{where} is a coroutine function; a policy has plain methods")
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # some compiled functions do not tell
    keywords: dict[str, object] = {"policy_kwargs": {}} if name == "predict_action" else {}
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        called = "observations, policy_kwargs=..." if keywords else ""
        raise TypeError(f"{where}{signature} cannot be called as ({called}): {error}") from None
