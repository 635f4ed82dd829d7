# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One address for a policy that runs several times: each call goes to whom its episodes are with.

`layout` takes a request apart and `merging` puts answers together; `owners` remembers who has
which episode; `replicas` holds the connections; `service` answers calls with them, and
`server` is what listens. How replicas are started and found is decided elsewhere.
"""

from .server import RoutingServer

__all__ = ["RoutingServer"]
