# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that remembers each of its episodes: what it saw last, and what it is about to do.

``policy`` is what gets served; ``docs/how-to/episodes.md`` explains it. Serve it with::

    python -m praxis_remote serve examples.stateful.policy:TrackingPolicy --episode-ttl 600
"""
