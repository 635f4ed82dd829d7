# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The commands that call a served policy by hand: health, reset, predict."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..client import PolicyClient
from ..framing import DEFAULT_MAX_MESSAGE_SIZE
from ..stage import Stage
from . import words
from .actions import FORMATS, write_npy
from .errors import CommandError
from .observations import read_json, read_npz
from .options import (
    EXIT_CODES,
    add_address,
    add_command,
    add_episode,
    add_kwarg,
    add_max_message_size,
    add_option,
    client_security,
)
from .output import say
from .signals import killed_by_signals

__all__ = ["add_health", "add_predict", "add_reset", "open_client"]

_DESCRIPTION = """\
Call a policy by hand and print its action. The latency goes to stderr.
"""

_EPILOG = (
    """\
observations:
  --npz FILE   One observation: each array is one key. An array of text without
               dimensions, as numpy.savez makes it of a str, is sent as text.
  --json JSON  An object is one observation, a list of objects is a batch. JSON
               that begins with { or [ is taken as such, anything else is a
               file's name. Lists become arrays of int64, float64 or bool; other
               dtypes are written {"dtype": "uint8", "data": [[0, 255]]}. Text,
               true, false and single numbers are sent as they are.

examples:
  praxis-remote predict gpu-box --npz observation.npz --output action.npy
  praxis-remote predict unix:/run/policy.sock --npz observation.npz
  praxis-remote predict [::1]:50051 --json batch.json --episode a --episode b
  praxis-remote predict gpu-box \\
      --json '{"task": "lift", "observation.state": [0.5, 1]}' \\
      --kwarg temperature=0.1 --format json

"""
    + EXIT_CODES
)


def add_health(commands: Any) -> None:
    """Adds the command that asks a policy what it says of itself."""
    summary = "print what a served policy says of itself, if it is ready"
    parser = add_command(commands, "health", _health, summary)
    add_address(parser, timeout=5.0)
    text = "wait this long for it to be there and ready"
    add_option(parser, "--wait", words.timeout, metavar="SECONDS", help=text)


def add_reset(commands: Any) -> None:
    """Adds the command that has a policy forget its episodes."""
    parser = add_command(commands, "reset", _reset, "have a served policy forget its episodes")
    add_address(parser, timeout=60.0)
    add_episode(parser, "an episode to forget; may be given repeatedly, all if it is not given")


def add_predict(commands: Any) -> None:
    """Adds the command that has a policy act on observations."""
    summary = "call a served policy by hand"
    parser = add_command(commands, "predict", _predict, summary, _DESCRIPTION, _EPILOG)
    add_address(parser, timeout=60.0)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--npz", type=Path, metavar="FILE", help="the observation's arrays")
    source.add_argument("--json", metavar="JSON", help="observations as JSON, or a file with it")
    add_kwarg(parser, "for the policy, sent as one of policy_kwargs")
    add_episode(parser, "the episode of the observation; once for each one of a batch")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the action as .npy, too")
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="of the action")
    add_max_message_size(parser)


def _health(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        if arguments.wait is not None:
            ready, info = True, client.wait_ready(arguments.wait)
        else:
            ready, info = client.health_check()
    if not ready:
        raise CommandError(f"{client.address} is not ready: {info or 'it does not say why'}")
    say(info)
    sys.stderr.write(f"{Stage.SERVING.value}\n")
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        if not client.reset(episode_ids=arguments.episode):
            raise CommandError(f"{client.address} says that nothing was reset")
    say(f"reset {', '.join(arguments.episode or ['all episodes'])}")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    policy_kwargs: dict[str, Any] = words.as_mapping(arguments.kwarg)
    observations = (
        [read_npz(arguments.npz)] if arguments.npz is not None else read_json(arguments.json)
    )
    with open_client(arguments, arguments.max_message_size) as client:
        begun = time.perf_counter()
        action = client.predict_action(
            observations, policy_kwargs=policy_kwargs, episode_ids=arguments.episode
        )
        elapsed = time.perf_counter() - begun
    say(FORMATS[arguments.format](action))
    if arguments.output is not None:
        write_npy(arguments.output, action)
    sys.stderr.write(f"{elapsed * 1e3:.1f} ms, connecting included\n")
    return 0


@contextmanager
def open_client(
    arguments: argparse.Namespace, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
) -> Iterator[PolicyClient]:
    """Yields a client for the server that the command line names."""
    options = {
        "timeout": arguments.timeout,
        "max_message_size": max_message_size,
        **client_security(arguments),
    }
    host, port = arguments.address.host, arguments.address.port
    with killed_by_signals(), PolicyClient(host, port, **options) as client:
        yield client
