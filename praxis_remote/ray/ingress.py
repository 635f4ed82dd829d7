# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The ingress: the server that clients call, as a deployment of Ray Serve."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

from ray.serve.handle import DeploymentHandle

from ..routing import RoutingServer
from ..stage import Stage
from .engine import node_address
from .options import IngressOptions

__all__ = ["Ingress"]

_EVERYWHERE = ("0.0.0.0", "::")


class Ingress:
    """The class of the deployment that clients reach.

    Args:
        replicas: The deployment with the policy, which tells of itself.
        options: Of the server.
        token: Shown to the replicas.
        grace: Seconds that calls get to finish when it is to stop.
    """

    def __init__(
        self,
        replicas: DeploymentHandle[Any],  # noqa: ARG002 - Serve deploys what is passed
        options: IngressOptions,
        token: str,
        grace: float,
    ) -> None:
        self._grace = grace
        given = {each.name: getattr(options, each.name) for each in fields(options)}
        self._server = RoutingServer(replica_token=token, **given)
        self._server.serve(block=False)

    async def register(self, name: str, address: str) -> None:
        """Takes a replica, and returns once calls may go to it."""
        await asyncio.wrap_future(self._server.add(name, address))

    async def address(self) -> tuple[str, int]:
        """Returns the host and port where clients find it."""
        host = self._server.host
        return node_address() if host in _EVERYWHERE else host, self._server.port

    async def episodes(self) -> dict[str, int]:
        """Returns how many episodes each replica has."""
        return self._server.episodes()

    async def check_health(self) -> None:
        """Raises when the ingress is to be replaced. Called by Ray Serve."""
        if self._server.stage is Stage.DRAINING:
            raise RuntimeError("the server has stopped; the log says why")

    async def __del__(self) -> None:
        """Lets calls finish. Called by Ray Serve before it ends the process."""
        if (server := getattr(self, "_server", None)) is not None:
            await asyncio.to_thread(server.stop, grace=self._grace)
