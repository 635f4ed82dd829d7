# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What Prometheus is told of a server: counts, times, and how it stands at the moment.

Needs ``pip install 'praxis-remote[metrics]'``. Nothing else of the package imports it.

Example:
    ```python
    metrics = Metrics()
    server = PolicyServer(MyPolicy(), observers=[metrics])
    metrics.watch(server)
    with MetricsServer(metrics, port=9464):
        server.serve()
    ```
"""

from __future__ import annotations

try:
    import prometheus_client as _needed  # noqa: F401 - only whether it is there
except ImportError as error:
    raise ImportError(
        "metrics need prometheus-client; pip install 'praxis-remote[metrics]'"
    ) from error

from .collector import Metrics
from .server import DEFAULT_METRICS_PORT, MetricsServer

__all__ = ["DEFAULT_METRICS_PORT", "Metrics", "MetricsServer"]
