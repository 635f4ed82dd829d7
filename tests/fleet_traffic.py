# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Clients of a fleet that call without a pause, and what each of their calls came to."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from command import TIMEOUT
from fleet import Envoy
from typing_extensions import Self

from praxis_remote import AsyncPolicyClient
from praxis_remote.errors import UnavailableError


@dataclass
class Session:
    """What the calls of one client came to, each by its name.

    Attributes:
        answers: The server that answered, and how many calls of the session it had then seen.
        failed: What was raised instead.
    """

    name: str
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    failed: dict[str, UnavailableError] = field(default_factory=dict)

    @property
    def home(self) -> int:
        """The server that answered last."""
        return next(reversed(self.answers.values()))[0]


class Traffic:
    """Clients, each of a session of its own, that call until the with block ends."""

    def __init__(self, envoy: Envoy, names: Sequence[str]) -> None:
        self._envoy = envoy
        self.sessions = [Session(name) for name in names]
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._running = self._pool.submit(lambda: asyncio.run(self._run()))

    def homes(self) -> dict[str, int]:
        """Returns where each session is now, from calls that were begun after this one."""
        # The next one may be under way.
        enough = {each.name: len(each.answers) + 2 for each in self.sessions}

        def answered() -> bool:
            assert not self._running.done(), self._running.result()
            return all(len(each.answers) >= enough[each.name] for each in self.sessions)

        self._envoy.wait_until(answered)
        return {each.name: each.home for each in self.sessions}

    async def _run(self) -> None:
        await asyncio.gather(*map(self._keep_calling, self.sessions))

    async def _keep_calling(self, session: Session) -> None:
        # What Envoy does not send again is lost.
        options: dict[str, Any] = {"timeout": TIMEOUT, "retries": 0, "session_id": session.name}
        async with AsyncPolicyClient("127.0.0.1", self._envoy.port, **options) as client:
            for number in itertools.count():
                if self._ended.is_set():
                    return
                call = f"{session.name} {number}"
                try:
                    server, seen = await client.predict_action([{"call": call}])
                except UnavailableError as error:
                    session.failed[call] = error
                else:
                    session.answers[call] = int(server), int(seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._pool.shutdown()
        self._running.result()
