# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The episodes that a policy works on, and the latest step of each: bounded in number and bytes.

Written on the policy's thread, read on the page's. A step is never changed once it is
here, another takes its place; what both threads touch is guarded by one lock, held briefly.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..timing import ServerTiming
from ..types import Array
from .copies import TRACED_SIZE, Kept, KeptArray, same, trace

__all__ = ["Caller", "Episode", "Episodes", "Step"]

STALE_STEPS = 3
"""A camera or a state that has not changed for so many steps is worth a look."""

TRACED_STEPS = 120
"""Of an episode's numbers, so many are remembered."""

_RATED_STEPS = 20

_STATE = "state"


@dataclass(frozen=True)
class Caller:
    """Who asked for a step, and what came before it.

    Attributes:
        peer: Its address.
        session: What it calls itself (``praxis-session-id``), if it does.
        timing: How long the phases before the policy's took.
    """

    peer: str
    session: str | None = None
    timing: ServerTiming | None = None

    @property
    def name(self) -> str:
        """What stays the same for a caller, as far as it can be known."""
        return self.peer if self.session is None else self.session


class Step(NamedTuple):
    """What the policy received for an episode, and what it answered.

    Attributes:
        observation: Copies of keys and values.
        kept_bytes: Of these copies.
        more_keys: How many there are no copies of.
        kwargs: A copy of the policy_kwargs.
        caller: Who asked.
        place: The observation's place in its batch.
        batch: How many observations came together.
        seen: When it came, on the store's clock.
        unchanged: For how many steps in a row an array has been what it was before.
        action: What the policy answered; None if it has not yet, or could not.
        error: What it raised.
        infer: Seconds that it took; None while it works.
    """

    observation: Mapping[str, Kept]
    kept_bytes: int
    more_keys: int
    kwargs: Any
    caller: Caller
    place: int
    batch: int
    seen: float
    unchanged: Mapping[str, int] = MappingProxyType({})
    action: KeptArray | None = None
    error: str | None = None
    infer: float | None = None

    def stale(self, key: str) -> int:
        """Returns for how many steps a camera or a state has been the same; 0 for few.

        Other arrays, such as goals, may well stay what they are.
        """
        kept, steps = self.observation[key], self.unchanged.get(key, 0)
        camera = isinstance(kept, KeptArray) and kept.layout is not None
        return steps + 1 if steps >= STALE_STEPS and (camera or _STATE in key) else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the copies."""
        return self.kept_bytes + (0 if self.action is None else self.action.nbytes)


class Episode:
    """The latest step of an episode, and the course of its numbers.

    Attributes:
        number: What the page calls it by; never given twice.
        label: Its id, or its caller and its place in the batch.
        steps: How many came since it was reset.
        latest: The last of them; the one before a reset stays until another comes.
    """

    def __init__(self, number: int, label: str, step: Step) -> None:
        self.number = number
        self.label = label
        self.steps = 0
        self.latest = step
        self._places: dict[str, slice] = {}
        self._traces: deque[Array] = deque(maxlen=TRACED_STEPS)
        self._actions: deque[Array] = deque(maxlen=TRACED_STEPS)
        self._infer: deque[float] = deque(maxlen=TRACED_STEPS)
        self._seen: deque[float] = deque(maxlen=_RATED_STEPS)

    def add(self, step: Step) -> None:
        """Takes a step."""
        before = self.latest if self.steps else None
        unchanged = {}
        if before is not None:
            for key, value in step.observation.items():
                if same(before.observation.get(key), value):
                    unchanged[key] = before.unchanged.get(key, 0) + 1
        self.latest = step._replace(unchanged=unchanged)
        self.steps += 1
        self._seen.append(step.seen)
        places, numbers = trace(step.observation)
        if places != self._places:
            self._traces.clear()
            self._places = places
        self._traces.append(numbers)

    def end(self, step: Step) -> None:
        """Takes what became of the latest step."""
        self.latest = step
        if step.infer is not None:
            self._infer.append(step.infer)
        if step.action is not None:
            self._trace_action(step.action)

    def _trace_action(self, action: KeptArray) -> None:
        """Remembers an action that is a few numbers; a chunk shows its course by itself."""
        numbers = np.empty(0) if action.data is None else action.data.reshape(-1)
        if len(action.shape) > 1 or numbers.size > TRACED_SIZE:
            return
        if self._actions and self._actions[-1].shape != numbers.shape:
            self._actions.clear()
        self._actions.append(numbers)

    def reset(self) -> None:
        """Begins anew."""
        self.steps = 0
        self._traces.clear()
        self._actions.clear()
        self._infer.clear()
        self._seen.clear()

    def traces(self) -> dict[str, Array]:
        """Returns the course of each key's numbers, one row for each step."""
        if not self._traces:
            return {}
        rows = np.stack(list(self._traces))
        return {key: rows[:, place] for key, place in self._places.items()}

    def action_trace(self) -> list[list[float]]:
        """Returns the course of each of the action's numbers, if they are few."""
        return np.stack(list(self._actions)).T.tolist() if self._actions else []

    def infer_trace(self) -> list[float]:
        """Returns the course of the seconds that the policy took."""
        return list(self._infer)

    def rate(self) -> float | None:
        """Returns steps a second of late; None for too few to tell."""
        if len(self._seen) < 2 or self._seen[-1] <= self._seen[0]:
            return None
        return (len(self._seen) - 1) / (self._seen[-1] - self._seen[0])


