# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The version, which pyproject.toml and CITATION.cff repeat."""

__version__ = "0.1.2"
