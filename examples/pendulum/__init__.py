# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy swings up a batch of Gymnasium pendulums from another process.

``policy`` is what gets served, ``rollout`` the simulator's side, ``report`` draws
what happened, and ``demo`` puts the three together. Run it with::

    python -m examples.pendulum.demo
"""
