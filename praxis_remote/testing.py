# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Policies to test callers with, and a server and client in one line.

Everything is real: real sockets, a real server. Only the policies do little.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .client import PolicyClient
from .protocol import PolicyHandler
from .server import PolicyServer
from .specs import ObservationSpec
from .types import Array, Observation, PolicyKwargValue

__all__ = ["GatedHandler", "Prediction", "RecordingHandler", "SpecifiedHandler", "connected"]


class Prediction(NamedTuple):
    """What one ``predict_action`` was called with."""

    observations: Sequence[Observation]
    policy_kwargs: Mapping[str, PolicyKwargValue] | None
    episode_ids: Sequence[str] | None
    thread: str


class RecordingHandler:
    """A policy that notes what it is asked, and answers what it is told to.

    Args:
        answer: Returns the action for a prediction, or raises. By default a zero of
            float32 for each observation.

    Attributes:
        predictions: The calls of ``predict_action``, in order.
        resets: The arguments of ``reset``, in order; None for everything.
    """

    def __init__(self, answer: Callable[[Prediction], Any] | None = None) -> None:
        self._answer = answer or _zeros
        self.predictions: list[Prediction] = []
        self.resets: list[tuple[str, ...] | None] = []

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> Array:
        """Notes the call and returns the answer."""
        prediction = Prediction(
            observations, policy_kwargs, episode_ids, threading.current_thread().name
        )
        self.predictions.append(prediction)
        action: Array = self._answer(prediction)
        return action

    def reset(self, episode_ids: Sequence[str] | None = None) -> None:
        """Notes the call."""
        self.resets.append(None if episode_ids is None else tuple(episode_ids))

    def model_info(self) -> str:
        """Returns the name of the class."""
        return type(self).__name__


def _zeros(prediction: Prediction) -> Array:
    return np.zeros((len(prediction.observations), 1), np.float32)


class SpecifiedHandler(RecordingHandler):
    """A policy that says what it expects, so that its callers are told what they do wrong.

    Args:
        spec: What it expects; None for anything.
        answer: As of `RecordingHandler`.
    """

    def __init__(
        self, spec: ObservationSpec | None, answer: Callable[[Prediction], Any] | None = None
    ) -> None:
        super().__init__(answer)
        self._spec = spec

    def observation_spec(self) -> ObservationSpec | None:
        """Returns it."""
        return self._spec


class GatedHandler(RecordingHandler):
    """A policy that takes as long as a test wants.

    Each ``predict_action`` says that it has begun and waits until it may end.
    """

    def __init__(self, answer: Callable[[Prediction], Any] | None = None) -> None:
        super().__init__(answer)
        self._begun = threading.Semaphore(0)
        self._may_end = threading.Semaphore(0)

    def predict_action(
        self,
        observations: Sequence[Observation],
        *,
        policy_kwargs: Mapping[str, PolicyKwargValue] | None = None,
        episode_ids: Sequence[str] | None = None,
    ) -> Array:
        """Says that it has begun, waits until it may end, and answers."""
        self._begun.release()
        self._may_end.acquire()
        return super().predict_action(
            observations, policy_kwargs=policy_kwargs, episode_ids=episode_ids
        )

    def wait_begun(self, timeout: float = 30.0) -> None:
        """Waits until one more ``predict_action`` has begun.

        Raises:
            TimeoutError: None did.
        """
        if not self._begun.acquire(timeout=timeout):
            raise TimeoutError(f"no predict_action began within {timeout:g} s")

    def let_end(self, times: int = 1) -> None:
        """Lets this many calls of ``predict_action`` end, those to come included."""
        self._may_end.release(times)


class Pair(NamedTuple):
    """A server that is up, and a client for it."""

    server: PolicyServer
    client: PolicyClient


@contextmanager
def connected(
    handler: PolicyHandler, *, host: str = "127.0.0.1", **client_options: Any
) -> Iterator[Pair]:
    """Serves a policy on a free port for the time of a with block.

    Args:
        handler: The policy.
        host: The interface to listen on, or ``unix:path``.
        client_options: Passed to `PolicyClient`, such as ``timeout``.
    """
    with (
        PolicyServer(handler, host=host, port=0) as server,
        PolicyClient(server.host, server.port, **client_options) as client,
    ):
        yield Pair(server, client)
