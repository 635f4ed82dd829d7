# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Calls of ``predict_action``: for one request, or for several as one batch."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from . import codec
from .batching import (
    NOBODYS,
    Batching,
    NotABatchError,
    Stacker,
    Ticket,
    check_rows,
    likeness,
    split,
)
from .context import CurrentRequests
from .errors import HandlerError
from .framing import Segments
from .logs import event
from .memory import Stock
from .protocol import BatchedPolicyHandler, PolicyHandler
from .types import Array, Observation
from .visit import Visit

log = logging.getLogger("praxis_remote.server")


def _encode_action(predict: Callable[[], object], mark: Callable[[], None]) -> tuple[Segments, int]:
    """Returns an action's message, and how many references there are to its memory."""
    action = predict()
    mark()
    segments = codec.encode_predict_response(action)
    mark()
    owner = type(action) is np.ndarray and action.base is None
    return segments, sys.getrefcount(action) if owner else sys.maxsize


# How many there are where the policy has kept none.
_OUR_REFERENCES = _encode_action(lambda: np.empty(codec.LARGE_BYTES, np.uint8), lambda: None)[1]


class Asked(NamedTuple):
    """A request, and the call that it came with."""

    visit: Visit
    request: codec.PredictCall
    kind: Hashable | None


class Predictor:
    """Calls a policy's ``predict_action``, on its thread.

    Args:
        handler: The policy.
        batching: How requests are joined, and whether it takes stacked batches.
    """

    def __init__(self, handler: PolicyHandler | BatchedPolicyHandler, batching: Batching) -> None:
        self._handler: Any = handler
        self._joins, self._max_size = batching.joins, batching.max_size
        self._stacker = Stacker() if batching.stacked else None
        # Fresh memory takes longer to touch than to fill.
        self._stock = Stock()
        self._takes_ids = _takes(handler.predict_action, "episode_ids")

    def kind(self, request: codec.PredictCall) -> Hashable | None:
        """Returns what is equal for requests that may be joined; None for one that stays alone.

        It takes about as long as to decode the request.
        """
        observations, policy_kwargs, ids = request
        if len(observations) >= self._max_size:
            return None
        # A policy that takes no ids refuses them, and a caller's batch is its own affair.
        if ids is not None and not (self._takes_ids and len(set(ids)) == len(ids)):
            return None
        return likeness(observations, policy_kwargs, named=ids is not None)

    def ticket(self, asked: Asked) -> Ticket:
        """Returns with which other requests this one may be joined."""
        if not self._joins:
            return NOBODYS
        call, request = asked.visit.call, asked.request
        lanes = frozenset(request.episode_ids or ())
        size = len(request.observations)
        return Ticket(asked.kind, size, lanes, call.caller, asked, self.together)

    def alone(self, asked: Asked) -> Segments:
        """Returns the response to one request.

        Raises:
            Exception: Whatever the policy raises.
        """
        request = asked.request
        asked.visit.call.batch_size = len(request.observations)
        segments, references = _encode_action(
            lambda: self._predict_alone(request), asked.visit.call.mark
        )
        if len(segments) == 1 or references <= _OUR_REFERENCES:
            return segments
        # The policy may write its next action into the same array while this
        # one is still being sent.
        return self._copy(segments)

    def _copy(self, segments: Segments) -> Segments:
        return [self._copy_large(s) if isinstance(s, memoryview) else s for s in segments]

    def _copy_large(self, segment: memoryview) -> memoryview:
        copy = self._stock.take(len(segment))
        copy[:] = segment
        return copy

    def together(self, batch: Sequence[Asked]) -> Sequence[Segments | Exception] | None:
        """Returns the responses to several requests, of which the policy sees one batch.

        Returns:
            For each request its response, or what to raise. None if the policy failed, so
            that each has to be tried alone.
        """
        reached = [len(asked.visit.call.marks) for asked in batch]
        size = sum(len(asked.request.observations) for asked in batch)
        for asked in batch:
            asked.visit.begin()
            asked.visit.call.batch_size = size
        try:
            actions = self._predict_together(batch)
            for asked in batch:
                asked.visit.call.mark()
            return [self._encode_rows(*pair) for pair in zip(batch, actions, strict=True)]
        except NotABatchError as error:
            for asked in batch:
                asked.visit.call.mark()
            text = f"{error}; {len(batch)} requests were joined"
            log.error("%s", text, extra=event("policy_failed", method="predict_action"))
            return [HandlerError(text) for _ in batch]
        except BaseException:  # a policy may raise anything, SystemExit included
            text = "the policy failed on %d joined requests; each is tried alone"
            fields = event("batch_failed", method="predict_action")
            log.warning(text, len(batch), exc_info=True, extra=fields)
            for asked, marks in zip(batch, reached, strict=True):
                del asked.visit.call.marks[marks:]
            return None

    def _encode_rows(self, asked: Asked, rows: Array) -> Segments:
        segments = codec.encode_predict_response(rows)
        asked.visit.call.mark()
        # As above, and one caller's rows shall not keep those of the others.
        return self._copy(segments)

    def _predict_alone(self, request: codec.PredictCall) -> object:
        action = self._predict(*request)
        if self._joins:
            try:
                check_rows(action, len(request.observations))
            except NotABatchError as error:
                raise HandlerError(str(error)) from None
        return action

    def _predict_together(self, batch: Sequence[Asked]) -> list[Array]:
        observations: list[Observation] = []
        ids: list[str] = []
        contexts = []
        for visit, request, _ in batch:
            start = len(observations)
            # What a policy takes out of them is still there when each is tried alone.
            observations += map(dict, request.observations)
            ids += request.episode_ids or ()
            contexts.append(replace(visit.context, rows=range(start, len(observations))))
        with CurrentRequests(contexts), batch[0].visit.span():
            policy_kwargs = dict(batch[0].request.policy_kwargs)
            action = self._predict(observations, policy_kwargs, tuple(ids) or None)
        return split(
            check_rows(action, len(observations)),
            [len(asked.request.observations) for asked in batch],
        )

    def _predict(
        self,
        observations: list[Observation],
        policy_kwargs: dict[str, Any],
        episode_ids: tuple[str, ...] | None,
    ) -> object:
        kwargs = {} if episode_ids is None else {"episode_ids": episode_ids}
        given = observations if self._stacker is None else self._stacker.stack(observations)
        action: object = self._handler.predict_action(given, policy_kwargs=policy_kwargs, **kwargs)
        return action


def _takes(method: Callable[..., object], name: str) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True  # some compiled functions do not tell
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
