# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Waiting for the other side without a clock: until its loop has turned a few times."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket

# Bytes written to a loopback socket are there at once: in one turn the loop sees them, in
# the next it has read them, and what it writes then is back here.
_TURNS = 3

PATIENCE = 20.0
"""Seconds after which something that is never done without fault is taken for a hang."""


async def turns(count: int = _TURNS) -> None:
    """Lets so many turns of the running loop pass."""
    for _ in range(count):
        await asyncio.sleep(0)


def wait_turns(loop: asyncio.AbstractEventLoop) -> None:
    """Waits for a loop of another thread, if it still runs."""
    for _ in range(_TURNS):
        passed: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(passed.set_result, None)
        except RuntimeError:
            return  # closed
        passed.result(PATIENCE)


def drain(sock: socket.socket) -> bytes:
    """Returns what has come, without waiting."""
    sock.setblocking(False)
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except OSError:
        pass
    finally:
        sock.settimeout(PATIENCE)
    return bytes(received)


def play(
    sock: socket.socket, step: bytes | None, loop: asyncio.AbstractEventLoop
) -> tuple[bytes, bool]:
    """Takes one step of a conversation; returns what has come, and whether it may go on."""
    if step is None:
        wait_turns(loop)
        return drain(sock), True
    try:
        sock.sendall(step)
    except TimeoutError:
        raise
    except OSError:
        return b"", False  # it was thrown out
    return b"", True


def end(sock: socket.socket) -> bytes:
    """Sends no more, and returns what comes until the other side has closed.

    Raises:
        TimeoutError: It never does.
    """
    received = bytearray()
    try:
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(65536):
            received += data
    except TimeoutError:
        raise
    except OSError:
        pass  # thrown out
    return bytes(received)
