# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that serves a policy, in this process or in several."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..address import UnixAddress
from ..errors import HandlerError, RemoteError
from ..limits import Limits
from ..listening import bind
from ..logs import event
from ..openness import warn_if_open
from ..protocol import PolicyHandler
from ..scheduler import Scheduler
from ..tls import ServerContexts
from ..workers.group import Group, GroupError
from ..workers.serving import Control, WorkerServer
from . import serve as single
from . import words
from .errors import FAILED, CommandError, UsageError, explain
from .listening import advice_on
from .metrics import import_metrics, serving_group_metrics
from .options import add_option
from .output import say
from .signals import killed_by_signals, on_stop_signals

__all__ = ["add_serve"]

log = logging.getLogger("praxis_remote.cli")


def add_serve(commands: Any) -> None:
    """Adds the command."""
    parser = single.add_serve(commands)
    group = parser.add_argument_group("several processes behind one address")
    text = "load the policy in N processes; each client stays with one of them"
    add_option(group, "--workers", words.positive, metavar="N", help=text)
    text = "what each sees of the GPUs, in turn, as CUDA_VISIBLE_DEVICES; all see all by default"
    add_option(group, "--devices", words.devices, metavar="GPU,GPU", help=text)
    # How a worker is started: its number, and the file number of its socket to the door.
    add_option(parser, "--worker", _read_worker, help=argparse.SUPPRESS)
    parser.set_defaults(run=_serve)


def _read_worker(text: str) -> tuple[int, int]:
    index, _, number = text.partition(":")
    try:
        return int(index), int(number)
    except ValueError:
        raise ValueError(f"{text!r}; did you mean --workers?") from None


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.worker is not None:
        return _work(arguments, *arguments.worker)
    if arguments.workers is not None:
        return _serve_in_workers(arguments)
    if arguments.devices is not None:
        raise UsageError("argument --devices: add --workers, each of which gets one")
    return single.serve(arguments)


# ---------------------------------------------------------------- the door


def _serve_in_workers(arguments: argparse.Namespace) -> int:
    _check_options(arguments)
    _, limits = single.set_up(arguments)

    def command(worker: str) -> list[str]:
        # The same command line, so that a worker has every option that a server has.
        name, *rest = arguments.words
        return [sys.executable, "-m", "praxis_remote", name, "--worker", worker, *rest]

    with serving_group_metrics(arguments) as metrics:
        group = Group(command, arguments.workers, arguments.devices or ())
        watch = None if metrics is None else partial(metrics.watch, group)
        asyncio.run(_run(arguments, limits, group, watch))
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    devices = arguments.devices or ()
    if arguments.inspect_port is not None:
        raise UsageError(
            "argument --inspect-port: the page shows one policy, and --workers makes several; "
            "leave one of them out"
        )
    if len(devices) > arguments.workers:
        raise UsageError(
            f"argument --devices: {len(devices)} for {arguments.workers} workers, each of which "
            "gets one; give as many, or fewer to share them"
        )


async def _run(
    arguments: argparse.Namespace, limits: Limits, group: Group, watch: Callable[[], None] | None
) -> None:
    with killed_by_signals():
        address, security = single.check_serving(arguments)
        single.check_can_listen(address)
        name = await _until_loaded(group)
    stop = on_stop_signals()
    if watch is not None:
        watch()
    tls = None if security["tls"] is None else ServerContexts(security["tls"])
    with advice_on(address):
        listening = bind(address, security["socket_mode"])
    if not isinstance(address, UnixAddress):
        address = address._replace(port=listening.getsockname()[1])
    warn_if_open(address, tls, named=security["tokens"] is not None)
    log.info("listening on %s", address, extra=event("listening", address=str(address)))
    serving = asyncio.ensure_future(
        group.serve(
            listening,
            (address.host, address.port),
            most=limits.connections,
            patience=limits.handshake_seconds,
            tls=None if tls is None else tls.get,
        )
    )
    say(f"serving {name} on {address} ({_count(arguments.workers)})")
    try:
        await single.stop_when_signalled(serving, stop, group.request_stop, arguments.grace)
    except GroupError as error:
        raise _explain(error) from error


async def _until_loaded(group: Group) -> str:
    try:
        return await group.load()
    except GroupError as error:
        raise _explain(error) from error


def _explain(error: GroupError) -> CommandError:
    kind = UsageError if error.failure.exit_code == UsageError.exit_code else CommandError
    return kind(error.failure.reason)


def _count(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


# ---------------------------------------------------------------- a worker


def _work(arguments: argparse.Namespace, index: int, number: int) -> int:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    control = Control(sock)
    try:
        _serve_for_door(arguments, control, index)
    except CommandError as error:
        control.fail(str(error), error.exit_code)
        return error.exit_code
    except RemoteError as error:  # as `main` tells it
        control.fail(explain(error), FAILED)
        return FAILED
    return 0


def _serve_for_door(arguments: argparse.Namespace, control: Control, index: int) -> None:
    kwargs, limits = single.set_up(arguments)
    _name_lines(index)
    scheduler = Scheduler()
    metrics = import_metrics(arguments)
    collect: Callable[[], bytes] = bytes
    if metrics is not None:
        from ..workers.metrics import write_metrics

        collect = partial(write_metrics, metrics)

    def make(handler: PolicyHandler, *, host: str, port: int, **options: Any) -> WorkerServer:
        host, port = control.wait_to_serve(type(handler).__name__)
        # What a terminal or a supervisor sends to all processes is for the door, which has this
        # one drain. Were it ignored, it would be so in processes that the policy starts.
        _on_signals(lambda *_: None)
        return WorkerServer(
            handler, control=control, host=host, port=port, collect=collect, **options
        )

    # Until there is something to end in good order, as with `killed_by_signals`.
    _on_signals(signal.SIG_DFL)
    server, name = single.make_server(
        arguments,
        *single.check_serving(arguments),
        kwargs,
        limits,
        scheduler,
        () if metrics is None else (metrics,),
        make=make,
    )
    if metrics is not None:
        metrics.watch(server)
    try:
        server.serve()
    except HandlerError as error:
        raise single.load_failed(name, error) from error
    single.leave_if_busy(scheduler)


def _on_signals(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _name_lines(index: int) -> None:
    """Has each line of the log say which worker it is of."""

    def name(record: logging.LogRecord) -> bool:
        record.worker = index
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(name)
