# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The page over HTTP: its files, its images, and a stream of what changes."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.resources import files

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from typing_extensions import override

from ..logs import event
from .copies import KeptArray
from .descriptions import describe, to_json
from .door import Door, is_own_name
from .episodes import Episodes
from .images import encode_png, find_scale
from .summaries import summarize

__all__ = ["log", "make_app"]

log = logging.getLogger("praxis_remote.inspect")

PERIOD = 0.2
"""Seconds from one look for changes to the next: the policy tells nobody of them."""

# A stream says something now and then, which shows when nobody listens any more.
_QUIET_LOOKS = 75

_MAX_STREAMS = 16
_MAX_FORM = 16 * 1024

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_FILES = {
    "index.html": "text/html",
    "login.html": "text/html",
    "entered.html": "text/html",
    "icon.svg": "image/svg+xml",
    "inspect.css": "text/css",
    "inspect.js": "text/javascript",
}

# What the login form needs to look like one.
_PUBLIC = ("/icon.svg", "/inspect.css", "/login")


class _WithoutBytes(logging.Filter):
    """Has a line where aiohttp logs a traceback with the bytes that are no HTTP.

    Among which may be a token, or the observation of a client that has the wrong port.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = "%s: ending the connection: what came is no HTTP; is it for another port?"
            record.exc_info = None
            record.levelno = min(record.levelno, logging.WARNING)
            record.levelname = logging.getLevelName(record.levelno)
            vars(record).update(event("connection_ended", reason="what came is no HTTP"))
        return True


logging.getLogger(log.name).addFilter(_WithoutBytes())


def make_app(episodes: Episodes, door: Door, ended: asyncio.Event) -> web.Application:
    """Returns the application; its streams end when ``ended`` is set."""
    app = web.Application(middlewares=[_guard(door)], client_max_size=_MAX_FORM)
    app.on_response_prepare.append(_add_headers)
    page = _Page(episodes, door, ended)
    app.add_routes(
        [
            web.get("/", page.index),
            web.post("/login", page.login),
            web.get("/icon.svg", page.file),
            web.get("/inspect.css", page.file),
            web.get("/inspect.js", page.file),
            web.get("/events", page.events),
            web.get(r"/episodes/{number:\d{1,15}}/{index:\d{1,9}}.png", page.image),
        ]
    )
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.update(_HEADERS)


def _guard(door: Door) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_name(request.headers.get("Host", "")):
            text = "this page goes by 127.0.0.1, [::1] and localhost only\n"
            return web.Response(status=421, text=text)
        if request.path not in _PUBLIC and not door.is_open_to(request):
            return _ask(door, request)
        return await handler(request)

    return guard


def _ask(door: Door, request: web.Request) -> web.Response:
    if request.path != "/":
        return web.Response(status=401, text="a token is needed; see /\n")
    token = request.query.get("token")
    if token is None:
        return _file("login.html", status=401)
    return _enter(door, token)


def _enter(door: Door, token: str) -> web.Response:
    # A redirect that began on another site would come without the cookie, as that is
    # SameSite=Strict. A page of our own that goes on does not.
    response = _file("entered.html")
    return response if door.enter(token, response) else _file("login.html", status=403)


def _file(name: str, status: int = 200) -> web.Response:
    body = (files(__package__) / "static" / name).read_bytes()
    return web.Response(status=status, body=body, content_type=_FILES[name], charset="utf-8")


class _Page:
    """What is asked for, answered from the store."""

    def __init__(self, episodes: Episodes, door: Door, ended: asyncio.Event) -> None:
        self._episodes = episodes
        self._door = door
        self._ended = ended
        self._streams = 0

    async def index(self, request: web.Request) -> web.Response:
        """The page, and for a link with a token in it the way to a page without."""
        token = request.query.get("token")
        return _file("index.html") if token is None else _file("entered.html")

    async def login(self, request: web.Request) -> web.Response:
        """The form's answer."""
        token = (await request.post()).get("token", "")
        return _enter(self._door, token if isinstance(token, str) else "")

    async def file(self, request: web.Request) -> web.Response:
        """Style and script."""
        return _file(request.path.removeprefix("/"))

    async def image(self, request: web.Request) -> web.Response:
        """An image of an episode's latest step, made now."""
        number, index = (int(request.match_info[name]) for name in ("number", "index"))
        with self._episodes.lock:
            episode = self._episodes.find(number)
            kept = [] if episode is None else list(episode.latest.observation.values())
        value = kept[index] if index < len(kept) else None
        if not isinstance(value, KeptArray) or value.layout is None or value.data is None:
            return web.Response(status=404, text="there is no such image any more\n")
        summary = summarize(value.data)
        low, high = (0.0, 0.0) if summary is None else (summary.low, summary.high)
        scale = find_scale(value.dtype, value.layout.channels, low, high)
        body = encode_png(value.data, value.layout, scale, "swapped" in request.query)
        return web.Response(body=body, content_type="image/png")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """All that the page shows, whenever it has changed."""
        if self._streams >= _MAX_STREAMS:
            text = f"{_MAX_STREAMS} pages are open; close one\n"
            return web.Response(status=503, text=text)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            await self._stream(request, response)
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._streams -= 1
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        text = request.query.get("episode", "")
        number = int(text) if text.isdecimal() and len(text) < 16 else None
        told, quiet = -1, 0
        while not self._ended.is_set() and self._door.is_open_to(request):
            changes = self._episodes.changes
            if changes != told:
                told, quiet = changes, 0
                data = to_json(describe(self._episodes, number, time.monotonic()))
                await response.write(f"data: {data}\n\n".encode())
            elif (quiet := quiet + 1) > _QUIET_LOOKS:
                quiet = 0
                await response.write(b":\n\n")
            await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), PERIOD)
        except asyncio.TimeoutError:
            return
