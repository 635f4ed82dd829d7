# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is said of an application before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict

from ..errors import InvalidValueError
from ..framing import DEFAULT_MAX_MESSAGE_SIZE
from ..limits import Limits
from ..routing.server import DEFAULT_EPISODE_TTL
from ..tls import ServerTLSLike
from ..tokens import TokensLike

__all__ = ["ApplicationOptions", "Autoscaling", "IngressOptions", "RayOptions", "ServerOptions"]

RayOptions: TypeAlias = Mapping[str, object]
"""What Ray's actors take, such as ``{"num_cpus": 2, "accelerator_type": "A100"}``."""


@dataclass(frozen=True)
class Autoscaling:
    """How many replicas there are, by the calls that run and wait.

    Args:
        min_replicas: At least; 1 or more, since nobody would wait for the first one.
        max_replicas: At most.
        target_calls: That run or wait at each replica. Twice what a policy takes at once
            keeps it busy.
        upscale_seconds: For which more are needed, before there are more.
        downscale_seconds: For which fewer would do, before there are fewer.
        look_back_seconds: Over which calls are averaged.
        more: Fields of Ray's ``AutoscalingConfig`` that have no name here.

    Raises:
        ValueError: ``min_replicas`` is below 1, or ``max_replicas`` below that.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target_calls: float = 2.0
    upscale_seconds: float = 30.0
    downscale_seconds: float = 600.0
    look_back_seconds: float = 30.0
    more: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise InvalidValueError(
                f"autoscaling: min_replicas={self.min_replicas}, "
                f"max_replicas={self.max_replicas}; "
                "allowed: 1 <= min_replicas <= max_replicas"
            )


class ApplicationOptions(TypedDict, total=False):
    """The options of `application`, by name, for those that pass them on."""

    replicas: int | None
    autoscaling: Autoscaling | None
    num_cpus: float
    num_gpus: float
    ray_actor_options: RayOptions | None
    ingress_actor_options: RayOptions | None
    host: str
    port: int
    replica_host: str | None
    max_message_size: int
    max_pending: int
    max_batch_size: int
    max_batch_delay: float
    batched: bool
    episode_ttl: float | None
    limits: Limits | None
    tls: ServerTLSLike | None
    tokens: TokensLike | None
    grace: float
    health_check_seconds: float


@dataclass(frozen=True)
class IngressOptions:
    """What the ingress's server is made with; see `RoutingServer`."""

    host: str = "127.0.0.1"
    port: int = 50051
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    episode_ttl: float = DEFAULT_EPISODE_TTL
    limits: Limits | None = None
    tls: ServerTLSLike | None = None
    tokens: TokensLike | None = None


ServerOptions: TypeAlias = Mapping[str, Any]
"""What a replica's `PolicyServer` is made with, by name."""
