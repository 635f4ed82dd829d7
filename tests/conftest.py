# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator

import profiles
import pytest
from faces import FACES, Face

# Their fixtures are for several files, as the one below.
pytest_plugins = ["authority", "hosts", "command", "processes", "workers"]

profiles.load()


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Makes clients of either kind, with the same blocking methods, and closes them."""
    face: Face = request.param()
    yield face
    face.close()
