# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""argparse as all commands use it, and the options that several of them have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from typing_extensions import override

from ..address import DEFAULT_PORT, parse_address
from ..framing import DEFAULT_MAX_MESSAGE_SIZE
from . import words
from .errors import UsageError

__all__ = [
    "EXIT_CODES",
    "Parser",
    "add_address",
    "add_command",
    "add_episode",
    "add_kwarg",
    "add_max_message_size",
    "add_option",
]

EXIT_CODES = """\
exit codes:
  0    done
  1    failed; one line on stderr says why
  2    the command line is wrong
  130  interrupted by Ctrl-C, as the shell shows it
"""

_KWARG_HELP = (
    "an argument %s; may be given repeatedly. VALUE is taken as JSON where it is JSON "
    '(2.0, true, null, [1, 2], {"a": 1}, "3" with its quotes), and as text otherwise'
)


class Parser(argparse.ArgumentParser):
    """argparse, with its errors in the form of all others."""

    @override
    def error(self, message: str) -> NoReturn:
        """Has the program tell what is wrong, where argparse would exit."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str | None = None,
    epilog: str = EXIT_CODES,
) -> argparse.ArgumentParser:
    """Adds a command, which runs with its arguments and returns the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_option(
    parser: argparse.ArgumentParser, name: str, read: Callable[[str], Any], **options: Any
) -> None:
    """Adds an argument whose error says in what way its value is wrong."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(name, type=convert, **options)


def add_address(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Adds whom to call, and how long that may take by default."""
    text = f"the server, as HOST, HOST:PORT, [IPV6]:PORT or unix:PATH; port {DEFAULT_PORT} if none"
    add_option(parser, "address", parse_address, metavar="ADDR", help=text)
    text = "for the call, connecting included; inf for no limit, %(default)g by default"
    add_option(parser, "--timeout", words.timeout, default=timeout, metavar="SECONDS", help=text)


def add_kwarg(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds named arguments, of which there may be many."""
    text = _KWARG_HELP % purpose
    add_option(
        parser, "--kwarg", words.kwarg, action="append", default=[], metavar="NAME=VALUE", help=text
    )


def add_episode(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds episodes, of which there may be many."""
    parser.add_argument("--episode", action="append", metavar="ID", help=purpose)


def add_max_message_size(parser: argparse.ArgumentParser) -> None:
    """Adds the limit to what is sent and received."""
    text = "of a request or a response; %(default)s by default"
    limit = DEFAULT_MAX_MESSAGE_SIZE
    add_option(parser, "--max-message-size", words.size, default=limit, metavar="BYTES", help=text)
