# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What listens where a policy runs several times."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence

from typing_extensions import override

from ..address import DEFAULT_PORT
from ..calls import check_timeout
from ..framing import DEFAULT_MAX_MESSAGE_SIZE
from ..limits import Limits
from ..records import CallObserver
from ..server import PolicyServer
from ..service import PolicyService
from ..tls import ServerTLSLike
from ..tokens import TokensLike
from .owners import Owners
from .replicas import Replicas
from .service import Face, RoutingService

__all__ = ["DEFAULT_EPISODE_TTL", "RoutingServer"]

DEFAULT_EPISODE_TTL = 3600.0
"""Seconds after which an episode that is not seen loses its place."""


class RoutingServer(PolicyServer):
    """A policy that runs several times, behind one address.

    Each episode stays with one replica, from its first call until it is reset, the replica is
    gone, or it is not seen for ``episode_ttl``. A batch of which several replicas have
    episodes is split, and their actions are put together in its order; calls without episode
    ids stay with one replica for each session.

    Args:
        episode_ttl: Seconds after which an episode that is not seen loses its place.
        replica_token: The token that replicas want to see.
        host: As for `PolicyServer`, and so are all others.
        port: See there.
        max_message_size: See there.
        limits: See there.
        observers: See there.
        tls: See there.
        tokens: See there.

    Raises:
        ValueError: ``episode_ttl`` is not positive, or as for `PolicyServer`.
    """

    def __init__(
        self,
        *,
        episode_ttl: float = DEFAULT_EPISODE_TTL,
        replica_token: str | None = None,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        limits: Limits | None = None,
        observers: Sequence[CallObserver] = (),
        tls: ServerTLSLike | None = None,
        tokens: TokensLike | None = None,
    ) -> None:
        ttl = check_timeout(episode_ttl)
        owners = Owners(float("inf") if ttl is None else ttl)
        self._replicas = Replicas(owners, max_message_size, replica_token)
        super().__init__(
            Face(self._replicas),
            host=host,
            port=port,
            max_message_size=max_message_size,
            limits=limits,
            observers=observers,
            tls=tls,
            tokens=tokens,
        )

    @override
    def _service_class(self) -> type[PolicyService]:
        return RoutingService

    def add(self, name: str, address: str) -> concurrent.futures.Future[None]:
        """Takes a replica, while the server serves. May be called in any thread.

        Args:
            name: By which it is known; one with the same name is replaced.
            address: Where it listens.

        Returns:
            What is done once calls may go there, and has the `RemoteError` if it cannot be
            reached.
        """
        with self._lock:
            if self._loop is None:
                raise RuntimeError("the server does not serve; call serve(block=False) before")
            return asyncio.run_coroutine_threadsafe(self._replicas.add(name, address), self._loop)

    def episodes(self) -> dict[str, int]:
        """Returns how many episodes each replica has. May be called in any thread."""
        return self._replicas.loads()

    @override
    async def _main(self, ready: concurrent.futures.Future[None]) -> None:
        try:
            await super()._main(ready)
        finally:
            await self._replicas.close()
