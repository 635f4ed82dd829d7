# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that shows what servers do, once or until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from ..async_client import AsyncPolicyClient
from . import words
from .errors import CommandError, UsageError
from .extras import require
from .options import EXIT_CODES, add_addresses, add_command, add_option, client_security
from .output import say
from .signals import killed_by_signals
from .top_watched import Question, Trend, Watched, ask, keep_asking

__all__ = ["add_top"]

_SCHEMA = 1
_SHORTEST_COLUMN = 3.0

_DESCRIPTION = """\
Show what servers do: rate and latency of their policies' calls, the queue,
errors.

On a terminal the view lives until q or Ctrl-C ends it; servers that are gone
are shown as such, and come back by themselves. Where stdout is no terminal, it
is as with --once.
"""

_EPILOG = f"""\
what is shown:
  calls/s      of the policy (Predict and Reset) in the last --seconds; its
               trend goes back some minutes, as far as this command has watched
  p50, p99     of calls that went well, on the server: half of them, and 99 % of
               them, took no longer; by phase: receive, decode, queue (waiting
               for the policy), infer (the policy itself), encode
  wait         calls that wait for the policy
  run          calls that have begun and not ended, those that wait included,
               and this one
  conn         open connections, this one included
  errors       calls that failed since the server was started

  What a server tells is counted by itself, for all its clients together. One
  older than praxis-remote 0.2 does not tell it. With the option --json, which
  needs --once, times are in seconds where the name ends in _s, in milliseconds
  in phases_ms. The view and the table need rich: pip install
  'praxis-remote[tools]'.

examples:
  praxis-remote top gpu-box
  praxis-remote top gpu-a gpu-b:50052 unix:/run/policy.sock --interval 0.5
  praxis-remote top gpu-box --once --json | jq '.servers[0].waiting'

{EXIT_CODES}  (1 with --once also if a server did not tell; 0 for a view that was ended)
"""


def add_top(commands: Any) -> None:
    """Adds the command."""
    summary = "show what servers do, live"
    parser = add_command(commands, "top", _top, summary, _DESCRIPTION, _EPILOG)
    add_addresses(parser, timeout=2.0)
    text = "between one look and the next; %(default)g by default"
    add_option(parser, "--interval", words.duration, default=1.0, metavar="SECONDS", help=text)
    text = "how far back calls count as recent: 1, 5, 10, 60 or 300; %(default)g by default"
    add_option(parser, "--seconds", words.duration, default=10.0, metavar="SECONDS", help=text)
    text = "print one table and end"
    parser.add_argument("--once", action="store_true", help=text)
    text = "with --once: print one JSON object instead"
    parser.add_argument("--json", action="store_true", help=text)


def _top(arguments: argparse.Namespace) -> int:
    if arguments.json and not arguments.once:
        raise UsageError("argument --json: give --once as well; a live view is no JSON")
    if not arguments.json:
        require("rich", "tools", "the view (there is none with --once --json)")
    live = not arguments.once and sys.stdout.isatty()
    with killed_by_signals():
        number = asyncio.run((_watch if live else _look)(arguments))
    if number is not None and number is not signal.SIGINT:
        # Now that the terminal is as it was.
        signal.raise_signal(number)
    return 0


@asynccontextmanager
async def _watched(arguments: argparse.Namespace) -> AsyncIterator[dict[Watched, Question]]:
    """Gives the servers, and how each is asked."""
    security = client_security(arguments)
    column = max(_SHORTEST_COLUMN, arguments.interval)
    async with AsyncExitStack() as stack:
        servers: dict[Watched, Question] = {}
        for address in dict.fromkeys(arguments.addresses):
            client = AsyncPolicyClient(
                address.host, address.port, timeout=arguments.timeout, retries=0, **security
            )
            await stack.enter_async_context(client)
            question = partial(client.status, seconds=arguments.seconds)
            servers[Watched(client.address, Trend(column))] = question
        yield servers


async def _look(arguments: argparse.Namespace) -> signal.Signals | None:
    async with _watched(arguments) as servers:
        await asyncio.gather(*(ask(*server, time.monotonic) for server in servers.items()))
    if arguments.json:
        found = {"schema": _SCHEMA, "servers": [server.as_dict() for server in servers]}
        say(json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False))
    else:
        from .display import terminal
        from .top_view import table

        say(table(terminal(), list(servers)))
    troubles = [f"{s.address}: {s.trouble.text}" for s in servers if s.trouble is not None]
    if troubles:
        raise CommandError("; ".join(troubles))
    return None


async def _watch(arguments: argparse.Namespace) -> signal.Signals | None:
    from .display import terminal
    from .top_screen import held
    from .top_view import view

    console = terminal()
    async with _watched(arguments) as servers:
        with held(console) as screen:

            def tell() -> None:
                screen.show(view(console, list(servers), time.monotonic()))

            tell()
            pause = partial(asyncio.sleep, arguments.interval)
            asking = [
                asyncio.ensure_future(keep_asking(*server, time.monotonic, pause, tell))
                for server in servers.items()
            ]
            waiting: list[asyncio.Future[Any]] = [screen.ended, *asking]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in asking:
                task.cancel()
            # One that ended by itself has failed, and says so.
            await asyncio.gather(*(task for task in asking if task.done()))
            await asyncio.gather(*asking, return_exceptions=True)
            return screen.ended.result()
