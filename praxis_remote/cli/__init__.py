# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command line: serve a policy, call one by hand, find the schema.

Here live options, texts, signals and exit codes. What is done belongs to the modules
that a program would use as well.
"""

from .program import main

__all__ = ["main"]
