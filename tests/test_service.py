# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The rpcs without a network: a call that is a message and some headers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from praxis_remote import codec, wire
from praxis_remote.calls import HEALTH_CHECK, PREDICT, RESET, Deadline, Metadata
from praxis_remote.errors import (
    DeadlineExceededError,
    DecodeError,
    HandlerError,
    InvalidArgumentError,
    UnimplementedError,
)
from praxis_remote.http2 import ServerCall
from praxis_remote.scheduler import Scheduler
from praxis_remote.schema import HealthResponse, ResetRequest, ResetResponse
from praxis_remote.service import PolicyService
from praxis_remote.testing import RecordingHandler


class Call:
    """The part of a server's call that the service uses."""

    metadata: Metadata = ()
    peer = "peer:1"
    compressed = False
    connection = None
    caller = "somebody"
    ran = False

    def __init__(self, path: str, message: bytes = b"", deadline: Deadline | None = None) -> None:
        self.path = path
        self.deadline = deadline
        self._message = bytearray(message)
        self.marks = [0.0]

    def message(self) -> bytearray:
        return self._message

    def mark(self) -> None:
        self.marks.append(0.0)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    scheduler.close()


def respond(service: PolicyService, *args: Any) -> bytes:
    call = cast("ServerCall", Call(*args))
    service.check(call)
    return b"".join(asyncio.run(service.respond(call)))


def test_predict_decodes_asks_the_policy_and_encodes(scheduler: Scheduler) -> None:
    handler = RecordingHandler(lambda _: np.array([1.5, 2.5]))
    request = codec.encode_predict_request([{"a": 1}], {"k": None}, ["e"])
    response = respond(PolicyService(handler, scheduler), PREDICT.path, b"".join(request))
    assert np.array_equal(codec.decode_predict_response(response), [1.5, 2.5])
    ((observations, kwargs, ids, _),) = handler.predictions
    assert (observations, kwargs, ids) == ([{"a": 1}], {"k": None}, ("e",))


def test_reset_tells_the_policy_which_episodes(scheduler: Scheduler) -> None:
    handler = RecordingHandler()
    service = PolicyService(handler, scheduler)
    for ids in (["a", ""], []):
        message = wire.write_message(ResetRequest(episode_ids=ids))
        response = wire.read_message(ResetResponse, respond(service, RESET.path, message))
        assert response.success
    assert handler.resets == [("a", ""), None]


def test_a_policy_that_failed_to_say_what_it_is_is_not_ready_while_it_works(
    scheduler: Scheduler,
) -> None:
    class Failing(RecordingHandler):
        def model_info(self) -> str:
            raise RuntimeError("no checkpoint")

    async def main() -> None:
        service = PolicyService(Failing(), scheduler)
        await service.warm_up(lambda error, _: pytest.fail(str(error)), lambda: None)
        working, release = threading.Event(), threading.Event()

        def work() -> None:
            working.set()
            release.wait()

        busy = asyncio.ensure_future(scheduler.run(work))
        await asyncio.to_thread(working.wait)
        with pytest.raises(HandlerError, match="no checkpoint"):
            await service.respond(cast("ServerCall", Call(HEALTH_CHECK.path)))
        release.set()
        await busy

    asyncio.run(main())


def test_health_says_what_the_policy_says(scheduler: Scheduler) -> None:
    raw = respond(PolicyService(RecordingHandler(), scheduler), HEALTH_CHECK.path)
    response = wire.read_message(HealthResponse, raw)
    assert (response.ready, response.model_info) == (True, "RecordingHandler")


def test_an_unknown_method_is_unimplemented_and_the_error_lists_those_there_are(
    scheduler: Scheduler,
) -> None:
    with pytest.raises(UnimplementedError, match=r"'/a/b'.*/praxis_remote\.PolicyService/Predict"):
        respond(PolicyService(RecordingHandler(), scheduler), "/a/b")


@pytest.mark.parametrize("path", [PREDICT.path, RESET.path, HEALTH_CHECK.path])
def test_a_message_that_is_none_never_reaches_the_policy(scheduler: Scheduler, path: str) -> None:
    handler = RecordingHandler()
    with pytest.raises(DecodeError):
        respond(PolicyService(handler, scheduler), path, b"\x0a\x05\xaa")
    assert handler.predictions == []
    assert handler.resets == []


def test_an_empty_batch_is_an_invalid_argument(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidArgumentError, match="batch is empty"):
        respond(PolicyService(RecordingHandler(), scheduler), PREDICT.path, b"")


def test_a_request_of_very_many_items_is_read_elsewhere_and_means_the_same(
    scheduler: Scheduler,
) -> None:
    handler = RecordingHandler()
    service = PolicyService(handler, scheduler)
    many = {f"key {number}": number for number in range(5000)}
    for kwargs, observation in (({}, many), (many, {"a": 1})):
        message = b"".join(codec.encode_predict_request([observation], kwargs, None))
        assert codec.decode_predict_request_quickly(bytearray(message)) is None
        respond(service, PREDICT.path, message)
        assert handler.predictions[-1].observations == [observation]
        assert handler.predictions[-1].policy_kwargs == kwargs
    ids = [f"episode {number}" for number in range(5000)]
    respond(service, RESET.path, wire.write_message(ResetRequest(episode_ids=ids)))
    assert handler.resets == [tuple(ids)]
    with pytest.raises(DecodeError):
        respond(service, PREDICT.path, message + b"\x0a")
    service.close()


def test_a_request_that_is_late_already_never_reaches_the_policy(scheduler: Scheduler) -> None:
    handler = RecordingHandler()
    message = b"".join(codec.encode_predict_request([{"a": 1}], None, None))
    with pytest.raises(DeadlineExceededError):
        respond(PolicyService(handler, scheduler), PREDICT.path, message, Deadline(0.0))
    assert handler.predictions == []
