# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A page that shows what a policy receives and answers, for people to look at.

Swapped cameras, BGR for RGB and stale states do not raise; they are seen. Needs
``pip install 'praxis-remote[inspect]'``. The server knows nothing of this package, which
wraps a policy before it is served.
"""

from __future__ import annotations

try:
    from .inspector import Inspector
except ModuleNotFoundError as error:
    if error.name not in ("aiohttp", "PIL"):
        raise
    raise ImportError(
        f"{error.name} is not installed, which the page of the inspector needs; "
        "pip install 'praxis-remote[inspect]'"
    ) from error

__all__ = ["Inspector"]
