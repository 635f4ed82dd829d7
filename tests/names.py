# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A name server that has one answer, for programs that can be told to ask it."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

from typing_extensions import Self

_HEADER = struct.Struct("!2s5H")
_RECORD = struct.Struct("!3HIH4s")
_A, _IN = 1, 1
_OURS_AND_NO_MORE = 0x8580  # an answer, with authority, without an error
_THE_NAME_ASKED = 0xC000 + _HEADER.size


class NameServer:
    """Says that every name stands for these addresses, which the test may change."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", _HEADER.size) + 5
        question = query[_HEADER.size : end]
        kind, _ = struct.unpack("!2H", question[-4:])
        addresses = [socket.inet_aton(each) for each in self.addresses] if kind == _A else []
        header = _HEADER.pack(query[:2], _OURS_AND_NO_MORE, 1, len(addresses), 0, 0)
        records = [_RECORD.pack(_THE_NAME_ASKED, _A, _IN, 1, 4, each) for each in addresses]
        return header + question + b"".join(records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()
