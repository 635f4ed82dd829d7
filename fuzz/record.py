# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Writes the good part of the corpus: ``python -m fuzz.record``.

Messages of each kind as Google's protobuf writes them, and both sides of real calls.
"""

from __future__ import annotations

import random
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from oracle import describe, google_bytes, to_google
from strategies import RICH, WireMaker, block, groups, nested_lists, nested_structs
from typing_extensions import override

from fuzz import conversation, corpus, messages, tensors
from fuzz.server import Summing
from praxis_remote import PolicyClient, PolicyServer, RemoteError
from praxis_remote.types import Array

_SEEDS = 3
_IMAGE = (120, 120, 3)


class _Raising(Summing):
    @override
    def predict_action(self, observations: object, **_: object) -> Array:
        """Raises."""
        raise ValueError("no such thing")


_CALLS: dict[str, tuple[Summing, Callable[[PolicyClient], object]]] = {
    "health": (Summing(), lambda client: client.health_check()),
    "reset": (Summing(), lambda client: client.reset(episode_ids=["a"])),
    "predict": (Summing(), lambda client: client.predict_action(*RICH[:1], policy_kwargs=RICH[1])),
    "predict-image": (
        Summing(),
        lambda client: client.predict_action([{"image": np.zeros(_IMAGE, np.uint8)}]),
    ),
    "predict-error": (_Raising(), lambda client: client.predict_action([{"x": 1}])),
    "predict-twice": (
        Summing(),
        lambda client: [client.predict_action([{"x": n}], timeout=5) for n in (1, 2)],
    ),
}


def record_messages() -> None:
    """Writes messages of each kind."""
    for name in messages.KINDS:
        made = (WireMaker(seed, odd=0).message(describe(name)) for seed in range(1000))
        for number, data in zip(range(_SEEDS), filter(None, made), strict=False):
            corpus.write("messages", f"{name}-{number}", messages.pack(name, data))
    rich = google_bytes(to_google(*RICH))
    corpus.write("messages", "request", messages.pack("PredictRequest", rich))
    for make, count in ((nested_lists, 49), (nested_structs, 32), (groups, 100)):
        data = make(count)
        name = "PredictRequest" if make is groups else "Value"
        corpus.write("messages", f"deep-{make.__name__}", messages.pack(name, data))
    entry = block(1, b"k") + block(2, nested_lists(1))
    for name in ("PredictRequest", "ValueStruct", "Observation", "Tensor"):
        number = 2 if name == "PredictRequest" else 1
        case = messages.pack(name, bytes(2) + block(number, entry))
        corpus.write("growth", name, case)


def record_tensors() -> None:
    """Writes tensors that are arrays, and some that are not."""
    target = tensors.Tensors()
    wanted: dict[str, bytes] = {}
    for seed in range(2000):
        case = target.make(random.Random(seed), ())
        if len(case) < 500:
            wanted.setdefault(target.check(case), case)
    for number, case in enumerate(wanted.values()):
        corpus.write("tensors", f"{number:02}", case)


def record_calls() -> None:
    """Writes what both sides say in calls."""
    for name, (policy, call) in _CALLS.items():
        with (
            PolicyServer(policy, port=0) as server,
            _proxy(server.port) as (port, said),
            PolicyClient("127.0.0.1", port, timeout=30) as client,
            suppress(RemoteError),
        ):
            call(client)
        kind = name.partition("-")[0].encode()
        for folder, mine in (("server", True), ("client", False)):
            steps = [data if whose is mine else None for whose, data in said]
            case = conversation.pack(conversation.Conversation(conversation.merged(steps), kind))
            corpus.write(folder, name, case)
    # A health check that came in the smallest pieces.
    health = conversation.unpack((corpus.CORPUS / "server" / "health.case").read_bytes())
    bytewise = [step[n : n + 1] for step in health.steps if step for n in range(len(step))]
    corpus.write("server", "bytewise", conversation.pack(conversation.Conversation(bytewise)))


@contextmanager
def _proxy(port: int) -> Iterator[tuple[int, list[tuple[bool, bytes]]]]:
    """Passes one connection on, and notes what each side says: a client's is True."""
    said: list[tuple[bool, bytes]] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        client = listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", port))
        with client, server:
            while True:
                for sock in select.select([client, server], [], [])[0]:
                    data = sock.recv(1 << 20)
                    if not data:
                        return
                    said.append((sock is client, data))
                    (server if sock is client else client).sendall(data)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], said
    finally:
        thread.join(30)
        listener.close()


if __name__ == "__main__":
    record_messages()
    record_tensors()
    record_calls()
