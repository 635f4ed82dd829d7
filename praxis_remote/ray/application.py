# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy as an application of Ray Serve: one deployment of replicas, one ingress."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import Any

from ..address import DEFAULT_PORT, check_address
from ..batching import DEFAULT_MAX_BATCH_DELAY, Batching
from ..calls import check_timeout
from ..errors import InvalidValueError, UnsupportedTypeError
from ..framing import DEFAULT_MAX_MESSAGE_SIZE, check_max_message_size
from ..limits import DEFAULT_MAX_PENDING, Limits
from ..protocol import BatchedPolicyHandler, PolicyHandler
from ..routing.server import DEFAULT_EPISODE_TTL
from ..tls import ServerTLSLike
from ..tokens import TokensLike
from .autoscaling import autoscaling_config
from .engine import serve
from .ingress import Ingress
from .options import Autoscaling, IngressOptions, RayOptions
from .replica import Replica

__all__ = ["INGRESS", "POLICY", "application"]

INGRESS, POLICY = "ingress", "policy"
"""The deployments' names."""

# What is left to stop after the calls had their seconds.
_STOP_SECONDS = 5.0
_DRAIN_LOOK_SECONDS = 0.1

# Of an ingress at once; each replica has one when it comes.
_REGISTRATIONS = 10_000


def application(
    policy: Callable[..., PolicyHandler | BatchedPolicyHandler],
    *args: object,
    replicas: int | None = None,
    autoscaling: Autoscaling | None = None,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    ray_actor_options: RayOptions | None = None,
    ingress_actor_options: RayOptions | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    replica_host: str | None = None,
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    max_pending: int = DEFAULT_MAX_PENDING,
    max_batch_size: int = 1,
    max_batch_delay: float = DEFAULT_MAX_BATCH_DELAY,
    batched: bool = False,
    episode_ttl: float | None = None,
    limits: Limits | None = None,
    tls: ServerTLSLike | None = None,
    tokens: TokensLike | None = None,
    grace: float = 10.0,
    health_check_seconds: float = 10.0,
) -> serve.Application:
    """Returns an application for ``serve run my_module:app`` or ``serve.run(app)``.

    Args:
        policy: Makes the policy, in each replica: its class, or a function.
        *args: What it is called with. For keyword arguments pass a ``functools.partial``.
        replicas: How many there are; None for 1, or for ``autoscaling``.
        autoscaling: Between which numbers Ray Serve chooses, and how.
        num_cpus: Of a replica, which Ray reserves.
        num_gpus: Of a replica; it sees these and no others. May be a part of one.
        ray_actor_options: More of what Ray takes for the replicas.
        ingress_actor_options: The same for the ingress; ``{"num_cpus": 1}`` if None.
        host: The interface on which the ingress listens, on the node where it runs. The
            default is reached from that node only.
        port: Where it listens.
        replica_host: The interface on which replicas listen for the ingress; None for that by
            which Ray knows their node. Whoever calls them must show a token that nobody has
            but the ingress; observations and actions pass in the clear.
        max_message_size: Bytes of a request or a response.
        max_pending: Calls that may wait at each replica.
        max_batch_size: Observations that a replica may hand to its policy at once, those of
            several clients together; see `PolicyServer`.
        max_batch_delay: Seconds for which a batch that is not full may be held back.
        batched: Whether the policy takes stacked batches.
        episode_ttl: Seconds after its last call until an episode is over: its replica's policy is
            told, and its next call may go to another one. None: the policy is never told, and
            it has its place for an hour.
        limits: What clients are granted in connections, memory and time.
        tls: As for `PolicyServer`; its files must be there on the ingress's node.
        tokens: Likewise.
        grace: Seconds that running calls get when a replica or the ingress is to stop.
        health_check_seconds: How often Ray Serve asks replicas and ingress how they are.

    Raises:
        TypeError: ``policy`` cannot be called.
        ValueError: A number, host or port that cannot be; ``replicas`` and ``autoscaling``
            are both given.
    """
    given: object = policy  # from programs without types it may be anything
    if not callable(given):
        raise UnsupportedTypeError(
            f"policy: {type(policy).__name__}; pass its class, or a function that makes it: "
            "each replica makes one of its own"
        )
    if autoscaling is not None and replicas is not None:
        raise InvalidValueError("replicas and autoscaling: both are given; pass one")
    if replicas is not None and not replicas >= 1:
        raise InvalidValueError(f"replicas: {replicas!r}; at least 1 is needed")
    check_address(host, port, lowest_port=0)
    check_max_message_size(max_message_size)
    # Whoever else reaches the replicas' ports shall not call them.
    token = secrets.token_urlsafe(32)
    common: dict[str, Any] = {
        "health_check_period_s": health_check_seconds,
        "graceful_shutdown_timeout_s": grace + _STOP_SECONDS,
        "graceful_shutdown_wait_loop_s": _DRAIN_LOOK_SECONDS,
    }
    scaling: dict[str, Any] = (
        {"num_replicas": replicas or 1}
        if autoscaling is None
        else {"autoscaling_config": autoscaling_config(autoscaling)}
    )
    actor = {"num_cpus": num_cpus, "num_gpus": num_gpus, **(ray_actor_options or {})}
    deployment = serve.deployment(name=POLICY, ray_actor_options=actor, **scaling, **common)(
        Replica
    )
    Batching(max_batch_size, max_batch_delay, batched)  # checks them
    server = {
        "max_message_size": max_message_size,
        "max_pending": max_pending,
        "max_batch_size": max_batch_size,
        "max_batch_delay": max_batch_delay,
        "batched": batched,
        "episode_ttl": check_timeout(episode_ttl),
    }
    make = functools.partial(policy, *args)
    ingress = serve.deployment(
        name=INGRESS,
        num_replicas=1,
        max_ongoing_requests=_REGISTRATIONS,
        ray_actor_options=dict(ingress_actor_options or {"num_cpus": 1}),
        **common,
    )(Ingress)
    placed = DEFAULT_EPISODE_TTL if episode_ttl is None else episode_ttl
    options = IngressOptions(host, port, max_message_size, placed, limits, tls, tokens)
    return ingress.bind(
        deployment.bind(make, server, token, INGRESS, grace, replica_host), options, token, grace
    )
