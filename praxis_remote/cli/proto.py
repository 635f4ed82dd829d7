# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command that helps other betterproto projects use the schema."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..schema import include_path
from ..schema.reuse import adopt
from .errors import CommandError
from .options import add_command
from .output import say

__all__ = ["add_proto"]


def add_proto(commands: Any) -> None:
    """Adds the command."""
    summary = "help other betterproto projects use the schema"
    parser = add_command(commands, "proto", _proto, summary)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--include", action="store_true", help="print the folder for protoc -I")
    text = "make generated code in DIR use praxis_remote.schema's classes, not a copy of them"
    action.add_argument("--adopt", type=Path, metavar="DIR", help=text)


def _proto(arguments: argparse.Namespace) -> int:
    try:
        path = include_path() if arguments.include else adopt(arguments.adopt)
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    say(str(path))
    return 0
