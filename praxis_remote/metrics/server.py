# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""An HTTP port of its own, from which Prometheus takes the metrics.

One request a connection, few connections, little time: nobody here can take much of what
the policy's callers need.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Protocol

from prometheus_client import CollectorRegistry
from typing_extensions import Self

from ..address import UnixAddress, check_address
from ..listening import bind
from ..logs import event
from .scrape import PATH, answer, refuse

__all__ = ["DEFAULT_METRICS_PORT", "MetricsServer"]

log = logging.getLogger("praxis_remote.metrics")

DEFAULT_METRICS_PORT = 9464
"""The one that OpenTelemetry has for the same purpose."""

# Connections at once, beyond which they are closed; bytes of a request; seconds for it all.
_MAX_CONNECTIONS, _MAX_HEAD, _PATIENCE = 16, 16 * 1024, 10.0


class HasRegistry(Protocol):
    """What has metrics to serve."""

    @property
    def registry(self) -> CollectorRegistry:
        """What has them."""
        raise NotImplementedError


class MetricsServer:
    """Serves metrics over HTTP at ``/metrics``, on a thread of its own.

    The port is bound as soon as the object is made; scrapes are answered from `start` on.
    It takes no token and speaks no TLS: what it tells is numbers, of no caller by name.

    Args:
        metrics: What to serve.
        host: The interface to listen on. The default is reached from this machine only.
        port: 0 lets the system pick one; `port` tells which.
        patience: Seconds that a client gets for its request and for the response.

    Raises:
        ValueError: A host or port that cannot be.
        OSError: The address is in use, or not of this machine.
    """

    def __init__(
        self,
        metrics: HasRegistry,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_METRICS_PORT,
        patience: float = _PATIENCE,
    ) -> None:
        self._metrics = metrics
        self._patience = patience
        self._address = check_address(host, port, lowest_port=0)
        self._socket = bind(self._address)
        if not isinstance(self._address, UnixAddress):
            self._address = self._address._replace(port=self._socket.getsockname()[1])
        self._connections: set[asyncio.Task[None]] = set()
        self._stop_requested = asyncio.Event()
        # The loop that serves, as soon as it does.
        self._serving: concurrent.futures.Future[asyncio.AbstractEventLoop] | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="praxis-remote-metrics", daemon=True
        )

    @property
    def port(self) -> int:
        """The port on which it listens; 0 on a UNIX socket."""
        return self._address.port

    @property
    def address(self) -> str:
        """Where it listens, as ``host:port`` or ``unix:path``."""
        return str(self._address)

    def start(self) -> None:
        """Answers scrapes from now on.

        Raises:
            RuntimeError: It was started or stopped before.
        """
        if self._serving is not None or self._socket.fileno() < 0:
            raise RuntimeError("a MetricsServer can be started once; make a new one")
        self._serving = concurrent.futures.Future()
        self._thread.start()
        self._serving.result()
        where = f"http://{self.address}{PATH}"
        log.info("metrics on %s", where, extra=event("metrics", address=self.address))

    def stop(self) -> None:
        """Closes the port and all connections. May be called repeatedly."""
        if self._serving is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._serving.result().call_soon_threadsafe(self._stop_requested.set)
            self._thread.join()
        self._socket.close()

    async def _serve(self) -> None:
        assert self._serving is not None
        try:
            server = await asyncio.start_server(self._accept, sock=self._socket, limit=_MAX_HEAD)
        except BaseException as error:
            self._serving.set_exception(error)
            raise
        self._serving.set_result(asyncio.get_running_loop())
        await self._stop_requested.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        connection = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(self._answer(reader, writer), self._patience)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # it has gone, or is as good as gone
        finally:
            # All was sent, or is not to be.
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "less will do"))
        else:
            writer.write(self._respond(head))
        writer.close()
        await writer.wait_closed()

    def _respond(self, head: bytes) -> bytes:
        try:
            return answer(head, self._metrics.registry)
        except Exception:
            log.exception("a scrape failed", extra=event("unforeseen"))
            return refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; see the log of the server")

    def __enter__(self) -> Self:
        """Starts it, if it does not serve already."""
        if self._serving is None:
            self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
