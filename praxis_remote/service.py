# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The rpcs: a request message in, the policy on its thread, a response message out.

What is asked about the server itself is answered by `health`, `monitor`, `reflection` and
`specs`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import betterproto

from . import codec, wire
from .batching import Batching, Ticket
from .calls import GET_OBSERVATION_SPEC, GET_STATUS, HEALTH_CHECK, PREDICT, RESET, Deadline
from .errors import HandlerError, UnimplementedError
from .eviction import Eviction
from .framing import Segments
from .health import CHECK, LIST, WATCH, Health
from .http2 import ServerCall
from .limits import Limits
from .logs import event
from .monitor import GetStatus, Monitor
from .prediction import Asked, Predictor
from .protocol import BatchedPolicyHandler, PolicyHandler
from .readiness import Readiness
from .reading import Reading
from .records import UNKNOWN, CallObserver, Recorder
from .reflection import REFLECTION, Reflection
from .scheduler import Scheduler
from .schema import Empty, HealthResponse, ResetRequest, ResetResponse
from .schema.generated_health import HealthCheckRequest, HealthListRequest
from .schema.generated_monitor import StatusRequest
from .schema.generated_specs import SpecRequest
from .specs.publishing import Specs
from .stage import Progress, Stage
from .status import ServerStatus
from .tracing import may_trace
from .visit import Visit, trace_call

log = logging.getLogger("praxis_remote.server")


