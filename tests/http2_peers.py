# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Peers that speak HTTP/2 by hand, to do what no well-behaved stack would.

Blocking sockets and h2 alone; nothing of the package under test.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event

TIMEOUT = 30.0


def framed(message: bytes) -> bytes:
    """Returns a message with gRPC's prefix."""
    return struct.pack(">BI", 0, len(message)) + message


def raw_frame(kind: int, stream_id: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Returns a frame of any kind, allowed or not."""
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream_id) + body


class Peer:
    """One end of an HTTP/2 connection, driven step by step."""

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self.h2 = H2Connection(
            H2Configuration(
                client_side=client,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.events: list[Event] = []

    def start(self) -> None:
        self.h2.initiate_connection()
        # So that one stream's window can be full while the connection's is not.
        self.h2.increment_flow_control_window(2**24)
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def wait_for(self, kind: type[Event], stream_id: int | None = None) -> Any:
        """Returns the next event of a kind, of any stream or of one."""
        while True:
            for event in self.events:
                of_stream = stream_id is None or getattr(event, "stream_id", None) == stream_id
                if isinstance(event, kind) and of_stream:
                    self.events.remove(event)
                    return event
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError(f"closed while waiting for {kind.__name__}")
            self.events += self.h2.receive_data(data)
            self.flush()

    def wait_closed(self) -> None:
        """Reads until the other side has closed."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def close(self) -> None:
        self.sock.close()


class RawClient(Peer):
    """Calls a server by hand."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        super().__init__(sock, client=True)
        self.start()

    def request(
        self, path: str, *extra: tuple[str, str], end_stream: bool = False, flush: bool = True
    ) -> int:
        """Sends request headers, now or with what follows; returns the stream's number."""
        stream_id = self.h2.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
            **dict(extra),
        }
        self.h2.send_headers(
            stream_id, [(k, v) for k, v in headers.items() if v], end_stream=end_stream
        )
        if flush:
            self.flush()
        return stream_id

    def data(self, stream_id: int, data: bytes, *, end_stream: bool = True) -> None:
        self.h2.send_data(stream_id, data, end_stream=end_stream)
        self.flush()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RawServer:
    """Listens on a free port and runs a script for each connection, in order.

    Args:
        scripts: What to do with the first connection, the second, and so on. A
            script gets the peer, whose settings are sent already unless ``quiet``.
        quiet: Leave the connection as it is before the script.
        tls: Has connections begin with TLS.
    """

    def __init__(
        self,
        *scripts: Callable[[Peer], None],
        quiet: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scripts = scripts
        self._tls = tls
        self._quiet = quiet
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        self.port: int = self._listener.getsockname()[1]
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        peers = []
        try:
            for script in self._scripts:
                sock = self._listener.accept()[0]
                sock.settimeout(TIMEOUT)
                if self._tls is not None:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                peer = Peer(sock, client=False)
                peers.append(peer)
                if not self._quiet:
                    peer.start()
                script(peer)
        except BaseException as error:
            self.errors.append(error)
        finally:
            for peer in peers:
                peer.close()

    def failure(self) -> BaseException:
        """Waits for the end, and returns what kept a script from its own, once."""
        self._thread.join(TIMEOUT)
        return self.errors.pop()

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.join(TIMEOUT)
        self._listener.close()
        if exc is None:
            assert not self._thread.is_alive(), "the script did not end"
            assert self.errors == []
