# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that serves a policy, from its options to its exit."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..address import DEFAULT_PORT, AnyAddress, UnixAddress, check_address
from ..batching import DEFAULT_MAX_BATCH_DELAY
from ..errors import HandlerError, InvalidValueError
from ..eviction import check_lifetime
from ..limits import DEFAULT_MAX_PENDING, Limits
from ..listening import bind, check_socket_mode
from ..logs import JsonFormatter, event
from ..protocol import PolicyHandler
from ..records import CallObserver
from ..scheduler import Scheduler
from ..server import PolicyServer
from ..tls import ServerContexts, ServerTLS
from ..tokens import Tokens
from . import words
from .errors import CommandError, UsageError
from .listening import advice_on
from .loading import KwargsRefusedError, LoadError, PolicyCodeError, Target, load
from .metrics import add_metrics_options, serving_metrics
from .options import (
    add_command,
    add_kwarg,
    add_max_message_size,
    add_option,
    add_server_security,
    server_security,
)
from .output import say
from .signals import ignore_signals, killed_by_signals, leave, on_stop_signals

__all__ = [
    "add_serve",
    "check_can_listen",
    "check_serving",
    "leave_if_busy",
    "load_failed",
    "log_to_stderr",
    "make_server",
    "serve",
    "set_up",
    "stop_when_signalled",
]

log = logging.getLogger("praxis_remote.cli")

# A terminal and a supervisor may both send theirs for one wish to stop.
_TOGETHER = 0.5

_LOG_FORMATS: dict[str, Callable[[], logging.Formatter]] = {
    "text": lambda: logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"),
    "json": JsonFormatter,
}
_LOG_LEVELS = ("debug", "info", "warning", "error")

_DESCRIPTION = """\
Serve a policy: an object with the methods predict_action, reset and model_info.

TARGET is MODULE:NAME, both with dots if need be. NAME is a class or a function,
which is called with the --kwarg arguments, or an object that is a policy
already. It is imported from the current folder or from what is installed. The
policy is imported, made and called on one and the same thread, as GPU and
renderer contexts need it. If it has a method warmup, that is run before all
calls, which wait for it; if it has a method is_ready, health checks ask it.

The one line on stdout is "serving CLASS on HOST:PORT", or "on unix:PATH"; from
then on clients can connect. Everything else is logged to stderr.
"""

_EPILOG = """\
examples:
  praxis-remote serve my_mod:MyPolicy
  praxis-remote serve my_mod:make_policy --kwarg path=/x/y.pt --kwarg scale=2.0
  praxis-remote serve my_pkg.my_mod:Outer.Inner --host 0.0.0.0 --port 0
  praxis-remote serve my_mod:MyPolicy --host unix:/run/policy.sock \\
      --socket-mode 660
  praxis-remote serve my_mod:MyPolicy --host 0.0.0.0 --tls-cert server.pem \\
      --tls-key server.key --token-file tokens
  praxis-remote serve my_mod:MyPolicy --metrics-port 9464 --log-format json
  praxis-remote serve my_mod:MyPolicy --max-batch-size 16

stopping:
  SIGINT (Ctrl-C) or SIGTERM: no new calls are taken, running and waiting calls
  get --grace seconds, and the exit code is 0. Another signal, from half a
  second later on, stops at once; the callers get UNAVAILABLE, and the exit code
  is 0 as well. While the policy still loads, either signal kills the process,
  as it would without a handler: a shell shows 130 or 143.

exit codes:
  0    stopped by a signal while serving
  1    the policy cannot be loaded, its warmup fails, or the address cannot be
       used; one line on stderr says why
  2    the command line is wrong
"""


