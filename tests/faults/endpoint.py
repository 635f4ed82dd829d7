# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Serves and calls with whatever praxis-remote its Python has, so that it can be killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

# The interpreter is isolated from this folder as from everything else.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - before any other import

import numpy as np
from interop.peers.orders import obey

import praxis_remote
from praxis_remote import PolicyClient, PolicyServer

WAIT = 30.0


class Policy:
    """Answers each call with the call's own number, as often as the call says."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def predict_action(
        self, observations: Any, *, policy_kwargs: Any = None, episode_ids: Any = None
    ) -> Any:
        observation = observations[0]
        self.began.append(observation["number"])
        self.begun.release()
        if observation.get("wait"):
            self.may_end.acquire()
        return np.full((1, observation.get("floats", 1)), observation["number"], np.float32)

    def reset(self, episode_ids: Any = None) -> None: ...

    def model_info(self) -> str:
        return "Policy"


def observe(number: int, size: int = 0, **observation: Any) -> list[dict[str, Any]]:
    """Returns a batch of one, with an array of so many bytes."""
    data = {"data": np.zeros(size, np.uint8)} if size else {}
    return [{"number": number, **observation, **data}]


def read_number(action: Any) -> int:
    """Returns the number of the call that an action belongs to.

    Raises:
        ValueError: It belongs to several.
    """
    numbers = np.unique(action)
    if len(numbers) != 1:
        raise ValueError(f"an action made of {numbers}")
    return int(numbers[0])


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """Returns the number that a call came back with, or the error."""
    try:
        return {"number": read_number(call())}
    except BaseException as error:
        answer: dict[str, Any] = {"error": type(error).__name__}
        # 0.1.1 raises grpc's.
        if hasattr(error, "code") and hasattr(error, "details"):
            answer |= {"code": error.code().name, "details": error.details()}
        return answer


def _free_port() -> int:
    """Returns a port for a server that cannot tell which one the system picked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Endpoint:
    """A server, or any number of clients with one call each at a time."""

    def __init__(self) -> None:
        self._policy = Policy()
        self._server: PolicyServer | None = None
        self._clients: dict[str, Any] = {}
        self._calls: dict[str, tuple[threading.Thread, list[Any]]] = {}

    def about(self) -> Any:
        return praxis_remote.__version__

    # A server.

    def serve(self, host: str, port: int) -> Any:
        """Serves a new policy; the one before is served no more."""
        if not port and not hasattr(PolicyServer, "port") and not host.startswith("unix:"):
            port = _free_port()
        if self._server is not None:
            self._server.stop()
        self._policy = Policy()
        self._server = PolicyServer(self._policy, host=host, port=port)
        self._server.serve(block=False)
        return getattr(self._server, "port", port)

    def wait_begun(self) -> Any:
        """Waits until one more call has begun."""
        return self._policy.begun.acquire(timeout=WAIT)

    def let_end(self, times: int = 1) -> Any:
        """Lets so many calls end that wait."""
        self._policy.may_end.release(times)

    def began(self) -> Any:
        """Returns the numbers of the calls that have begun, in order."""
        return self._policy.began

    def held(self) -> Any:
        from faults.holding import held, held_by_process

        assert self._server is not None
        return held(self._server) | held_by_process()

    # Clients.

    def open(self, name: str, kind: str, host: str, port: int, timeout: float) -> Any:
        """Makes a client, of a kind that `faces` has."""
        if kind == "published":
            self._clients[name] = PolicyClient(host, port, timeout=timeout)
        else:
            import faces

            self._clients[name] = getattr(faces, kind)().client(port, host, timeout=timeout)

    def begin(
        self, name: str, number: int, timeout: float | None = None, **observation: Any
    ) -> Any:
        """Begins a call on a thread; `end` returns what became of it."""
        client, answers = self._clients[name], []

        def call() -> Any:
            return client.predict_action(observe(number, **observation), timeout=timeout)

        thread = threading.Thread(target=lambda: answers.append(outcome(call)), daemon=True)
        thread.start()
        self._calls[name] = thread, answers

    def end(self, name: str) -> Any:
        thread, answers = self._calls.pop(name)
        thread.join(WAIT)
        return answers[0]

    def call(self, name: str, number: int, timeout: float | None = None, **observation: Any) -> Any:
        """Calls on the main thread, which can be interrupted."""
        client = self._clients[name]
        return outcome(
            lambda: client.predict_action(observe(number, **observation), timeout=timeout)
        )

    def call_in_loop(self, host: str, port: int, number: int, **observation: Any) -> Any:
        """Calls as a program with an event loop does, on the main thread."""

        async def main() -> Any:
            async with praxis_remote.AsyncPolicyClient(host, port, timeout=WAIT) as client:
                return await client.predict_action(observe(number, **observation))

        return outcome(lambda: asyncio.run(main()))

    def close(self, name: str) -> Any:
        self._clients[name].close()


if __name__ == "__main__":
    obey(Endpoint())
