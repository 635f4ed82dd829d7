# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What large messages take between processes of one machine: a UNIX socket, shared memory, TCP.

The socket alone stands in the table twice: by how much these two differ, nothing can be told.
"""

from __future__ import annotations

import sys

from benchmarks import features
from benchmarks.features import FEATURED
from benchmarks.pairs import Pair
from benchmarks.process import PeerError


def _pair(title: str, feature: str, *, unix: bool = True) -> Pair:
    return Pair(title, FEATURED, FEATURED, unix=unix, options={"feature": feature})


PAIRS = {
    "socket": _pair("UNIX socket alone", "socket"),
    "again": _pair("the same, once more", "socket"),
    "shared": _pair("UNIX socket and shared memory", "shared"),
    "tcp": _pair("TCP", "socket", unix=False),
}
PAYLOADS = ("state", "2x224", "16x2x224", "bytes-5000000", "bytes-20000000", "60MB", "actions-10MB")


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints a table."""
    features.main(arguments, PAIRS, PAYLOADS, "make same-host")


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
