# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What only the async client can; `test_client` has what it shares with the blocking one."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import numpy as np
import pytest

from praxis_remote import AsyncPolicyClient, PolicyServer
from praxis_remote.errors import DeadlineExceededError, UnavailableError
from praxis_remote.testing import GatedHandler, Prediction, RecordingHandler

WAIT = 30.0


def echo_number(prediction: Prediction) -> Any:
    return np.array([prediction.observations[0]["number"]])


# A connection belongs to its loop, and asyncio warns of those that outlive it.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_async_client_runs_calls_at_once_and_serves_one_loop_after_another() -> None:
    async def main(client: AsyncPolicyClient) -> list[int]:
        calls = (client.predict_action([{"number": n}]) for n in range(300))
        return [int(action[0]) for action in await asyncio.gather(*calls)]

    with PolicyServer(RecordingHandler(echo_number), port=0) as server:
        client = AsyncPolicyClient("127.0.0.1", server.port, timeout=WAIT)
        assert asyncio.run(main(client)) == list(range(300))
        assert asyncio.run(main(client)) == list(range(300))
        del client
        gc.collect()


def test_cancelling_an_async_call_leaves_timeouts_and_task_groups_as_they_were() -> None:
    handler = GatedHandler(echo_number)

    async def main(port: int) -> None:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=WAIT) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.predict_action([{"number": 1}]), 0.1)
            with pytest.raises(DeadlineExceededError):
                await client.predict_action([{"number": 2}], timeout=0.1)
            task = asyncio.current_task()
            assert task is not None
            assert getattr(task, "cancelling", lambda: 0)() == 0
            handler.let_end(5)
            assert await client.predict_action([{"number": 3}]) == [3]

    with PolicyServer(handler, port=0) as server:
        asyncio.run(main(server.port))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup is newer")
def test_one_failing_call_of_a_task_group_cancels_the_others_and_no_more() -> None:
    handler = GatedHandler(echo_number)

    async def call_twice(client: AsyncPolicyClient) -> None:
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
            group.create_task(client.predict_action([{"number": 1}]))
            group.create_task(client.predict_action([{"number": 2}], timeout=0.05))

    async def main(port: int) -> None:
        async with AsyncPolicyClient("127.0.0.1", port, timeout=WAIT) as client:
            with pytest.raises(Exception, match="errors in a TaskGroup") as raised:
                await call_twice(client)
            (error,) = raised.value.exceptions  # type: ignore[attr-defined]
            assert isinstance(error, DeadlineExceededError)
            handler.let_end(5)
            assert await client.predict_action([{"number": 3}]) == [3]

    with PolicyServer(handler, port=0) as server:
        asyncio.run(main(server.port))


def test_a_loop_that_was_busy_finds_a_restarted_server() -> None:
    async def main() -> None:
        with PolicyServer(RecordingHandler(), port=0) as server:
            client = AsyncPolicyClient("127.0.0.1", server.port, timeout=WAIT)
            await client.health_check()
        # The loop has not run since: it may learn of the loss with this call.
        with PolicyServer(RecordingHandler(), port=server.port):
            try:
                await client.health_check()
            except UnavailableError:
                await client.health_check()
        await client.close()

    asyncio.run(main())


def test_it_works_and_closes_on_another_kind_of_loop() -> None:
    uvloop = pytest.importorskip("uvloop")
    handler = RecordingHandler()

    async def main(server: PolicyServer) -> int:
        async with AsyncPolicyClient(server.host, server.port, timeout=30) as client:
            calls = [client.predict_action([{"image": np.zeros(300_000)}]) for _ in range(5)]
            return len(await asyncio.gather(*calls))

    with PolicyServer(handler, port=0) as server:
        loop = uvloop.new_event_loop()
        assert loop.run_until_complete(main(server)) == 5
        loop.close()
