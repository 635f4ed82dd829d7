# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What tests of shared memory look at, and peers that share some by hand.

Only Linux has all of it; elsewhere this can be imported, and `AVAILABLE` is False.
"""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from h2.events import ResponseReceived, StreamEnded, TrailersReceived
from http2_peers import TIMEOUT, Peer, RawClient, framed
from typing_extensions import Self

from praxis_remote.calls import PREDICT
from praxis_remote.shared_memory import AVAILABLE

MIB = 2**20
HEADER = "praxis-shared-memory"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL if AVAILABLE else 0
_NAME = "/memfd:praxis-remote"
_RANGE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) .*")


def is_shared(array: np.ndarray[Any, Any]) -> bool:
    """Tells whether an array is in shared memory, as the kernel has it."""
    address = array.__array_interface__["data"][0]
    return any(start <= address < end for start, end in _ranges())


def _ranges() -> list[tuple[int, int]]:
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if _NAME in line]
    found = [_RANGE.fullmatch(line) for line in lines]
    return [(int(match[1], 16), int(match[2], 16)) for match in found if match]


def mapped_here() -> int:
    """Returns how many pieces of shared memory this process has mapped."""
    return len(_ranges())


def shared_here() -> tuple[int, int]:
    """Returns how many pieces of shared memory this process has mapped, and open as files."""
    gc.collect()
    files = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the folder itself
            files += str(link.readlink()).startswith(_NAME)
    return mapped_here(), files


class Sharing(RawClient):
    """Calls a server on a UNIX socket by hand, and shares what it likes."""

    def __init__(self, path: Path) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        Peer.__init__(self, sock, client=True)
        self.start()
        self.files: list[int] = []

    def __enter__(self) -> Self:
        return self

    def make(
        self,
        size: int = MIB,
        nonce: bytes = b"n" * 16,
        seals: int = SEALS,
        name: str = "praxis-remote",
        content: bytes = b"",
    ) -> int:
        """Returns the number of a file of memory."""
        file = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.files.append(file)
        os.ftruncate(file, size)
        with mmap.mmap(file, size) as memory:
            memory[:16] = nonce
            memory[16] = 1
            memory[64 : 64 + len(content)] = content
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        return file

    @staticmethod
    def let_go(file: int) -> None:
        """Tells the server that memory is not needed any more."""
        os.pwrite(file, b"\2", 16)

    def call(self, message: bytes, offer: str | None = None) -> dict[str, str]:
        """Returns all headers of the response to a prediction."""
        extra = () if offer is None else ((HEADER, offer),)
        stream = self.request(PREDICT.path, *extra)
        self.data(stream, framed(message))
        headers = dict(self.wait_for(ResponseReceived, stream).headers)
        if "grpc-status" not in headers:
            headers |= dict(self.wait_for(TrailersReceived, stream).headers)
        self.wait_for(StreamEnded, stream)
        return headers

    def close(self) -> None:
        super().close()
        for file in self.files:
            os.close(file)
