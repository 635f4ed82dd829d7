# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The published 0.1.1 calls a policy in several processes, and stays with one of them."""

from __future__ import annotations

import pytest
from workers import Serve

from .sides import Side

pytestmark = pytest.mark.registry


def test_the_published_client_is_served_by_one_of_several_workers(
    theirs: Side, serve_workers: Serve
) -> None:
    group = serve_workers()
    answers = [theirs.peer.ask("predict", port=group.port, call="numbers") for _ in range(3)]
    assert "returned" in answers[0], answers[0]
    assert answers.count(answers[0]) == 3
    theirs.peer.ask("close_client", port=group.port)
    group.stop()
