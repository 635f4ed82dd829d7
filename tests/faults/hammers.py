# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Eight callers that share a client and never rest."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from types import TracebackType
from typing import Any

from typing_extensions import Self

from praxis_remote import AsyncPolicyClient, PolicyClient
from praxis_remote.errors import UnavailableError

from .endpoint import observe, read_number
from .ends import WAIT

_CALLERS = 8


class Hammer:
    """Calls while the with block lasts, and counts what comes back.

    Attributes:
        outcomes: How many calls ended how.
        wrong: What must not come back.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._ended = False
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []

    def wait_for(self, outcome: str, more: int) -> None:
        """Waits until so many calls more have ended like this."""
        with self._changed:
            enough = self.outcomes[outcome] + more
            assert self._changed.wait_for(lambda: self.outcomes[outcome] >= enough, WAIT)

    def _next(self) -> tuple[int, list[dict[str, Any]]]:
        number = next(self._numbers)
        # Each answer has a size of its own as well.
        return number, observe(number, floats=number % 997 + 1)

    def _count(self, number: int, action: Any) -> None:
        try:
            if isinstance(action, BaseException):
                raise action
            right = (read_number(action), action.size) == (number, number % 997 + 1)
            outcome = "own action" if right else f"{number} got {action}"
        except Exception as error:
            outcome = type(error).__name__ if isinstance(error, UnavailableError) else repr(error)
        with self._changed:
            if outcome not in ("own action", UnavailableError.__name__):
                self.wrong.append(outcome)
            self.outcomes[outcome] += 1
            self._changed.notify_all()

    def _begin(self) -> list[threading.Thread]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._threads = self._begin()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"


class BlockingHammer(Hammer):
    """Eight threads."""

    def _begin(self) -> list[threading.Thread]:
        client = PolicyClient(*self._address, timeout=WAIT)
        rest = threading.Barrier(_CALLERS, client.close)
        return [
            threading.Thread(target=self._call, args=[client, rest], daemon=True)
            for _ in range(_CALLERS)
        ]

    def _call(self, client: PolicyClient, rest: threading.Barrier) -> None:
        while not self._ended:
            number, batch = self._next()
            try:
                self._count(number, client.predict_action(batch))
            except Exception as error:
                self._count(number, error)
        rest.wait(WAIT)


class AsyncHammer(Hammer):
    """Eight tasks of one loop."""

    def _begin(self) -> list[threading.Thread]:
        return [threading.Thread(target=lambda: asyncio.run(self._call_at_once()), daemon=True)]

    async def _call_at_once(self) -> None:
        async with AsyncPolicyClient(*self._address, timeout=WAIT) as client:
            await asyncio.gather(*(self._call(client) for _ in range(_CALLERS)))

    async def _call(self, client: AsyncPolicyClient) -> None:
        while not self._ended:
            number, batch = self._next()
            try:
                self._count(number, await client.predict_action(batch))
            except Exception as error:
                self._count(number, error)


HAMMERS = [BlockingHammer, AsyncHammer]
