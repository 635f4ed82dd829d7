# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Ends the episodes that are over: the policy is told through its ``reset``, on its thread.

A call and the end of its episode never mix: one that comes before the policy is told
keeps its episode, and one that comes later runs after that, as the first of a new one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from .episodes import REASONS, Episodes, Reason
from .errors import InvalidArgumentError, InvalidValueError
from .flags import as_flag, is_number
from .http2 import ServerCall
from .logs import event
from .protocol import BatchedPolicyHandler, PolicyHandler
from .scheduler import Scheduler
from .sessions import Sessions

__all__ = ["RECONNECT_SECONDS", "Eviction", "Lifetime", "check_lifetime"]

log = logging.getLogger("praxis_remote.server")

T = TypeVar("T")

Handler = PolicyHandler | BatchedPolicyHandler

RECONNECT_SECONDS = 10.0
"""For a client whose connection has closed to go on with its episodes on another one."""


class Lifetime(NamedTuple):
    """When episodes are over.

    Attributes:
        ttl: Seconds after the last call; None for never.
        on_disconnect: Whether they end with the connection of their client.
    """

    ttl: float | None = None
    on_disconnect: bool = False


def check_lifetime(handler: Handler, ttl: float | None, *, on_disconnect: bool) -> Lifetime | None:
    """Returns when a policy's episodes are over; None if nobody but clients says so.

    Raises:
        InvalidValueError: The seconds are none.
        TypeError: The policy cannot be told which episodes are over, or ``on_disconnect`` is
            no bool.
    """
    if ttl is not None and not (is_number(ttl) and 0 < ttl < math.inf):
        raise InvalidValueError(
            f"episode_ttl: {ttl!r}; pass seconds, more than 0, or None to end no episode by time"
        )
    advice = f"a client has {RECONNECT_SECONDS:g} s to connect again"
    on_disconnect = as_flag(on_disconnect, "end_episodes_on_disconnect", advice)
    lifetime = Lifetime(None if ttl is None else float(ttl), on_disconnect)
    if lifetime == Lifetime():
        return None
    option = "end_episodes_on_disconnect" if ttl is None else "episode_ttl"
    _check_reset(handler, option)
    return lifetime


def _check_reset(handler: Handler, option: str) -> None:
    try:
        signature = inspect.signature(handler.reset)
    except (TypeError, ValueError):
        return  # some compiled functions do not tell
    try:
        signature.bind(episode_ids=("a",))
    except TypeError as error:
        raise TypeError(
            f"handler: {type(handler).__name__}.reset{signature} cannot be told which episodes "
            f"are over: {error}; {option} needs reset(self, episode_ids=None)"
        ) from None


class Eviction:
    """Has the policy forget the episodes that are over.

    All but the telling is done in the event loop's turns.

    Args:
        handler: The policy.
        scheduler: Its thread.
        lifetime: When episodes are over.
        most: Episodes that may be remembered; see `Episodes`.
        clock: Seconds.

    Attributes:
        ended: How many episodes it has ended, for each reason.
    """

    def __init__(
        self,
        handler: Handler,
        scheduler: Scheduler,
        lifetime: Lifetime,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handler = handler
        self._scheduler = scheduler
        self._with_sessions = lifetime.on_disconnect
        sessions = Sessions(RECONNECT_SECONDS) if lifetime.on_disconnect else None
        self._episodes = Episodes(lifetime.ttl, most, sessions)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf
        # Whether the thread has a job to take what is over.
        self._told = self._closed = False
        self.ended: Counter[Reason] = Counter(dict.fromkeys(REASONS, 0))

    @property
    def remembered(self) -> int:
        """How many episodes there are."""
        return len(self._episodes)

    # ------------------------------------------------------------ calls

    async def predicting(
        self, call: ServerCall, names: Sequence[str], running: Coroutine[Any, Any, T]
    ) -> T:
        """Has a call run that uses these episodes."""
        self._begin(call, names, running)
        try:
            return await running
        finally:
            self._end(call, names)

    async def resetting(
        self, call: ServerCall, names: Sequence[str], running: Coroutine[Any, Any, T]
    ) -> T:
        """Has a call run that ends these episodes, or all if there are none."""
        self._begin(call, names, running)
        forgotten = False
        try:
            result = await running
            forgotten = True
            return result
        finally:
            self._end(call, names, forgotten=forgotten)
            if forgotten and not names:
                self._episodes.forget_all()

    def _begin(
        self, call: ServerCall, names: Sequence[str], running: Coroutine[Any, Any, T]
    ) -> None:
        key = call.caller if self._with_sessions else None
        try:
            self._episodes.begin(names, key, call.connection)
        except InvalidArgumentError:
            running.close()
            raise

    def _end(self, call: ServerCall, names: Sequence[str], *, forgotten: bool = False) -> None:
        self._episodes.end(names, self._clock(), ran=call.ran, forgotten=forgotten)
        if self._timer is None or self._episodes.any_over:
            self._go_on()

    def disconnected(self, connection: object) -> None:
        """Takes the news that a connection is closed."""
        self._episodes.disconnected(connection, self._clock())
        self._go_on()

    # ------------------------------------------------------------ time

    def look(self) -> None:
        """Finds what is over, and has the policy told."""
        self._timer, self._timer_due = None, math.inf
        self._episodes.look(self._clock())
        self._go_on()

    def _go_on(self) -> None:
        if self._closed:
            return
        if self._episodes.any_over and not self._told:
            self._told = True
            self._scheduler.post(self._tell)
        due = self._episodes.next_due
        if due is not None and due < self._timer_due:
            self._cancel_timer()
            delay = max(0.0, due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.look)
            self._timer_due = due

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, math.inf

    def close(self) -> None:
        """Ends nothing from now on."""
        self._closed = True
        self._cancel_timer()

    # ------------------------------------------------------------ the policy's thread

    def _tell(self) -> None:
        # In this order: what is over from now on is for the next job.
        self._told = False
        over = self._episodes.take()
        if not over:
            return  # calls came for all of them
        counts = Counter(over.values())
        self.ended.update(counts)
        try:
            self._handler.reset(episode_ids=tuple(over))
        except BaseException as error:  # a policy may raise anything, SystemExit included
            # Not tried again: it would most likely raise for ever.
            fields = event("policy_failed", method="reset", episodes=len(over))
            text = "the policy's reset failed for %d episodes that are over: %s"
            log.exception(text, len(over), error, extra=fields)
            return
        reason = _in_words(counts)
        fields = event("episodes_ended", episodes=len(over), reason=reason)
        log.info("ended episodes: %s", reason, extra=fields)


def _in_words(counts: Mapping[Reason, int]) -> str:
    return ", ".join(
        f"{counts[reason]} {text}" for reason, text in REASONS.items() if reason in counts
    )
