# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that is looked at: it is called exactly as it would be, and copies are made first.

Looking never fails a call. Nothing here knows of the page.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ..batching import StackedObservations
from ..calls import SESSION_ID
from ..context import RequestContext, current_requests
from ..logs import event
from ..protocol import PolicyHandler
from ..types import Array
from .copies import keep_action, keep_kwargs, keep_name, keep_observation
from .episodes import Caller, Episodes, Step

__all__ = ["WatchedHandler"]

log = logging.getLogger("praxis_remote.inspect")

_MAX_ERROR = 1000

T = TypeVar("T")


class _Labels(NamedTuple):
    """What the episodes of a batch are called, of which only the first are shown."""

    shown: list[str]
    batch: int


_NOBODY = _Labels([], 0)


class WatchedHandler:
    """A policy, and what it is called with goes to a store as well.

    Whatever else the policy has, such as ``warmup``, is had from here too.

    Args:
        handler: The policy.
        episodes: The store.
        clock: Seconds, for when a step came.
    """

    def __init__(
        self,
        handler: PolicyHandler,
        episodes: Episodes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handler = handler
        self._episodes = episodes
        self._clock = clock
        self._failed = False
        # With the policy's own signatures: the server looks at them.
        self.predict_action = _like(handler.predict_action, self._predict_action)
        self.reset = _like(handler.reset, self._reset)

    def model_info(self) -> str:
        """Returns the policy's."""
        return self._handler.model_info()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def _predict_action(self, *args: Any, **kwargs: Any) -> Array:
        labels = self._try(self._look, *args, **kwargs) or _NOBODY
        begun = time.perf_counter()
        try:
            action = self._handler.predict_action(*args, **kwargs)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:_MAX_ERROR]
            self._try(self._note_error, labels, time.perf_counter() - begun, text)
            raise
        self._try(self._note_action, labels, time.perf_counter() - begun, action)
        return action

    def _reset(self, *args: Any, **kwargs: Any) -> None:
        self._handler.reset(*args, **kwargs)
        self._try(self._note_reset, *args, **kwargs)

    def _try(self, look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return look(*args, **kwargs)
        except Exception:
            if not self._failed:
                text = "cannot show a call; the policy is not concerned"
                log.exception(text, extra=event("unforeseen"))
            self._failed = True
            return None

    def _look(
        self,
        observations: Sequence[Mapping[str, Any]] | StackedObservations,
        policy_kwargs: Mapping[str, Any] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> _Labels:
        """Copies what came, and returns what its episodes are called."""
        now, kwargs = self._clock(), keep_kwargs(policy_kwargs)
        labels: list[str] = []
        # Of a larger batch the first would be forgotten for the last.
        rows, batch = _rows(observations, self._episodes.max_episodes)
        for (caller, index), observation in zip(_callers(batch), rows, strict=False):
            place = len(labels)
            name = f"{caller.name} [{index}]" if episode_ids is None else episode_ids[place]
            label = keep_name(name)
            kept, size = keep_observation(observation)
            more_keys = len(observation) - len(kept)
            step = Step(kept, size, more_keys, kwargs, caller, place, batch, now)
            self._episodes.add(label, step)
            labels.append(label)
        return _Labels(labels, batch)

    def _note_action(self, labels: _Labels, seconds: float, action: Any) -> None:
        for index, label in enumerate(labels.shown):
            kept = keep_action(action, index, labels.batch)
            self._episodes.end(label, action=kept, infer=seconds)

    def _note_error(self, labels: _Labels, seconds: float, error: str) -> None:
        for label in labels.shown:
            self._episodes.end(label, error=error, infer=seconds)

    def _note_reset(self, episode_ids: Sequence[str] | None = None) -> None:
        self._episodes.reset(None if episode_ids is None else [*map(keep_name, episode_ids)])


def _like(method: Callable[..., T], instead: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> T:
        return instead(*args, **kwargs)

    return call


def _rows(
    observations: Sequence[Mapping[str, Any]] | StackedObservations, most: int
) -> tuple[Sequence[Mapping[str, Any]], int]:
    """Returns the first observations, and how many there are."""
    if not isinstance(observations, StackedObservations):
        return observations[:most], len(observations)
    batch = observations.batch_size
    rows = [{key: v[row] for key, v in observations.items()} for row in range(min(most, batch))]
    return rows, batch


def _callers(batch: int) -> Iterator[tuple[Caller, int]]:
    """Returns for each row of a batch whose it is, and the how manieth of theirs."""
    try:
        requests = current_requests()
    except LookupError:
        requests = ()
    if not requests:
        yield from ((Caller("this process"), row) for row in range(batch))
    for request in requests:
        caller = _caller(request)
        yield from ((caller, index) for index in range(len(request.rows)))


def _caller(request: RequestContext) -> Caller:
    session = dict(request.metadata).get(SESSION_ID)
    name = keep_name(session) if isinstance(session, str) else None
    return Caller(request.peer, name, request.timing)
