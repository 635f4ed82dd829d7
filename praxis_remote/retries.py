# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Which errors let a call be sent again, and when that is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from .backoff import Backoff
from .calls import Deadline
from .errors import MessageTooLargeError, RemoteError, StatusCode

T = TypeVar("T")

MayRepeat: TypeAlias = Callable[[RemoteError], bool]
"""Tells whether a call that came to this may be sent again."""

_PASSING = (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED)


def if_never_ran(error: RemoteError) -> bool:
    """For a call that must not run twice: what hindered it may pass, and it did not run."""
    passing = error.code() in _PASSING and not isinstance(error, MessageTooLargeError)
    return passing and error.never_ran


def if_unavailable(error: RemoteError) -> bool:
    """For a call that may run twice: its connection may have been lost meanwhile."""
    return error.code() is StatusCode.UNAVAILABLE or if_never_ran(error)


async def repeat(
    call: Callable[[], Awaitable[T]],
    retries: int,
    may_repeat: MayRepeat,
    deadline: Deadline | None,
    *,
    backoff: Backoff | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Calls until it goes well, or must not be tried again.

    Args:
        call: What to do.
        retries: How often to repeat it.
        may_repeat: Which errors are worth it.
        deadline: After which nothing is begun.
        backoff: The pauses.
        sleep: Waits for a number of seconds.
        clock: The deadline's.

    Raises:
        RemoteError: The last one, which tells the number of tries; that the call never
            ran only if no try did.
    """
    backoff = backoff or Backoff()
    tries, never_ran = 1, True
    while True:
        try:
            return await call()
        except RemoteError as error:
            never_ran = error.never_ran = never_ran and error.never_ran
            pause = backoff.next()
            late = deadline is not None and deadline.remaining(clock) <= pause
            if late or tries > retries or not may_repeat(error):
                if tries > 1:
                    error.add_tries(tries)
                raise
        await sleep(pause)
        tries += 1
