# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""By which name a client is known to a proxy and to the policy, for as long as it lives."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from faces import Face

from praxis_remote import (
    AsyncPolicyClient,
    PolicyClient,
    PolicyServer,
    current_request,
)
from praxis_remote.errors import InvalidValueError
from praxis_remote.schema import PredictRequest
from praxis_remote.serialization import encode_request
from praxis_remote.testing import Prediction, RecordingHandler

KEY = "praxis-session-id"
BATCH = [{"number": 1}]

both_kinds = pytest.mark.parametrize("kind", [PolicyClient, AsyncPolicyClient])


class Sessions(RecordingHandler):
    """Notes by which session each call of it was made."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.seen: list[Any] = []

    def _note(self, _: Prediction) -> Any:
        self.seen.append([value for key, value in current_request().metadata if key == KEY])
        return np.zeros(1)


def request() -> PredictRequest:
    return encode_request([{"number": 1}])


def test_every_call_of_a_client_names_the_same_session(face: Face) -> None:
    sessions = Sessions()
    with PolicyServer(sessions, port=0) as server:
        client = face.client(server)
        client.predict_action(BATCH)
        client.predict_action(BATCH, timeout=3)
        client.stub.predict(request(), metadata={"arm": "2"})
    assert sessions.seen == [[client.session_id]] * 3


def test_a_session_outlasts_the_connection(face: Face) -> None:
    first, second = Sessions(), Sessions()
    with PolicyServer(first, port=0) as server:
        client = face.client(server)
        client.predict_action(BATCH)
    with PolicyServer(second, port=server.port):
        client.predict_action(BATCH, retries=5)
    assert first.seen == second.seen == [[client.session_id]]


def test_two_clients_have_two_sessions(face: Face) -> None:
    assert face.client(1).session_id != face.client(1).session_id


def test_a_session_that_was_named_is_sent_as_it_is(face: Face) -> None:
    sessions = Sessions()
    with PolicyServer(sessions, port=0) as server:
        client = face.client(server, session_id="robot 7/left")
        client.predict_action(BATCH)
    assert client.session_id == "robot 7/left"
    assert sessions.seen == [["robot 7/left"]]


def test_a_call_cannot_name_another_session(face: Face) -> None:
    with pytest.raises(InvalidValueError, match="give it to the client as session_id="):
        face.client(1).stub.predict(request(), metadata={KEY: "other"})


@both_kinds
def test_a_pickled_copy_has_its_own_session_unless_one_was_named(kind: type[Any]) -> None:
    client, named = kind("gpu-box"), kind("gpu-box", session_id="left")
    copies = [pickle.loads(pickle.dumps(client)) for _ in range(2)]
    assert len({each.session_id for each in (client, *copies)}) == 3
    assert pickle.loads(pickle.dumps(named)).session_id == "left"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@both_kinds
def test_a_forked_child_has_its_own_session_unless_one_was_named(kind: type[Any]) -> None:
    program = textwrap.dedent(f"""
        import os
        from praxis_remote import {kind.__name__} as Client
        client, named = Client(), Client(session_id="left")
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        print(client.session_id, named.session_id, flush=True)
    """)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    (child, named_in_child), (parent, named) = (line.split() for line in result.stdout.splitlines())
    assert child != parent
    assert named_in_child == named == "left"
