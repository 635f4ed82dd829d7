# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How many replicas Ray Serve shall run. Called in its controller.

Serve counts the calls of its own handles, through which ours do not go; so each replica
tells how many it has.
"""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingConfig, AutoscalingContext

from .options import Autoscaling

__all__ = ["CALLS", "autoscaling_config", "calls_per_replica"]

CALLS = "praxis_calls"
"""What a replica tells: its calls that run or wait."""

# Seconds from one look at the calls to the next, of Ray's own; several shall be averaged.
_INTERVAL = 10.0


def calls_per_replica(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """Returns how many replicas would have as many calls each as they should.

    An autoscaling policy of Ray Serve, which applies delays and bounds to it.
    """
    calls = sum((context.aggregated_metrics or {}).get(CALLS, {}).values())
    assert isinstance(context.config, AutoscalingConfig)
    return calls / context.config.get_target_ongoing_requests(), {}


def autoscaling_config(autoscaling: Autoscaling) -> AutoscalingConfig:
    """Returns what Ray Serve takes."""
    options: dict[str, Any] = {
        "min_replicas": autoscaling.min_replicas,
        "max_replicas": autoscaling.max_replicas,
        "target_ongoing_requests": autoscaling.target_calls,
        "upscale_delay_s": autoscaling.upscale_seconds,
        "downscale_delay_s": autoscaling.downscale_seconds,
        "look_back_period_s": autoscaling.look_back_seconds,
        "policy": {"policy_function": calls_per_replica},
    }
    if autoscaling.look_back_seconds < 2 * _INTERVAL:
        # Deprecated for a variable of the environment, which is not ours to set.
        options["metrics_interval_s"] = autoscaling.look_back_seconds / 4
    options.update(autoscaling.more)
    return AutoscalingConfig(**options)
