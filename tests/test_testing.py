# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from praxis_remote import PolicyHandler
from praxis_remote.testing import GatedHandler, RecordingHandler, connected


@pytest.mark.parametrize("kind", [RecordingHandler, GatedHandler])
def test_the_policies_are_policies(kind: type[RecordingHandler]) -> None:
    assert isinstance(kind(), PolicyHandler)


def test_a_pair_is_connected_and_the_policy_notes_what_it_is_asked() -> None:
    handler = RecordingHandler()
    with connected(handler, timeout=30) as (server, client):
        assert client.address == server.address
        action = client.predict_action([{"a": 1}, {"a": 2}], episode_ids=["x", "y"])
        client.reset(episode_ids=["x"])
    assert np.array_equal(action, np.zeros((2, 1), np.float32))
    assert handler.predictions[0].observations == [{"a": 1}, {"a": 2}]
    assert handler.resets == [("x",)]


def test_a_gated_policy_takes_as_long_as_the_test_wants() -> None:
    handler = GatedHandler()
    with connected(handler, timeout=30) as (_, client), ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.predict_action, [{"a": 1}])
        handler.wait_begun()
        assert not call.done()
        handler.let_end()
        assert call.result().shape == (1, 1)


def test_waiting_for_a_call_that_does_not_come_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"no predict_action began within 0\.01 s"):
        GatedHandler().wait_begun(0.01)
