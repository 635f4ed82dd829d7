# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that puts load on a served policy and tells how it bears it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..bench import (
    PRESETS,
    BenchError,
    Payload,
    Plan,
    Recording,
    Summary,
    generate,
    summarize,
)
from ..bench.cpu import cores
from ..bench.load import OnProgress
from ..bench.payloads import preset
from ..client import PolicyClient
from ..errors import HandlerError, InvalidArgumentError
from ..types import ObservationValue
from . import words
from .errors import CommandError, UsageError
from .extras import require
from .observations import read_json, read_npz
from .options import (
    EXIT_CODES,
    add_address,
    add_command,
    add_kwarg,
    add_max_message_size,
    add_option,
    client_security,
)
from .output import say
from .signals import killed_by_signals, stopped_by_interrupt

__all__ = ["add_bench"]

_STDOUT = "-"
_SECONDS = 10.0
_PICTURES = (".png", ".svg", ".pdf")

_DESCRIPTION = """\
Put load on a served policy, and tell how long its calls take and where that
time goes.

It is the real policy that is called: what it does with the observations it
does, and nothing is reset. Latencies are of the calls that went well. If the
policy fails at the first call of the warmup, that is told and no more are made.
"""

_EPILOG = f"""\
load:
  Each of the --concurrency clients has a connection of its own. Without --rate
  each calls again as soon as its call has ended (closed loop), which finds out
  how much the server can do. With --rate calls are due at fixed times, the
  clients taking turns (open loop), and a call that begins late because the one
  before was slow counts from when it was due: that is what robots with a
  control rate meet.

payloads:
  state        32 floats of state
  two-cameras  2 images of 224x224x3, and state
  vla          3 images of 480x640x3, state, and a text
  The images are random. Keys are observation.images.front, ...,
  observation.state and task; a policy with other keys gets its own by --npz or
  --observations.

results:
  --json writes one object; praxis_remote.bench.Summary documents its fields.
  Times are in milliseconds, sizes in bytes, megabytes are 10^6 of them; what is
  not known is null. The table and the progress bar, which only a terminal gets,
  need rich, --plot needs matplotlib: pip install 'praxis-remote[tools]'.
  Ctrl-C ends the run early; what was measured until then is told.

examples:
  praxis-remote bench gpu-box --payload vla
  praxis-remote bench gpu-box --concurrency 8 --duration 30 --plot latency.svg
  praxis-remote bench gpu-box --npz observation.npz --batch 16 --calls 1000 \\
      --json result.json
  praxis-remote bench unix:/run/policy.sock --payload state --rate 50 --json \\
      | jq .latency_ms.p99

{EXIT_CODES}  (1 also if every call failed)
"""


def add_bench(commands: Any) -> None:
    """Adds the command."""
    summary = "put load on a served policy and measure it"
    parser = add_command(commands, "bench", _bench, summary, _DESCRIPTION, _EPILOG)
    add_address(parser, timeout=60.0)
    _add_payload(parser)
    _add_load(parser)
    text = "write the figures as JSON, instead of the table where no FILE is given"
    parser.add_argument("--json", nargs="?", const=_STDOUT, metavar="FILE", help=text)
    text = f"draw latencies, and where the time goes; FILE ends in {', '.join(_PICTURES)}"
    add_option(parser, "--plot", _picture, metavar="FILE", help=text)
    add_max_message_size(parser)


