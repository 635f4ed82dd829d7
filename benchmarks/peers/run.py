# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Runs a peer's module in that peer's environment: ``python -I run.py MODULE``."""

from __future__ import annotations

import importlib
import os
import sys

# At the end: a praxis_remote that is installed goes before the one beside benchmarks.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120 - before any other import

from benchmarks.peers.endpoint import Endpoint

if __name__ == "__main__":
    Endpoint(importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")).obey()