def add_serve(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    parser = add_command(commands, "serve", serve, "serve a policy", _DESCRIPTION, _EPILOG)
    add_option(parser, "target", Target.parse, metavar="TARGET", help="the policy, as MODULE:NAME")
    text = "the interface to listen on, 0.0.0.0 or :: for all, or unix:PATH; %(default)s by default"
    add_option(parser, "--host", words.host, default="127.0.0.1", help=text)
    text = "0 lets the system pick one; %(default)s by default"
    add_option(parser, "--port", words.port, default=DEFAULT_PORT, help=text)
    add_kwarg(parser, "for the class or function")
    add_max_message_size(parser)
    text = "that may wait for the policy; more are refused at once; %(default)s by default"
    default = DEFAULT_MAX_PENDING
    add_option(parser, "--max-pending", words.calls, default=default, metavar="CALLS", help=text)
    text = "to hand to the policy at once, joined from several clients; 1, the default, joins none"
    options: dict[str, Any] = {"default": 1, "metavar": "OBSERVATIONS"}
    add_option(parser, "--max-batch-size", words.positive, help=text, **options)
    text = "to hold back a batch for clients that were just answered; %(default)g by default"
    options = {"default": DEFAULT_MAX_BATCH_DELAY, "metavar": "SECONDS"}
    add_option(parser, "--max-batch-delay", words.grace, help=text, **options)
    text = "hand over one array for each key, with a leading batch dimension, not a list"
    parser.add_argument("--batched", action="store_true", help=text)
    names = ", ".join(field.name for field in fields(Limits))
    text = f"what clients are granted; may be given repeatedly. NAME is one of {names}"
    options = {"action": "append", "default": [], "metavar": "NAME=NUMBER"}
    add_option(parser, "--limit", words.limit, help=text, **options)
    text = "what running calls get to finish when the server stops; %(default)g by default"
    add_option(parser, "--grace", words.grace, default=10.0, metavar="SECONDS", help=text)
    text = "of a page that shows what the policy receives; for this machine only; 0 picks one"
    add_option(parser, "--inspect-port", words.port, metavar="PORT", help=text)
    text = "of everything that is logged to stderr; %(default)s by default"
    parser.add_argument("--log-level", choices=_LOG_LEVELS, default="info", help=text)
    text = "of a line: for people, or one JSON object with the fields; %(default)s by default"
    parser.add_argument("--log-format", choices=_LOG_FORMATS, default="text", help=text)
    text = "end episodes that were not used for so long; none by default"
    add_option(parser, "--episode-ttl", words.duration, metavar="SECONDS", help=text)
    text = "end those of a client that has been without a connection for 10 seconds"
    parser.add_argument("--end-episodes-on-disconnect", action="store_true", help=text)
    text = "take no large messages in shared memory from this user's clients on a UNIX socket"
    parser.add_argument("--no-shared-memory", action="store_true", help=text)
    add_server_security(parser)
    add_metrics_options(parser)
    return parser


def serve(arguments: argparse.Namespace) -> int:
    """Serves a policy in this process; returns the exit code."""
    kwargs, limits = set_up(arguments)
    scheduler = Scheduler()
    with serving_metrics(arguments) as metrics, ExitStack() as pages:
        with killed_by_signals():
            observers = () if metrics is None else (metrics,)
            watch = _open_page(arguments, pages)
            address, security = check_serving(arguments)
            # Loading may take minutes, after which is no time to learn that the port is taken.
            check_can_listen(address)
            server, name = make_server(
                arguments, address, security, kwargs, limits, scheduler, observers, watch
            )
        if metrics is not None:
            metrics.watch(server)
        _run(server, name, arguments.grace)
    leave_if_busy(scheduler)
    return 0


def set_up(arguments: argparse.Namespace) -> tuple[Mapping[str, object], Limits]:
    """Makes the process one that can serve; returns the policy's arguments and the limits."""
    kwargs = words.as_mapping(arguments.kwarg)
    log_to_stderr(arguments.log_level, arguments.log_format)
    _import_from_current_folder()
    # Registered before the policy's own exit hooks, it runs after them.
    atexit.register(ignore_signals)
    return kwargs, Limits(**words.as_mapping(arguments.limit, "--limit"))


def leave_if_busy(scheduler: Scheduler) -> None:
    """Ends the process at once if the policy works, which may never end."""
    if not scheduler.idle:
        text = "leaving although the policy still works on a call that was given up"
        log.warning(text, extra=event("policy_busy"))
        leave()


def _run(server: PolicyServer, name: str, grace: float) -> None:
    try:
        asyncio.run(_serve_until_signalled(server, name, grace))
    except HandlerError as error:
        raise load_failed(name, error) from error


def load_failed(name: str, error: HandlerError) -> CommandError:
    """Returns what to tell of a policy that cannot be called."""
    fields = event("load_failed", policy=name)
    log.debug("the traceback", exc_info=error.__cause__, extra=fields)
    return CommandError(f"{error.details()}; for its traceback add --log-level debug")


def check_serving(arguments: argparse.Namespace) -> tuple[AnyAddress, dict[str, Any]]:
    """Returns where to listen, and with what security.

    Raises:
        UsageError: Options do not go together.
        CommandError: A file cannot be used.
    """
    try:
        address = check_address(arguments.host, arguments.port, lowest_port=0)
        check_socket_mode(arguments.socket_mode, address)
    except InvalidValueError as error:
        raise UsageError(error.details()) from error
    security = server_security(arguments)
    _check_files(**security)
    return _wherever_from(address), security


def make_server(
    arguments: argparse.Namespace,
    address: AnyAddress,
    security: Mapping[str, Any],
    kwargs: Mapping[str, object],
    limits: Limits,
    scheduler: Scheduler,
    observers: Sequence[CallObserver],
    watch: Callable[[PolicyHandler], PolicyHandler] = lambda handler: handler,
    make: Callable[..., PolicyServer] = PolicyServer,
) -> tuple[PolicyServer, str]:
    """Returns what serves the policy, once that is loaded, and the policy's class.

    Args:
        arguments: Of the command line.
        address: Where to listen.
        security: Who may call.
        kwargs: Of the policy.
        limits: What clients are granted.
        scheduler: The thread to load and run the policy on.
        observers: Who is told of calls.
        watch: Returns the policy as it is to be called.
        make: Makes the server, with the arguments of `PolicyServer`.
    """
    handler = _load_on(scheduler, arguments.target, kwargs)
    _check_episodes(handler, arguments)
    with advice_on(address):
        server = make(
            watch(handler),
            host=address.host,
            port=address.port,
            max_message_size=arguments.max_message_size,
            max_pending=arguments.max_pending,
            max_batch_size=arguments.max_batch_size,
            max_batch_delay=arguments.max_batch_delay,
            batched=arguments.batched,
            limits=limits,
            observers=observers,
            shared_memory=not arguments.no_shared_memory,
            scheduler=scheduler,
            episode_ttl=arguments.episode_ttl,
            end_episodes_on_disconnect=arguments.end_episodes_on_disconnect,
            **security,
        )
    return server, type(handler).__name__


def _check_episodes(handler: PolicyHandler, arguments: argparse.Namespace) -> None:
    ttl, on_disconnect = arguments.episode_ttl, arguments.end_episodes_on_disconnect
    try:
        check_lifetime(handler, ttl, on_disconnect=on_disconnect)
    except TypeError as error:
        raise CommandError(str(error)) from error


def _open_page(
    arguments: argparse.Namespace, pages: ExitStack
) -> Callable[[PolicyHandler], PolicyHandler]:
    """Returns what has a page show a policy, if there is to be one; ``pages`` ends it."""
    if arguments.inspect_port is None:
        return lambda handler: handler
    try:
        from ..inspect import Inspector
    except ImportError as error:
        raise CommandError(f"--inspect-port: {error}") from error
    address = check_address("127.0.0.1", arguments.inspect_port, lowest_port=0)
    try:
        with advice_on(address, port="--inspect-port"):
            inspector = Inspector(arguments.inspect_port, tokens=arguments.token_file)
            return pages.enter_context(inspector).watch
    except InvalidValueError as error:
        raise CommandError(error.details()) from error


def _wherever_from(address: AnyAddress) -> AnyAddress:
    """Returns the address as it is from every folder: a policy may change the current one."""
    if isinstance(address, UnixAddress):
        # From here it may be short enough, where from everywhere it is not.
        with suppress(InvalidValueError):
            return check_address(f"unix:{Path(address.path).absolute()}", 0, lowest_port=0)
    return address


def _check_files(
    tls: ServerTLS | None,
    tokens: Path | None,
    socket_mode: int | None,  # noqa: ARG001 - no file
) -> None:
    try:
        if tls is not None:
            ServerContexts(tls)
        if tokens is not None:
            Tokens(tokens)
    except InvalidValueError as error:
        raise CommandError(error.details()) from error


def check_can_listen(address: AnyAddress) -> None:
    """Finds out whether an address is free.

    Raises:
        CommandError: It is not.
    """
    with advice_on(address):
        bind(address).close()


def _load_on(scheduler: Scheduler, target: Target, kwargs: Mapping[str, object]) -> PolicyHandler:
    """Returns the policy, imported and made on the thread that will run it."""
    log.debug("loading %s", target, extra=event("loading", policy=str(target)))
    begun = time.monotonic()
    try:
        handler = scheduler.call(lambda: load(target, kwargs))
    except KwargsRefusedError as error:
        raise UsageError(str(error)) from error
    except PolicyCodeError as error:
        fields = event("load_failed", policy=str(target))
        log.debug("the traceback", exc_info=error.__cause__, extra=fields)
        raise CommandError(f"{error}; for its traceback add --log-level debug") from error
    except LoadError as error:
        raise CommandError(str(error)) from error
    name, seconds = type(handler).__name__, time.monotonic() - begun
    fields = event("loaded", policy=name, seconds=seconds)
    log.info("loaded %s in %.1f s", name, seconds, extra=fields)
    return handler


async def _serve_until_signalled(server: PolicyServer, name: str, grace: float) -> None:
    stop = on_stop_signals()
    # Not on this loop: the server's own is faster.
    serving = asyncio.create_task(asyncio.to_thread(server.serve))
    say(f"serving {name} on {server.address}")
    await stop_when_signalled(serving, stop, server.request_stop, grace)


async def stop_when_signalled(
    serving: asyncio.Task[None],
    stop: asyncio.Event,
    request_stop: Callable[..., None],
    grace: float,
) -> None:
    """Waits for the end of what serves, to which signals lead.

    Args:
        serving: That.
        stop: Set by each signal.
        request_stop: Has it end, with a ``grace`` or at once.
        grace: Seconds for running calls after the first signal.
    """
    await _first_of(serving, stop)
    if serving.done():
        await serving
        return
    request_stop(grace=grace)
    await asyncio.wait({serving}, timeout=_TOGETHER)
    if not serving.done():
        stop.clear()
        text = "waiting for calls to finish; SIGINT or SIGTERM once more stops at once"
        log.info(text, extra=event("waiting"))
        await _first_of(serving, stop)
    if not serving.done():
        log.warning("stopping at once", extra=event("draining", seconds=0.0))
        request_stop()
    await serving


async def _first_of(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Returns when the task has ended or the event is set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def log_to_stderr(level: str, form: str) -> None:
    """Has everything logged in one of the forms."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LOG_FORMATS[form]())
    logging.basicConfig(handlers=[handler], level=level.upper())
    if form != "text":
        logging.captureWarnings(True)  # which would be lines of another form


def _import_from_current_folder() -> None:
    """Lets the installed script find what ``python -m`` finds."""
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