def _add_payload(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    text = "what to send: %(choices)s; %(default)s by default"
    source.add_argument("--payload", choices=tuple(PRESETS), default="two-cameras", help=text)
    text = "send this observation, as predict does"
    source.add_argument("--npz", type=Path, metavar="FILE", help=text)
    text = "send these observations, as predict --json does"
    source.add_argument("--observations", metavar="JSON", help=text)
    text = "observations in each call; 1 by default, or as many as --observations has"
    add_option(parser, "--batch", words.positive, metavar="N", help=text)
    add_kwarg(parser, "for the policy, sent as one of policy_kwargs")
    text = "send episode ids, other ones from each client: bench-CLIENT-ROW"
    parser.add_argument("--episodes", action="store_true", help=text)


def _add_load(parser: argparse.ArgumentParser) -> None:
    text = "clients that call at once; %(default)s by default"
    add_option(parser, "--concurrency", words.positive, default=1, metavar="N", help=text)
    text = "processes that share the clients; by default one for each core, if there are so many"
    add_option(parser, "--processes", words.positive, metavar="N", help=text)
    text = f"begin calls for so long; {_SECONDS:g} by default, without an end if --calls is given"
    add_option(parser, "--duration", words.duration, metavar="SECONDS", help=text)
    text = "make so many calls, all clients together"
    add_option(parser, "--calls", words.positive, metavar="N", help=text)
    text = "calls that are due each second, all clients together; as many as can be by default"
    add_option(parser, "--rate", words.rate, metavar="R", help=text)
    text = "each client calls for so long before what is measured; %(default)g by default"
    add_option(parser, "--warmup", words.grace, default=1.0, metavar="SECONDS", help=text)


def _picture(text: str) -> Path:
    if (path := Path(text)).suffix not in _PICTURES:
        raise ValueError(f"{text!r}; the name ends in one of {', '.join(_PICTURES)}")
    return path


def _bench(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    _check_results(arguments)
    address, policy = _ask(plan)
    try:
        with stopped_by_interrupt() as stop, _shown(plan, arguments.json) as on_progress:
            found = generate(plan, stop, on_progress)
    except BenchError as error:
        raise CommandError(str(error)) from error
    summary = summarize(plan, found, address, policy)
    if not (summary.calls or summary.failed):
        raise KeyboardInterrupt
    _tell(arguments, summary, found)
    if not summary.calls:
        raise CommandError(f"every call failed: {next(iter(summary.failed.values())).example}")
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    endless = arguments.calls is not None and arguments.duration is None
    return Plan(
        client=_client(arguments),
        payload=_payload(arguments),
        concurrency=arguments.concurrency,
        processes=arguments.processes or cores(),
        calls=arguments.calls,
        duration=None if endless else arguments.duration or _SECONDS,
        rate=arguments.rate,
        warmup=arguments.warmup,
        episodes=arguments.episodes,
    )


def _client(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "host": arguments.address.host,
        "port": arguments.address.port,
        "timeout": arguments.timeout,
        "max_message_size": arguments.max_message_size,
        **client_security(arguments),
    }


def _payload(arguments: argparse.Namespace) -> Payload:
    name, batch = _batch(arguments)
    payload = Payload(name, batch, words.as_mapping(arguments.kwarg))
    # What cannot be sent is told before anybody is called.
    _ = payload.request_bytes
    return payload


def _batch(arguments: argparse.Namespace) -> tuple[str, list[dict[str, ObservationValue]]]:
    count = arguments.batch or 1
    if arguments.npz is not None:
        return arguments.npz.name, [read_npz(arguments.npz)] * count
    if arguments.observations is None:
        return arguments.payload, preset(arguments.payload, count)
    batch = read_json(arguments.observations, "--observations")
    if len(batch) != 1 and arguments.batch not in (None, len(batch)):
        raise UsageError(
            f"argument --batch: {count}, but --observations has {len(batch)}; leave --batch out"
        )
    return "observations", batch * count if len(batch) == 1 else batch


def _check_results(arguments: argparse.Namespace) -> None:
    """Raises before the calls what would otherwise lose their figures after them."""
    if arguments.json != _STDOUT:
        require("rich", "tools", "the table (there is none with --json)")
    if arguments.plot is not None:
        require("matplotlib", "tools", "--plot")
    for option, name in (("--json", arguments.json), ("--plot", arguments.plot)):
        if name not in (None, _STDOUT) and not Path(name).absolute().parent.is_dir():
            raise UsageError(f"argument {option}: there is no folder for {name}; make it")


def _ask(plan: Plan) -> tuple[str, str]:
    """Returns the address of the server, and what its policy says of itself."""
    with killed_by_signals(), PolicyClient(**plan.client) as client:
        ready, info = client.health_check()
        if not ready:
            raise CommandError(f"{client.address} is not ready: {info or 'it does not say why'}")
        if plan.warmup:
            _try(client, plan)
        return client.address, info


def _try(client: PolicyClient, plan: Plan) -> None:
    """Finds out with one call what would else be a traceback in the server's log for each."""
    payload = plan.payload
    try:
        client.predict_action(
            payload.batch,
            policy_kwargs=payload.policy_kwargs or None,
            episode_ids=plan.episode_ids(0),
        )
    except (InvalidArgumentError, HandlerError) as error:
        keys = ", ".join(map(str, payload.batch[0])) or "none"
        raise CommandError(
            f"the policy failed at the first call, with the payload {payload.name}: {error}; the "
            f"payload's keys: {keys}; send what the policy takes with --npz or --observations; "
            "the server's log has the traceback"
        ) from error


@contextmanager
def _shown(plan: Plan, to: str | None) -> Iterator[OnProgress]:
    """Gives what is to be told of progress: where nobody looks, nothing comes of it."""
    if to == _STDOUT or not sys.stdout.isatty():
        yield lambda _: None
        return
    from .bench_report import progress_bar

    with progress_bar(plan) as on_progress:
        yield on_progress


def _tell(arguments: argparse.Namespace, summary: Summary, found: Recording) -> None:
    figures = json.dumps(summary.as_dict(), indent=1, allow_nan=False, ensure_ascii=False)
    if arguments.json == _STDOUT:
        say(figures)
    else:
        from .bench_report import report

        say(report(summary))
        if arguments.json is not None:
            with _written(arguments.json):
                Path(arguments.json).write_text(f"{figures}\n", encoding="utf-8")
    if arguments.plot is not None:
        from ..bench import plot

        with _written(arguments.plot):
            plot.write(arguments.plot, summary, found.samples)


@contextmanager
def _written(path: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
