# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that is too slow for its callers: who still waits is served, in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from faces import AsyncFace, BlockingFace, Face

from praxis_remote import PolicyServer
from praxis_remote.errors import DeadlineExceededError

from .endpoint import Policy, observe, read_number
from .ends import WAIT, until
from .holding import held

CALLERS = 16
PATIENT = range(0, CALLERS, 3)


@pytest.fixture(
    params=[(BlockingFace, 1), (BlockingFace, CALLERS), (AsyncFace, CALLERS)],
    ids=["threads share a client", "blocking clients", "async clients"],
)
def faces(request: pytest.FixtureRequest) -> Iterator[list[Face]]:
    """Of each face one client is used, by as many callers as there are fewer faces."""
    kind, count = request.param
    faces = [kind() for _ in range(count)]
    yield faces
    for face in faces:
        face.close()


def test_of_a_full_queue_those_run_whose_callers_still_wait_and_in_their_order(
    faces: list[Face], host: str
) -> None:
    policy = Policy()
    calls: list[Future[Any]] = []
    with (
        PolicyServer(policy, host=host, port=0) as server,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        clients = [face.client(server) for face in faces] * (CALLERS // len(faces))

        def all_arrived(found: dict[str, int]) -> bool:
            return found["calls"] == sum(not call.done() for call in calls)

        for number, client in enumerate(clients):
            # The first one holds the policy.
            batch = observe(number, size=100_000, wait=number == 0)
            timeout = WAIT if number in PATIENT else 0.3
            calls.append(pool.submit(client.predict_action, batch, timeout=timeout))
            until(lambda: held(server), all_arrived)
        for number, call in enumerate(calls):
            if number not in PATIENT:
                with pytest.raises(DeadlineExceededError, match="passed before"):
                    call.result(WAIT)
        until(lambda: held(server), lambda found: found["calls"] == len(PATIENT))
        policy.may_end.release()
        assert [read_number(calls[number].result(WAIT)) for number in PATIENT] == list(PATIENT)
        assert policy.began == list(PATIENT)
        until(
            lambda: held(server),
            lambda found: (found["calls"], found["jobs"], found["memory"]) == (0, 0, 0),
        )
