# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What tests get from PyPI and npm, and what they do when a registry cannot be reached.

Tests that call these are marked ``registry``. The one rule is `give_up`: in CI the
test fails, elsewhere it is skipped. A package that does not exist, or does not
install, fails everywhere: it must never hide as a skip.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import pytest

from tools import environments
from tools.environments import UnreachableError

P = ParamSpec("P")
T = TypeVar("T")


def give_up(reason: str) -> NoReturn:
    """Ends a test that cannot get its packages: fails it in CI, else skips it."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"no package registry, which CI must have: {reason}", pytrace=False)
    pytest.skip(f"no package registry: {reason}")


def _or_give_up(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UnreachableError as error:
            give_up(str(error))

    return wrapper


venv_with = _or_give_up(environments.venv_with)
npm_project = _or_give_up(environments.npm_project)
install = _or_give_up(environments.install)
