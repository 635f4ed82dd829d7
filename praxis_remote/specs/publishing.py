# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server's side of specs: the policy is asked once, requests are checked, clients are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..calls import Deadline
from ..codec import QUICK_ITEMS, PredictCall
from ..errors import HandlerError, InvalidArgumentError
from ..scheduler import Scheduler
from ..schema.generated_specs import SpecRequest, SpecResponse
from .fit import Fit
from .messages import encode_spec
from .problems import explain
from .spec import ObservationSpec

__all__ = ["Specs"]


class Aside(Protocol):
    """Runs what takes long in Python where it keeps neither the loop nor the policy waiting."""

    def __call__(self, function: Callable[[], str], /) -> Awaitable[str]:
        """Returns what the function returns."""


class Specs:
    """What a policy expects, once it has said so.

    Args:
        handler: The policy; it may have the method of `SpecHandler`.
        scheduler: The thread on which it is asked.
        aside: Where requests are looked at that are long or wrong.

    Attributes:
        checks: Whether requests are checked; False for a policy that says nothing.
    """

    def __init__(self, handler: object, scheduler: Scheduler, aside: Aside) -> None:
        self._method: Callable[[], object] | None = getattr(handler, "observation_spec", None)
        self._scheduler = scheduler
        self._aside = aside
        self._asked = self._method is None
        self._fit: Fit | None = None
        self._response = encode_spec(None)
        self.checks = self._method is not None

    def ask(self) -> None:
        """Asks the policy. Called on its thread, once it is warm and before all calls.

        Raises:
            HandlerError: It failed, or returned something else.
        """
        if self._method is None:
            return
        try:
            spec = self._method()
        except BaseException as error:  # a policy may raise anything, SystemExit included
            text = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise HandlerError(f"the policy's observation_spec() failed: {text}") from error
        if spec is None:
            self.checks = False
        elif isinstance(spec, ObservationSpec):
            self._fit, self._response = Fit(spec), encode_spec(spec)
        else:
            raise HandlerError(
                f"the policy's observation_spec() returned a {type(spec).__name__}; "
                "return a praxis_remote.specs.ObservationSpec, or None for none"
            )
        self._asked = True

    async def check(self, request: PredictCall, deadline: Deadline | None) -> None:
        """Looks at a request, before it waits for the policy.

        On the event loop, where a request takes some 0.2 µs for each key, much less than it
        took to decode: what is wrong is told also while the policy works, and takes nothing of
        its time. Long requests go where long ones are decoded, and so do wrong ones, of which
        telling takes more.

        Raises:
            InvalidArgumentError: It is not what the policy expects; all of it is told.
            RemoteError: The policy did not say in time what it expects.
        """
        await self._wait(deadline)
        fit = self._fit
        if fit is None:
            return
        observations, policy_kwargs, _ = request
        items = sum(map(len, observations)) + len(policy_kwargs)
        if items <= QUICK_ITEMS and fit(observations, policy_kwargs):
            return
        text = await self._aside(lambda: explain(fit, observations, policy_kwargs))
        if text:
            raise InvalidArgumentError(text)

    async def get_observation_spec(
        self,
        request: SpecRequest,  # noqa: ARG002 - it asks nothing in particular
        deadline: Deadline | None,
    ) -> SpecResponse:
        """Answers one caller.

        Raises:
            RemoteError: The policy did not say it in time.
        """
        await self._wait(deadline)
        return self._response

    async def _wait(self, deadline: Deadline | None) -> None:
        """Waits until the policy was asked: calls that come before have their turn after that."""
        if not self._asked:
            await self._scheduler.run(_nothing, deadline)


def _nothing() -> None:
    """What the policy's thread does for those who wait only for what came before."""
