# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faces import FACES, Face
from hypothesis import settings

# Their fixtures are for several files, as the one below.
pytest_plugins = ["hosts", "command", "processes"]

# The same examples in every run: a failure here is a failure everywhere.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Makes clients of either kind, with the same blocking methods, and closes them."""
    face: Face = request.param()
    yield face
    face.close()
