# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that is deployed, and can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from typing_extensions import Self, Unpack

from ..protocol import BatchedPolicyHandler, PolicyHandler
from .application import INGRESS, application
from .engine import node_resource, ray, serve
from .options import ApplicationOptions

__all__ = ["DEFAULT_NAME", "Deployed", "deploy"]

DEFAULT_NAME = "praxis-remote"

_SHARE_OF_NODE = 0.001


class Deployed:
    """An application that runs.

    Args:
        name: Of the application.

    Example:
        ```python
        with deploy(MyPolicy, replicas=4, num_gpus=1) as deployed:
            print(deployed.address)
        ```
    """

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        self.name = name

    @property
    def host(self) -> str:
        """The host where clients find the ingress."""
        return self._where()[0]

    @property
    def port(self) -> int:
        """The port where they do."""
        return self._where()[1]

    @property
    def address(self) -> str:
        """Where they do, as ``host:port``."""
        host, port = self._where()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def episodes(self) -> dict[str, int]:
        """Returns how many episodes each replica has that were used since they were reset."""
        episodes: dict[str, int] = self._ask("episodes")
        return episodes

    def _where(self) -> tuple[str, int]:
        host, port = self._ask("address")
        return str(host), int(port)

    def _ask(self, method: str) -> Any:
        handle = serve.get_deployment_handle(INGRESS, app_name=self.name)
        return getattr(handle, method).remote().result()

    def stop(self) -> None:
        """Stops the replicas and the ingress; calls that run get their grace."""
        serve.delete(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def deploy(
    policy: Callable[..., PolicyHandler | BatchedPolicyHandler],
    *args: object,
    name: str = DEFAULT_NAME,
    **options: Unpack[ApplicationOptions],
) -> Deployed:
    """Deploys a policy, and returns when it can be called.

    Connects to a Ray cluster or starts one if this process has none, and starts Ray Serve,
    without its HTTP proxy, if it does not run. The ingress runs on the node of this process
    unless ``ingress_actor_options`` say otherwise.

    Args:
        policy: Makes the policy, in each replica: its class, or a function.
        *args: What it is called with.
        name: Of the application; one with the same name is replaced.
        **options: As `application` takes them.

    Raises:
        RuntimeError: It could not be deployed; the log says why.
        TypeError: As for `application`.
        ValueError: As for `application`.
    """
    if not ray.is_initialized():
        ray.init()
    node = node_resource()
    if options.get("ingress_actor_options") is None and node is not None:
        options["ingress_actor_options"] = {"num_cpus": 1, "resources": {node: _SHARE_OF_NODE}}
    app = application(policy, *args, **options)
    serve.start(proxy_location="Disabled")
    serve.run(app, name=name, route_prefix=None)
    return Deployed(name)
