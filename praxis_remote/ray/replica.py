# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One replica: a policy, its server, and that the ingress knows of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..logs import event
from ..protocol import BatchedPolicyHandler, PolicyHandler
from ..scheduler import Scheduler
from ..server import PolicyServer
from ..stage import Stage
from .autoscaling import CALLS
from .engine import node_address, serve
from .options import ServerOptions

__all__ = ["Replica"]

log = logging.getLogger("praxis_remote.ray")

# How often a replica looks whether the ingress has a connection to it: one that began anew
# knows of nobody.
_LOOK_SECONDS = 0.5
_WARMING_LOOK_SECONDS = 0.02


class Replica:
    """The class of the deployment that has the policy.

    Args:
        make: Makes the policy, on the thread on which it runs.
        options: Of its server.
        token: Which the ingress shows.
        ingress: The name of the deployment to tell.
        grace: Seconds that calls get to finish when the replica is to stop.
        host: The interface to listen on; None for that by which Ray knows the node.
    """

    async def __init__(  # type: ignore[misc]  # Ray Serve awaits it
        self,
        make: Callable[[], PolicyHandler | BatchedPolicyHandler],
        options: ServerOptions,
        token: str,
        ingress: str,
        grace: float,
        host: str | None,
    ) -> None:
        self._grace = grace
        self._attending: asyncio.Task[None] | None = None
        context = serve.get_replica_context()
        self._name = context.replica_tag
        self._ingress = serve.get_deployment_handle(ingress, app_name=context.app_name)
        # A GPU's context belongs to a thread.
        scheduler = Scheduler()
        handler = await asyncio.to_thread(scheduler.call, make)
        self._server = PolicyServer(
            handler,
            host=host or node_address(),
            port=0,
            tokens=[token],
            scheduler=scheduler,
            **options,
        )
        self._server.serve(block=False)
        while self._server.stage is Stage.WARMING:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(_WARMING_LOOK_SECONDS)
        self._check()
        await self._tell()
        self._attending = asyncio.create_task(self._attend())

    def _check(self) -> None:
        if self._server.stage is not Stage.SERVING:
            raise RuntimeError("the policy's server has stopped; the log says why")

    async def _tell(self) -> None:
        await self._ingress.register.remote(self._name, self._server.address)

    async def _attend(self) -> None:
        """Tells the ingress again whenever it has lost this replica."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._server.stage is Stage.SERVING and not self._server.status().connections:
                try:
                    await self._tell()
                except Exception as error:  # whatever Ray has for an ingress that is not there
                    text = "the ingress does not take this replica yet: %s"
                    fields = event("waiting", address=self._server.address)
                    log.warning(text, error, extra=fields)

    async def check_health(self) -> None:
        """Raises when the replica is to be replaced. Called by Ray Serve."""
        self._check()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Returns the calls that run or wait. Called by Ray Serve."""
        return {CALLS: float(self._server.status().in_flight)}

    async def __del__(self) -> None:
        """Lets calls finish. Called by Ray Serve before it ends the process."""
        if (server := getattr(self, "_server", None)) is not None:
            if self._attending is not None:
                self._attending.cancel()
            # The ingress sends what it refuses from now on to other replicas.
            await asyncio.to_thread(server.stop, grace=self._grace)
