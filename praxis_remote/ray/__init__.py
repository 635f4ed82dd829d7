# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that runs several times on a Ray cluster, behind one address.

Ray Serve places the replicas, starts them anew when they fail, and says how many there are.
Observations and actions do not pass through Ray: each replica has a `PolicyServer` of its
own, and the ingress a `RoutingServer`, which sends each call to whom its episodes are with.
"""

from . import engine as engine  # first: it says what to install
from .application import application
from .autoscaling import calls_per_replica
from .deployed import Deployed, deploy
from .options import Autoscaling

__all__ = ["Autoscaling", "Deployed", "application", "calls_per_replica", "deploy"]