class Episodes:
    """The episodes that were seen last.

    Args:
        max_episodes: Of more, the one that was seen longest ago is forgotten.
        max_bytes: Of all copies together; the same is done beyond it.

    Attributes:
        lock: To be held while an `Episode` is read or written.
        changes: Grows with every change.
    """

    def __init__(self, max_episodes: int, max_bytes: int) -> None:
        self.lock = threading.Lock()
        self.changes = 0
        self.max_episodes = max_episodes
        self._max_bytes = max_bytes
        self._made = 0
        self._bytes = 0
        # Seen longest ago first.
        self._episodes: OrderedDict[str, Episode] = OrderedDict()

    def add(self, label: str, step: Step) -> None:
        """Takes a step that the policy is about to work on."""
        with self.lock:
            episode = self._episodes.get(label)
            if episode is None:
                self._made += 1
                self._episodes[label] = episode = Episode(self._made, label, step)
            else:
                self._bytes -= episode.latest.nbytes
            self._episodes.move_to_end(label)
            episode.add(step)
            self._bytes += episode.latest.nbytes
            self._forget()
            self.changes += 1

    def end(self, label: str, **outcome: Any) -> None:
        """Takes what became of an episode's latest step: `Step`'s last attributes."""
        with self.lock:
            if (episode := self._episodes.get(label)) is not None:
                self._bytes -= episode.latest.nbytes
                episode.end(episode.latest._replace(**outcome))
                self._bytes += episode.latest.nbytes
                self.changes += 1

    def reset(self, labels: Sequence[str] | None) -> None:
        """Begins these anew, or all."""
        with self.lock:
            for label in self._episodes if labels is None else labels:
                if (episode := self._episodes.get(label)) is not None:
                    episode.reset()
            self.changes += 1

    def all(self) -> list[Episode]:
        """Returns them in the order in which they were first seen. Not without the lock."""
        return sorted(self._episodes.values(), key=lambda episode: episode.number)

    def find(self, number: int) -> Episode | None:
        """Returns the one of a number. Not without the lock."""
        return next((each for each in self._episodes.values() if each.number == number), None)

    def _forget(self) -> None:
        while len(self._episodes) > self.max_episodes or (
            self._bytes > self._max_bytes and len(self._episodes) > 1
        ):
            self._bytes -= self._episodes.popitem(last=False)[1].latest.nbytes
