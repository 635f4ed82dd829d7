# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A server's side of specs: the policy is asked once, requests are checked, clients are told."""

from __future__ import annotations

from collections.abc import Callable

from ..calls import Deadline
from ..codec import PredictCall
from ..errors import HandlerError, InvalidArgumentError
from ..scheduler import Scheduler
from ..schema.generated_specs import SpecRequest, SpecResponse
from .fit import Fit
from .messages import encode_spec
from .problems import explain
from .spec import ObservationSpec

__all__ = ["Specs"]


class Specs:
    """What a policy expects, once it has said so.

    Args:
        handler: The policy; it may have the method of `SpecHandler`.
        scheduler: The thread on which it is asked.
    """

    def __init__(self, handler: object, scheduler: Scheduler) -> None:
        self._method: Callable[[], object] | None = getattr(handler, "observation_spec", None)
        self._scheduler = scheduler
        self._asked = self._method is None
        self._fit: Fit | None = None
        self._response = encode_spec(None)

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
        if isinstance(spec, ObservationSpec):
            self._fit, self._response = Fit(spec), encode_spec(spec)
        elif spec is not None:
            raise HandlerError(
                f"the policy's observation_spec() returned a {type(spec).__name__}; "
                "return a praxis_remote.specs.ObservationSpec, or None for none"
            )
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether it is known what the policy expects. Before, no request can be checked."""
        return self._asked

    def fits(self, request: PredictCall) -> bool:
        """Returns whether a request is what the policy expects, as far as that is known.

        It takes some 0.2 µs for each key, much less than it took to decode: an event loop may
        ask, so that a wrong request is refused while the policy works, and takes nothing of its
        time.
        """
        return self._fit is None or self._fit(request.observations, request.policy_kwargs)

    def check(self, request: PredictCall) -> None:
        """Tells what is wrong with a request, which may take long in Python.

        Raises:
            InvalidArgumentError: It is not what the policy expects; all of it is told.
        """
        if self._fit is not None and not self.fits(request):
            raise InvalidArgumentError(
                explain(self._fit, request.observations, request.policy_kwargs)
            )

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