class PolicyService:
    """Answers calls with a policy.

    Args:
        handler: The policy.
        scheduler: The thread on which it runs.
        max_items: Of a request; see `Limits`.
        observers: Who is told of each call that has ended.
        progress: How far the server is.
        status: Returns what the server does. None: there is none, and nobody can ask.
        batching: How requests are joined; None: not at all.
        eviction: What ends episodes that are over; None if only callers do.

    Attributes:
        recorder: What became of the calls.
        readiness: Whether calls shall be sent.
        get_status: Answers what this server does, if it has a status.
        streams: The paths of methods with many messages.
        small: The paths of methods whose requests are a name at most.
    """

    def __init__(
        self,
        handler: PolicyHandler | BatchedPolicyHandler,
        scheduler: Scheduler,
        max_items: int = Limits.items,
        observers: Sequence[CallObserver] = (),
        progress: Progress | None = None,
        status: Callable[[], ServerStatus] | None = None,
        batching: Batching | None = None,
        eviction: Eviction | None = None,
    ) -> None:
        self.recorder = Recorder(observers)
        self.readiness = Readiness(handler, scheduler, progress or Progress(Stage.SERVING))
        self._handler = handler
        batching = batching or Batching()
        scheduler.join(batching)
        self._predictor = Predictor(handler, batching)
        self._scheduler = scheduler
        self._eviction = eviction
        self._closed = threading.Event()
        # What `model_info` last returned, or raised.
        self._model_info: str | HandlerError | None = None
        self._specs = Specs(handler, scheduler)
        self._reading = Reading(max_items, self._predictor.kind, self._specs)
        health, reflection = Health(self.readiness), Reflection()
        streams: dict[str, Callable[[Any], Awaitable[Segments]]] = {
            WATCH: health.watch,
            **dict.fromkeys(REFLECTION, reflection.talk),
        }
        self.streams, self.small = tuple(streams), (CHECK, LIST)
        self._routes: dict[str, Callable[[Any], Awaitable[Segments]]] = {
            PREDICT.path: self._predict,
            RESET.path: self._reset,
            HEALTH_CHECK.path: self._health_check,
            CHECK: self._answering(HealthCheckRequest, health.check),
            LIST: self._answering(HealthListRequest, health.list),
            GET_OBSERVATION_SPEC.path: self._answering(
                SpecRequest, self._specs.get_observation_spec
            ),
            **streams,
        }
        if status is not None:
            monitor = Monitor(status, self.recorder.recent_calls, self._said, self._routes)
            self.get_status = monitor.get_status
            self.answer_status(monitor.get_status)
        # Those that wait for the policy's thread.
        self._queued = (PREDICT.path, RESET.path)

    def answer_status(self, answer: GetStatus) -> None:
        """Has something else answer what the server does than `get_status`."""
        self._routes[GET_STATUS.path] = self._answering(StatusRequest, answer)

    def check(self, call: ServerCall) -> None:
        """Looks at a call whose message has not come yet.

        Raises:
            UnimplementedError: There is no such method.
            ResourceExhaustedError: As many calls wait for the policy as may.
        """
        if call.path not in self._routes:
            raise UnimplementedError(
                f"no method {call.path!r}; this server has {', '.join(self._routes)}"
            )
        if call.path in self._queued:
            # Before its message takes time and memory; it is looked at again after that.
            self._scheduler.check_room()

    def ended(self, call: ServerCall) -> None:
        """Takes the news that a call has ended."""
        ended = call.ended(call.path if call.path in self._routes else UNKNOWN)
        self.recorder.add(ended)
        trace = call.trace
        if trace is None and may_trace():
            trace = trace_call(call)
        if trace is not None:
            try:
                trace.end(ended.record())
            except Exception:  # it shall not cost the call's connection
                log.exception("the span of a call could not be ended", extra=event("unforeseen"))

    def find(self, head: bytes | memoryview) -> int:
        """Returns where the first tensor's data lies in a request that begins like this."""
        return codec.find_data_in_request(head)

    async def respond(self, call: ServerCall) -> Segments:
        """Returns the response to a call.

        Raises:
            RemoteError: The status that the caller shall get instead.
        """
        return await self._routes[call.path](call)

    async def _predict(self, call: ServerCall) -> Segments:
        # One that came before the policy said what it expects is looked at in its turn.
        early = not self._specs.asked
        request, kind = await self._reading.predict(call)
        call.mark()
        visit = Visit(call, "predict_action", range(len(request.observations)))
        asked = Asked(visit, request, None if early else kind)

        def predict() -> Segments:
            if early:
                self._specs.check(request)
            return visit.run(lambda: self._predictor.alone(asked))

        ticket = self._predictor.ticket(asked)
        running = self._scheduler.run(predict, call.deadline, ticket)
        if self._eviction is None:
            return await running
        return await self._eviction.predicting(call, request.episode_ids or (), running)

    async def _reset(self, call: ServerCall) -> Segments:
        request = await self._reading.read(call, ResetRequest, in_order=True)
        call.mark()
        visit = Visit(call, "reset")

        def reset() -> Segments:
            if request.episode_ids:
                self._handler.reset(episode_ids=tuple(request.episode_ids))
            else:
                self._handler.reset()
            call.mark()
            return [wire.write_message(ResetResponse(success=True))]

        # No call of these episodes shall pass it, or it them. Who waits for it cannot call.
        lanes = frozenset(request.episode_ids) or None
        ticket = Ticket(lanes=lanes, caller=call.caller)
        running = self._scheduler.run(lambda: visit.run(reset), call.deadline, ticket)
        if self._eviction is None:
            return await running
        return await self._eviction.resetting(call, request.episode_ids, running)

    async def _health_check(self, call: ServerCall) -> Segments:
        await self._reading.read(call, Empty)
        readiness = self.readiness
        if readiness.stage is Stage.SERVING:
            # While the policy works, its last word has to do.
            if self._scheduler.idle or self._model_info is None:
                call.ran = True
                await self._scheduler.run(self._refresh_model_info, call.deadline)
            await readiness.ask(call.deadline)
        if not readiness.ready:
            return [wire.write_message(HealthResponse(model_info=readiness.why_not))]
        info = self._model_info
        if isinstance(info, HandlerError):
            raise HandlerError(info.details())
        return [wire.write_message(HealthResponse(ready=True, model_info=info or ""))]

    def _answering(
        self,
        cls: type[wire.M],
        answer: Callable[[wire.M, Deadline | None], Awaitable[betterproto.Message]],
    ) -> Callable[[ServerCall], Awaitable[Segments]]:
        """Returns what answers a call with a message for a message."""

        async def respond(call: ServerCall) -> Segments:
            response = await answer(await self._reading.read(call, cls), call.deadline)
            return [wire.write_message(response)]

        return respond

    def close(self) -> None:
        """Ends the threads, after the jobs that they have."""
        self._closed.set()
        self._scheduler.close()
        self._reading.close()
        if self._eviction is not None:
            self._eviction.close()

    async def warm_up(
        self, fail: Callable[[HandlerError, str], None], warm: Callable[[], None]
    ) -> None:
        """Has the policy warm up, and asks it what a busy server shall have at hand.

        Args:
            fail: Called on the policy's thread if that fails, with the method that did; it
                has the server stop.
            warm: Called there if it does not, before any call is answered.
        """

        def work() -> None:
            method = "warmup"
            try:
                self.readiness.warm_up()
                method = "observation_spec"
                self._specs.ask()
            except HandlerError as error:
                fail(error, method)
                # No call shall run on it: those that wait end with the server.
                self._closed.wait()
            else:
                self._refresh_model_info()
                warm()

        await self._scheduler.run(work)
        self.readiness.warmed_up()

    def _said(self) -> str:
        info = self._model_info
        return info if isinstance(info, str) else ""

    def _refresh_model_info(self) -> None:
        try:
            self._model_info = str(self._handler.model_info())
        except BaseException as error:
            fields = event("policy_failed", method="model_info")
            log.exception("the policy's model_info failed", extra=fields)
            self._model_info = HandlerError(str(error) or type(error).__name__)
