# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a policy has to offer in order to be served."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from .batching import StackedObservations
from .specs.spec import ObservationSpec
from .types import Array


@runtime_checkable
class PolicyHandler(Protocol):
    """A policy: any object with these three methods.

    The server calls one method at a time, always from the same thread. The types are
    those that really come; a policy may declare wider ones, such as
    ``Sequence[Mapping[str, Any]]``. It may have the methods of `WarmingHandler`,
    `ReadinessHandler` and `SpecHandler` as well.
    """

    def predict_action(
        self,
        observations: list[dict[str, Any]],
        *,
        policy_kwargs: dict[str, Any] | None = None,
        episode_ids: tuple[str, ...] | None = None,
    ) -> Array:
        """Returns the action for a batch of observations.

        Args:
            observations: One `Observation` for each environment, at least one. Arrays
                are writable and belong to the handler.
            policy_kwargs: The caller's options, empty when it sent none.
            episode_ids: A tuple with one id for each observation. The argument is
                passed only when the caller sent ids, so that a handler without
                this parameter works for callers that send none.

        Returns:
            An array, or what ``np.asarray`` turns into one, of dtype float32,
            float64, int32, int64, uint8 or bool. Its first dimension is usually
            the batch.

        Raises:
            TypeError, ValueError: The request is at fault: the caller gets
                INVALID_ARGUMENT with the message.
            Exception: Anything else: the caller gets INTERNAL with the message.
        """
        ...

    def reset(self, episode_ids: tuple[str, ...] | None = None) -> None:
        """Forgets what is remembered of these episodes, or of all.

        Args:
            episode_ids: A tuple of ids. Passed only when the caller sent some.
        """
        ...

    def model_info(self) -> str:
        """Returns a line about the policy, for people to read."""
        ...


@runtime_checkable
class BatchedPolicyHandler(Protocol):
    """A policy that takes stacked batches: with ``PolicyServer(..., batched=True)``.

    As `PolicyHandler`, but for what ``predict_action`` is given.
    """

    def predict_action(
        self,
        observations: StackedObservations,
        *,
        policy_kwargs: dict[str, Any] | None = None,
        episode_ids: tuple[str, ...] | None = None,
    ) -> Array:
        """Returns the action for a batch of observations.

        Args:
            observations: For each key one array of shape (batch, ...), or a list of texts.
                Writable, and the handler's own, as long as it keeps them.
            policy_kwargs: As of `PolicyHandler`.
            episode_ids: As of `PolicyHandler`.

        Returns:
            An array whose first dimension is the batch.

        Raises:
            Exception: As of `PolicyHandler`.
        """
        ...

    def reset(self, episode_ids: tuple[str, ...] | None = None) -> None:
        """As of `PolicyHandler`."""
        ...

    def model_info(self) -> str:
        """As of `PolicyHandler`."""
        ...


@runtime_checkable
class WarmingHandler(PolicyHandler, Protocol):
    """A policy that has something to do before its first call. Optional.

    The server calls `warmup` once, on the policy's thread, when it listens already.
    Calls that come meanwhile wait for it, as long as their deadlines allow, and health
    checks say that the server is not ready.
    """

    def warmup(self) -> None:
        """Does what would make the first call slow: compiling, loading, a first run.

        Raises:
            Exception: The server logs it and stops.
        """
        ...


@runtime_checkable
class ReadinessHandler(PolicyHandler, Protocol):
    """A policy that says itself whether it is ready. Optional.

    For load balancers and people; calls are answered all the same.
    """

    def is_ready(self) -> bool:
        """Returns whether calls shall be sent here.

        Asked on the policy's thread after `WarmingHandler.warmup`, when somebody asks for
        its health and it has nothing else to do, and again each second while somebody
        watches. One that raises is not ready.
        """
        ...


@runtime_checkable
class SpecHandler(PolicyHandler, Protocol):
    """A policy that says what it expects of its callers. Optional.

    Callers learn it with ``client.observation_spec()``, and a request that is something else
    never reaches the policy: its caller gets INVALID_ARGUMENT with all that is wrong.
    """

    def observation_spec(self) -> ObservationSpec | None:
        """Returns what each observation and ``policy_kwargs`` shall be; None for anything.

        Asked once, on the policy's thread, after `WarmingHandler.warmup` and before all
        calls.

        Raises:
            Exception: The server logs it and stops.
        """
        ...
