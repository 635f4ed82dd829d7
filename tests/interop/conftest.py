# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator

import pytest
from registry import venv_with

from .google import Generated, compile_schema
from .sides import OURS, THEIRS, Side, Sides


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """This checkout, in a process of its own."""
    with Side.of_checkout(OURS, tmp_path_factory.mktemp("ours")) as side:
        yield side


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """The published praxis-remote 0.1.1, in a process and an environment of its own."""
    python = venv_with("praxis-remote-0.1.1", ["praxis-remote==0.1.1"])
    with Side.of_environment(THEIRS, python, tmp_path_factory.mktemp("theirs")) as side:
        yield side


@pytest.fixture(scope="session")
def sides(ours: Side, theirs: Side) -> Sides:
    return {OURS: ours, THEIRS: theirs}


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """Google's generated messages and stubs for our schema."""
    return compile_schema(tmp_path_factory.mktemp("generated"))
