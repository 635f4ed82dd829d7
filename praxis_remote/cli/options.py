# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""argparse as all commands use it, and the options that several of them have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from ..address import DEFAULT_PORT, parse_address
from ..errors import InvalidValueError
from ..framing import DEFAULT_MAX_MESSAGE_SIZE
from ..tls import ClientTLS, ServerTLS
from . import words
from .errors import UsageError

__all__ = [
    "EXIT_CODES",
    "Parser",
    "add_address",
    "add_addresses",
    "add_command",
    "add_episode",
    "add_kwarg",
    "add_max_message_size",
    "add_option",
    "add_server_security",
    "client_security",
    "server_security",
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

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Tells which words it does not know, and which ones may have been meant."""
        options = [
            name
            for name, action in self._option_string_actions.items()
            if name.startswith("--") and action.help is not argparse.SUPPRESS
        ]
        names = [word.partition("=")[0] for word in unknown]
        near = [found for name in names for found in get_close_matches(name, options, 1)]
        advice = [f"did you mean {near[0]}?"] if near else []
        if "--kwarg" in options:
            advice.append("arguments of the policy are given as --kwarg NAME=VALUE")
        self.error("; ".join([f"unrecognized arguments: {' '.join(unknown)}", *advice]))


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str | None = None,
    epilog: str = EXIT_CODES,
) -> argparse.ArgumentParser:
    """Adds a command, which runs with its arguments and returns the exit code."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, refuse=parser.refuse)
    return parser


def add_option(
    parser: argparse._ActionsContainer, name: str, read: Callable[[str], Any], **options: Any
) -> None:
    """Adds an argument whose error says in what way its value is wrong."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(name, type=convert, **options)


_ADDRESS_HELP = f"as HOST, HOST:PORT, [IPV6]:PORT or unix:PATH; port {DEFAULT_PORT} if none"


def add_address(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Adds whom to call, and how long that may take by default."""
    text = f"the server, {_ADDRESS_HELP}"
    add_option(parser, "address", parse_address, metavar="ADDR", help=text)
    _add_timeout(parser, timeout)
    _add_client_security(parser)


def add_addresses(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Adds whom to call where that may be several, and how long each may take by default."""
    options: dict[str, Any] = {"metavar": "ADDR", "nargs": "+"}
    add_option(parser, "addresses", parse_address, help=f"a server, {_ADDRESS_HELP}", **options)
    _add_timeout(parser, timeout)
    _add_client_security(parser)


def _add_timeout(parser: argparse.ArgumentParser, timeout: float) -> None:
    text = "for the call, connecting included; inf for no limit, %(default)g by default"
    add_option(parser, "--timeout", words.timeout, default=timeout, metavar="SECONDS", help=text)


def _add_client_security(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("security")
    text = "speak TLS, as each of the --tls options has it; trust the authorities of this system"
    group.add_argument("--tls", action="store_true", help=text)
    text = "trust the certificates in this file instead, in PEM"
    _add_file(group, "--tls-ca", text)
    _add_file(group, "--tls-cert", "the certificate to show to the server")
    _add_file(group, "--tls-key", "its private key; not needed if it is in the same file")
    text = "what the server's certificate must be for; the host by default"
    group.add_argument("--tls-server-name", metavar="NAME", help=text)
    _add_file(group, "--token-file", "show the server the first token in this file")


def client_security(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what `_add_client_security` stands for, as arguments of a client.

    Raises:
        UsageError: Options do not go together.
    """
    files = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key, arguments.tls_server_name)
    tls = arguments.tls or any(given is not None for given in files)
    try:
        return {"tls": ClientTLS(*files) if tls else None, "token": arguments.token_file}
    except InvalidValueError as error:
        raise UsageError(f"argument --tls-...: {error}") from error


def add_server_security(parser: argparse.ArgumentParser) -> None:
    """Adds who may call, and who may listen in."""
    group = parser.add_argument_group("security; all files are read again when they change")
    text = "speak TLS with this certificate, in PEM, and those up to its authority after it"
    _add_file(group, "--tls-cert", text)
    _add_file(group, "--tls-key", "its private key")
    text = "let nobody in without a certificate from the authorities in this file"
    _add_file(group, "--tls-client-ca", text)
    text = "let nobody in without a token from this file: one in each line, # begins a comment"
    _add_file(group, "--token-file", text)
    text = "the permissions of the file of a UNIX socket, such as 660; the umask's by default"
    add_option(group, "--socket-mode", words.mode, metavar="MODE", help=text)


def server_security(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what `add_server_security` stands for, as arguments of a server.

    Raises:
        UsageError: Options do not go together.
    """
    cert, key, client_ca = arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca
    if (cert is None) != (key is None):
        raise UsageError("argument --tls-cert, --tls-key: give both or none")
    if client_ca is not None and cert is None:
        raise UsageError("argument --tls-client-ca: give --tls-cert and --tls-key as well")
    return {
        "tls": None if cert is None else ServerTLS(cert, key, client_ca),
        "tokens": arguments.token_file,
        "socket_mode": arguments.socket_mode,
    }


def _add_file(group: argparse._ActionsContainer, name: str, text: str) -> None:
    # Absolute, since a policy may change the current folder.
    group.add_argument(name, type=lambda text: Path(text).absolute(), metavar="FILE", help=text)


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
