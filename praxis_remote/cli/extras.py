# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What some commands need and the package does without."""

from __future__ import annotations

from importlib import import_module

from .errors import CommandError

__all__ = ["require"]


def require(module: str, extra: str, purpose: str) -> None:
    """Checks that a module of one of the package's extras is there.

    Args:
        module: What will be imported.
        extra: What it is part of.
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        CommandError: It is not.
    """
    try:
        import_module(module)
    except ImportError as error:
        raise CommandError(
            f"{purpose} needs {module}, which cannot be imported ({error}); "
            f"pip install 'praxis-remote[{extra}]'"
        ) from error
