# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The inspector: a policy to serve in place of the one that is looked at, and the page."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from types import TracebackType

from aiohttp import web
from typing_extensions import Self

from ..address import Address, check_address
from ..listening import bind
from ..logs import event
from ..protocol import PolicyHandler
from ..server import check_handler
from ..tokens import Tokens, TokensLike
from .door import Door, check_loopback
from .episodes import Episodes
from .watching import WatchedHandler
from .web import log, make_app

__all__ = ["Inspector"]

# What answers get that are under way when the page ends.
_GRACE = 1.0


class Inspector:
    """A page that shows the latest step of each episode, as the policy received it.

    Images as images, numbers and their course, texts, policy_kwargs, the action, times;
    and flags for what is often wrong: an image that is always the same, or constant, or
    has values out of range. It is reached from this machine only.

    The port is bound when the object is made; the page is answered within the with block,
    by a thread of its own.

    Args:
        port: 0 lets the system pick one; `url` tells.
        host: 127.0.0.1, ``::1`` or ``localhost``; no other is taken.
        tokens: Of which a visitor must show one: several, or the path of a file with
            them, as for `PolicyServer`. None to let in everybody on this machine.
        max_episodes: Of more, the one that was seen longest ago is forgotten.
        max_bytes: Of all that is kept of observations; the same is done beyond it.

    Attributes:
        episodes: What is kept.

    Raises:
        ValueError: A host that is reached from elsewhere, a port that cannot be, or no
            token where some were to be.
        OSError: The port is in use.

    Example:
        ```python
        with Inspector(port=8080) as inspector:
            with PolicyServer(inspector.watch(MyPolicy()), port=0) as server:
                print(inspector.url)
        ```
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        tokens: TokensLike | None = None,
        max_episodes: int = 64,
        max_bytes: int = 256 * 2**20,
    ) -> None:
        known = None if tokens is None else Tokens(tokens)
        self._socket = bind(check_address(check_loopback(host), port, lowest_port=0))
        self._address = Address(*self._socket.getsockname()[:2])
        self._tokens = known
        self.episodes = Episodes(max_episodes, max_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The page's port."""
        return self._address.port

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self._address}/"

    def watch(self, handler: PolicyHandler) -> WatchedHandler:
        """Returns a policy to serve in place of another one, which it calls.

        Several policies may be watched, each for a server of its own.

        Raises:
            TypeError: It lacks a method of a policy.
        """
        check_handler(handler)
        return WatchedHandler(handler, self.episodes)

    def start(self) -> None:
        """Answers from now on, on a thread of its own.

        Raises:
            RuntimeError: It was started before.
        """
        if self._thread is not None:
            raise RuntimeError("an Inspector can be started once; make a new one")
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=[ready], name="praxis-remote-inspect", daemon=True
        )
        self._thread.start()
        ready.result()
        log.info("inspect at %s", self.url, extra=event("inspect", address=self.url))

    def close(self) -> None:
        """Ends the page. May be called repeatedly."""
        thread, loop, ended = self._thread, self._loop, self._ended
        if thread is not None and loop is not None and ended is not None and thread.is_alive():
            loop.call_soon_threadsafe(ended.set)
            thread.join()
        self._socket.close()

    def _run(self, ready: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._main(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _main(self, ready: concurrent.futures.Future[None]) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        door = Door(self._tokens, f"praxis-inspect-{self.port}")
        app = make_app(self.episodes, door, self._ended)
        # No log of accesses: a link may hold a token.
        runner = web.AppRunner(app, access_log=None, logger=log, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket).start()
            ready.set_result(None)
            await self._ended.wait()
        finally:
            await runner.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
