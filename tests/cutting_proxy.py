# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A proxy that carries one connection up to a byte, and cuts it there."""

from __future__ import annotations

import select
import socket
import struct
import threading
from types import TracebackType

TIMEOUT = 30.0
_SMALL_BUFFER = 4096


class CuttingProxy:
    """Listens on a free port for one connection, which it cuts.

    Args:
        target: The server's port.
        cut_request: Bytes of the client's that are passed on; None for all.
        cut_response: The same of the server's.
        hard: Whether the client is told by a reset.

    Attributes:
        passed: Bytes of the client's and of the server's that were passed on.
    """

    def __init__(
        self,
        target: int,
        *,
        cut_request: int | None = None,
        cut_response: int | None = None,
        hard: bool = False,
    ) -> None:
        self._target = target
        self._limits = (cut_request, cut_response)
        self._hard = hard
        self.passed = [0, 0]
        self._listener = socket.socket()
        # What is not read yet shall stay with the client.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._listener, self._listener.accept()[0] as client:
                self._listener.close()
                while self._pass_on(client, server):
                    pass
                if self._hard:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.shutdown(socket.SHUT_WR)
            server.settimeout(TIMEOUT)
            # It closes when it has read everything.
            while server.recv(65536):
                pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        if any(limit == done for limit, done in zip(self._limits, self.passed, strict=True)):
            return False
        for source in select.select([client, server], [], [], TIMEOUT)[0]:
            index = int(source is server)
            limit = self._limits[index]
            most = 65536 if limit is None else min(65536, limit - self.passed[index])
            data = source.recv(most) if most else b""
            if not data:
                return False
            self.passed[index] += len(data)
            (client if source is server else server).sendall(data)
        return True

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the server did not close"
