# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Whether calls shall be sent to a policy: how far its server is, and what it says itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .calls import Deadline
from .errors import HandlerError, RemoteError
from .logs import event
from .scheduler import Scheduler
from .stage import Progress, Stage

__all__ = ["Readiness"]

log = logging.getLogger("praxis_remote.server")

# How often a policy is asked while somebody watches.
_ASK_SECONDS = 1.0

_WHY_NOT: dict[Stage, str] = {
    Stage.STARTING: "starting: calls wait until the server serves",
    Stage.WARMING: "warming: the policy warms up, and calls wait for that",
    Stage.SERVING: "serving, but the policy says that it is not ready",
    Stage.DRAINING: "draining: the server takes no more calls",
}


class Readiness:
    """What is known of a policy's readiness.

    Args:
        handler: The policy; it may have the methods of `WarmingHandler` and
            `ReadinessHandler`.
        scheduler: The thread on which it is asked.
        progress: How far its server is.
    """

    def __init__(self, handler: object, scheduler: Scheduler, progress: Progress) -> None:
        self._scheduler = scheduler
        self._progress = progress
        self._warmup: Callable[[], object] | None = getattr(handler, "warmup", None)
        self._is_ready: Callable[[], object] | None = getattr(handler, "is_ready", None)
        self._willing = self._is_ready is None
        self._complained = False
        # The readiness of which all watchers know.
        self._told = self.ready
        self._watchers: list[Callable[[], None]] = []
        self._asking: asyncio.Task[None] | None = None

    @property
    def stage(self) -> Stage:
        """How far the server is."""
        return self._progress.stage

    @property
    def ready(self) -> bool:
        """Whether calls shall be sent."""
        return self.stage is Stage.SERVING and self._willing

    @property
    def why_not(self) -> str:
        """The stage and what it means, for people who find it not ready."""
        return _WHY_NOT[self.stage]

    # ------------------------------------------------------------ start

    def begin(self) -> None:
        """Takes the news that the server answers from now on."""
        # A policy that has nothing to say is ready before anybody can ask.
        silent = self._warmup is None and self._is_ready is None
        self._progress.enter(Stage.SERVING if silent else Stage.WARMING)

    def warm_up(self) -> None:
        """Has the policy warm up. Called on its thread, before all calls.

        Raises:
            HandlerError: It failed.
        """
        if self._warmup is not None:
            begun = time.monotonic()
            log.info("the policy warms up", extra=event("warming"))
            try:
                self._warmup()
            except BaseException as error:  # a policy may raise anything, SystemExit included
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise HandlerError(f"the policy's warmup() failed: {text}") from error
            seconds = time.monotonic() - begun
            fields = event("warmed", seconds=seconds)
            log.info("the policy warmed up in %.1f s", seconds, extra=fields)
        self.refresh()

    def warmed_up(self) -> None:
        """Takes the news that it has."""
        self._progress.enter(Stage.SERVING)
        self._tell()

    # ------------------------------------------------------------ questions

    def refresh(self) -> None:
        """Asks the policy. Called on its thread."""
        if self._is_ready is None:
            return
        try:
            answer = self._is_ready()
            self._willing = bool(answer)
        except BaseException:  # as above
            fields = event("policy_failed", method="is_ready")
            log.exception("the policy's is_ready failed", extra=fields)
            self._willing = False
        else:
            self._complain_of_none(answer)

    def _complain_of_none(self, answer: object) -> None:
        # Most likely a return that was forgotten, of which nothing else would tell.
        if answer is None and not self._complained:
            self._complained = True
            text = "the policy's is_ready returned None, which is taken as False; return a bool"
            log.warning(text, extra=event("policy_failed", method="is_ready"))

    async def ask(self, deadline: Deadline | None = None) -> None:
        """Asks the policy, if it has nothing else to do; else its last word has to do.

        Raises:
            RemoteError: It did not answer in time.
        """
        if self._is_ready is None or self.stage is not Stage.SERVING or not self._scheduler.idle:
            return
        await self._scheduler.run(self.refresh, deadline)
        self._tell()

    @contextmanager
    def watching(self, wake: Callable[[], None]) -> Iterator[None]:
        """Has the policy asked again and again, and ``wake`` called when its answer changes."""
        self._tell()
        self._watchers.append(wake)
        if self._asking is None and self._is_ready is not None:
            self._asking = asyncio.get_running_loop().create_task(self._keep_asking())
        try:
            yield
        finally:
            self._watchers.remove(wake)
            if self._asking is not None and not self._watchers:
                self._asking.cancel()
                self._asking = None

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            with suppress(RemoteError):
                await self.ask()

    def _tell(self) -> None:
        # Thousands may watch, nearly always in vain.
        if (ready := self.ready) is not self._told:
            self._told = ready
            for wake in list(self._watchers):
                wake()
