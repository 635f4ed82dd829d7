# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""ZeroMQ with msgpack: REQ and REP, arrays as msgpack-numpy has them, no copy by ZeroMQ."""

from __future__ import annotations

import threading
from typing import Any

import msgpack
import numpy as np
import zmq  # type: ignore[import-not-found]  # installed in the peer's own environment

from benchmarks.payloads import Action
from benchmarks.peers.client import Client

PACKAGES = ["pyzmq", "msgpack", "numpy"]


def serve(policy: Any, *, unix: bool) -> str:
    """Serves on loopback."""
    assert not unix
    sock = zmq.Context.instance().socket(zmq.REP)
    port = sock.bind_to_random_port("tcp://127.0.0.1")
    threading.Thread(target=_serve, args=[sock, policy], daemon=True).start()
    return f"tcp://127.0.0.1:{port}"


def _serve(sock: Any, policy: Any) -> None:
    while True:
        send(sock, policy.answer(receive(sock)))


def connect(address: str) -> Client:
    """Returns a client."""
    return ZeroMQClient(address)


class ZeroMQClient(Client):
    """Sends a request, and waits for its reply."""

    def __init__(self, address: str) -> None:
        self._socket = zmq.Context.instance().socket(zmq.REQ)
        self._socket.connect(address)

    def predict(self, batch: Any) -> Action:
        """Calls the policy."""
        send(self._socket, batch)
        action: Action = receive(self._socket)
        return action


def send(sock: Any, value: Any) -> None:
    """Sends a value as one message."""
    sock.send(msgpack.packb(value, default=_pack), copy=False)


def receive(sock: Any) -> Any:
    """Returns the value of the next message."""
    return msgpack.unpackb(sock.recv(copy=False).buffer, object_hook=_unpack)


def _pack(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    # The array itself: msgpack takes buffers, so that tobytes() would be one more copy.
    return {"nd": True, "type": value.dtype.str, "shape": value.shape, "data": value.data}


def _unpack(value: Any) -> Any:
    if "nd" not in value:
        return value
    return np.frombuffer(value["data"], np.dtype(value["type"])).reshape(value["shape"])
