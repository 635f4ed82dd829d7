# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How much Hypothesis tries: the same few examples in every run, or new ones for hours.

``HYPOTHESIS_PROFILE=long`` is for the stateful tests (``make stateful``), which then try
``HYPOTHESIS_FACTOR`` times as many.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_NAME = os.environ.get("HYPOTHESIS_PROFILE", "repeatable")
_LONG_RUN = int(os.environ.get("HYPOTHESIS_FACTOR", "100"))

# The same examples in every run: a failure here is a failure everywhere.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile(
    "long",
    derandomize=False,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def load() -> None:
    """Makes the profile that the environment names the one of all tests."""
    settings.load_profile(_NAME)


def examples(count: int) -> int:
    """Returns how many examples a test has that would have so many in the suite."""
    return count * _LONG_RUN if _NAME == "long" else count
