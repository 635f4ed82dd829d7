# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The floor: blocking sockets that carry the bytes of the arrays, and nothing else.

Nothing is encoded or parsed, and every buffer is there before the first call.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

import numpy as np

from benchmarks.payloads import Action, Batch, arrays
from benchmarks.peers.client import Client

PACKAGES = ["numpy"]

_LENGTH = struct.Struct("<Q")
_DIMENSIONS = struct.Struct("<4Q")
_LARGEST = 64 * 2**20


def serve(policy: Any, *, unix: bool) -> str:
    """Serves on loopback."""
    assert not unix
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=[listener, policy], daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, policy: Any) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=[connection, policy], daemon=True).start()


def _serve(connection: socket.socket, policy: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(_LARGEST))
    action, reply = None, b""
    while receive(connection, buffer) is not None:
        if policy.action is not action:
            action = policy.action
            shape = _DIMENSIONS.pack(*action.shape, *[0] * (4 - action.ndim))
            reply = framed(shape + action.tobytes())
        connection.sendall(reply)


def connect(address: str) -> Client:
    """Returns a client."""
    return BareClient(address)


class BareClient(Client):
    """Sends bytes, and views those that come back."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_LARGEST))

    def prepare(self, batch: Batch) -> bytes:
        """Returns the bytes to send, ready."""
        return framed(b"".join(array.tobytes() for array in arrays(batch)))

    def predict(self, batch: Any) -> Action:
        """Sends what was prepared."""
        self._socket.sendall(batch)
        reply = receive(self._socket, self._buffer)
        if reply is None:
            raise ConnectionError("the server is gone")
        shape = [size for size in _DIMENSIONS.unpack_from(reply) if size]
        return np.frombuffer(reply[_DIMENSIONS.size :], np.float32).reshape(shape)


def framed(message: bytes) -> bytes:
    """Returns a message behind its length."""
    return _LENGTH.pack(len(message)) + message


def receive(connection: socket.socket, buffer: memoryview) -> memoryview | None:
    """Returns the next message in the buffer, None at the end."""
    head = _fill(connection, buffer[: _LENGTH.size])
    return _fill(connection, buffer[: _LENGTH.unpack(head)[0]]) if head else None


def _fill(connection: socket.socket, place: memoryview) -> memoryview | None:
    filled = 0
    while filled < len(place):
        size = connection.recv_into(place[filled:])
        if not size:
            return None
        filled += size
    return place
