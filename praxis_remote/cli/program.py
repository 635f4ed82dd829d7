# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The whole command line: its commands, their exit codes, and the line that tells an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import RemoteError
from ..version import __version__
from .bench import add_bench
from .calls import add_health, add_predict, add_reset
from .errors import FAILED, CommandError, explain
from .options import EXIT_CODES, Parser
from .output import complain
from .proto import add_proto
from .spec import add_spec
from .top import add_top
from .workers import add_serve

__all__ = ["main"]

_INTERRUPTED = 130

_DESCRIPTION = """\
Call a robot policy on another machine: observations go over, an action
comes back.
"""

_EPILOG = f"""\
examples:
  praxis-remote serve my_pkg.my_mod:MyPolicy --kwarg path=/models/x.pt
  praxis-remote health gpu-box:50051 --wait 60
  praxis-remote spec gpu-box
  praxis-remote predict gpu-box --json '{{"observation.state": [0.1, 0.2]}}'
  praxis-remote reset gpu-box --episode ep-7
  praxis-remote bench gpu-box --payload vla --concurrency 4
  praxis-remote top gpu-a gpu-b
  protoc -I "$(praxis-remote proto --include)" ...

{EXIT_CODES}"""

# In the order in which the help lists them.
_COMMANDS = (
    add_serve,
    add_health,
    add_spec,
    add_reset,
    add_predict,
    add_bench,
    add_top,
    add_proto,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    ``serve`` takes over the process's SIGINT and SIGTERM, and keeps them.

    Args:
        argv: The words after the program's name; None for those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted.

    Raises:
        SystemExit: Help or the version was asked for.
    """
    try:
        # argparse would name the program, and not the command, as what has the help.
        arguments, unknown = _parser().parse_known_args(argv)
        if unknown:
            arguments.refuse(unknown)
        arguments.words = sys.argv[1:] if argv is None else list(argv)
        code: int = arguments.run(arguments)
    except CommandError as error:
        return complain(str(error), error.exit_code)
    except RemoteError as error:
        return complain(explain(error), FAILED)
    except KeyboardInterrupt:
        return complain("interrupted", _INTERRUPTED)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="praxis-remote",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"praxis-remote {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for add in _COMMANDS:
        add(commands)
    return parser
