# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that tells what a served policy expects of its callers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from ..logs import printable
from ..specs import KwargSpec, ObservationSpec
from ..specs.spec import ValueSpec
from .calls import open_client
from .options import add_address, add_command
from .output import say

__all__ = ["add_spec", "as_table"]

_DESCRIPTION = """\
Print what a served policy expects of an observation and of policy_kwargs, if
it says so: each key with its kind, dtype and shape. A name in a shape is any
size that is the same wherever it stands, "any" is any size, and "..." any
dimensions.
"""


def add_spec(commands: Any) -> None:
    """Adds the command."""
    summary = "print what a served policy expects of an observation"
    parser = add_command(commands, "spec", _spec, summary, _DESCRIPTION)
    add_address(parser, timeout=5.0)
    text = "print JSON: null for a policy that does not say it"
    parser.add_argument("--json", action="store_true", help=text)


def _spec(arguments: argparse.Namespace) -> int:
    with open_client(arguments) as client:
        spec = client.observation_spec()
    if arguments.json:
        say(json.dumps(None if spec is None else spec.as_dict(), indent=2))
    elif spec is None:
        say(f"{client.address} publishes no observation spec")
    else:
        say(as_table(spec))
    return 0


def as_table(spec: ObservationSpec) -> str:
    """Returns a spec for people to read."""
    return "\n\n".join(
        [
            _part("observation", spec.keys, extra=spec.extra_keys),
            _part("policy_kwargs", spec.policy_kwargs, extra=spec.extra_policy_kwargs),
        ]
    )


def _part(
    name: str, keys: Mapping[str, ValueSpec] | Mapping[str, KwargSpec], *, extra: bool
) -> str:
    rows = [(name, "expected", "required")]
    rows += [
        (printable(key), printable(str(spec)), "yes" if spec.required else "no")
        for key, spec in keys.items()
    ]
    rows.append(("any other", "anything" if extra else "not allowed", "no"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows)
