# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Ray, or an error that says how to get it."""

from __future__ import annotations

try:
    import ray
    from ray import serve
except ImportError as error:
    raise ImportError(
        f"praxis_remote.ray needs Ray Serve, which cannot be imported ({error}); "
        "pip install 'praxis-remote[ray]'"
    ) from error

__all__ = ["node_address", "node_resource", "ray", "serve"]


def node_address() -> str:
    """Returns the address by which Ray knows this machine."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray's
    return address


def node_resource() -> str | None:
    """Returns the resource that this machine alone has; None if it is none of the cluster's."""
    name = f"node:{node_address()}"
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's
    return name if name in resources else None
