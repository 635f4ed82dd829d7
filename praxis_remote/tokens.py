# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Bearer tokens: what a client sends along, and what a server lets in.

A token is in no text that anything here makes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeAlias

from .calls import Headers
from .errors import InvalidValueError, RequestRefusedError, StatusCode, UnsupportedTypeError
from .watched import Watched

__all__ = ["TokenLike", "Tokens", "TokensLike"]

TokenLike: TypeAlias = str | os.PathLike[str]
"""What a client takes as ``token``: the token itself, or the path of a file with it."""

TokensLike: TypeAlias = Collection[str] | os.PathLike[str]
"""What a server takes as ``tokens``: several, or the path of a file with them."""

HEADER = "authorization"
_SCHEME = "bearer"

# RFC 6750, section 2.1.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")

# What orchestrators ask cannot show a token, and tells no more than whether it is there.
_OPEN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})


def digest(authorization: str) -> bytes | None:
    """Returns what stands for the token in a header; None if there is none.

    Digests are of one length, so that nothing tells how long a token is.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    return _digest(token.strip())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Tokens:
    """The tokens of which a caller must show one.

    Args:
        tokens: At least one; of several any will do, so that they can be changed one
            after the other. Or the path of a file with one in each line, which may have
            comments after ``#``; it is read again when it changes.

    Raises:
        ValueError: There is none, one has a form that no header can carry, or the file
            cannot be read.
        TypeError: It is something else, such as a single token.
    """

    def __init__(self, tokens: TokensLike) -> None:
        self._digests: Callable[[], tuple[bytes, ...]]
        if isinstance(tokens, os.PathLike):
            path = Path(tokens).absolute()
            self._digests = Watched([path], lambda: tuple(map(_digest, _read(path, "tokens")))).get
            return
        # Of a mapping the keys would be the tokens, which are rather names that everybody knows.
        if isinstance(tokens, (str, bytes, Mapping)) or not isinstance(tokens, Collection):
            raise UnsupportedTypeError(
                f"tokens: {type(tokens).__name__}; pass a list of str, or a file's pathlib.Path"
            )
        if not tokens:
            raise InvalidValueError("tokens: none; pass at least one, or leave it out")
        digests = tuple(_digest(_check(token, "tokens")) for token in tokens)
        self._digests = lambda: digests

    def check(self, path: str, shown: bytes | None) -> None:
        """Lets a call pass, or not.

        Args:
            path: ``/package.Service/Method``.
            shown: The `digest` of what the caller has sent.

        Raises:
            RequestRefusedError: UNAUTHENTICATED.
        """
        if path in _OPEN:
            return
        if shown is None:
            raise _refused(
                "this server wants a token: send it as `authorization: Bearer TOKEN` "
                "(token=, or --token-file)"
            )
        # All of them in any case: how long it takes shall not tell which it was.
        equal = [hmac.compare_digest(shown, known) for known in self._digests()]
        if True not in equal:
            raise _refused("the token is none of this server's; has it been changed?")


def _refused(details: str) -> RequestRefusedError:
    return RequestRefusedError(details, status=StatusCode.UNAUTHENTICATED)


class Token:
    """The token that a client shows.

    Args:
        token: Itself, or the path of a file in which it is the first; the file is read
            again when it changes.

    Raises:
        ValueError: It has a form that no header can carry, or the file cannot be read.
        TypeError: It is something else.
    """

    def __init__(self, token: TokenLike) -> None:
        self._headers: Callable[[], Headers]
        if isinstance(token, os.PathLike):
            path = Path(token).absolute()
            self._headers = Watched([path], lambda: _as_header(_read(path, "token")[0])).get
        else:
            headers = _as_header(_check(token, "token"))
            self._headers = lambda: headers

    def headers(self) -> Headers:
        """Returns what goes with a call."""
        return self._headers()


def _as_header(token: str) -> Headers:
    return ((HEADER, f"Bearer {token}"),)


def _read(path: Path, name: str) -> list[str]:
    try:
        lines = [
            line.partition("#")[0].strip() for line in path.read_text("utf-8-sig").splitlines()
        ]
    except OSError as error:
        raise InvalidValueError(f"{name}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"{name}: {path} is no text") from error
    tokens = [
        _check(line, f"{name}: {path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line
    ]
    if not tokens:
        raise InvalidValueError(f"{name}: {path} holds none; write one in each line")
    return tokens


def _check(token: object, name: str) -> str:
    if not isinstance(token, str):
        raise UnsupportedTypeError(f"{name}: {type(token).__name__}; a token is a str")
    if not _TOKEN.fullmatch(token):
        # Without the value, which somebody may have got almost right.
        raise InvalidValueError(
            f"{name}: a token of {len(token)} characters that no header can carry; allowed: "
            "letters, digits, - . _ ~ + /, and = at the end"
        )
    return token
