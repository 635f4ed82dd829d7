# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who may see the page: this machine, by its own names, and who has a token if one is needed."""

from __future__ import annotations

import ipaddress
import secrets
from collections import OrderedDict

from aiohttp import web

from ..errors import InvalidValueError, RequestRefusedError
from ..tokens import Tokens, digest

__all__ = ["Door", "check_loopback", "is_own_name"]

# Browsers that are logged in at a time.
_MAX_VISITS = 64

# No rpc of those that are answered without a token.
_NO_RPC = ""


def check_loopback(host: str) -> str:
    """Returns a host that is reached from this machine only.

    Raises:
        InvalidValueError: It is another one.
    """
    if not _is_loopback(host):
        raise InvalidValueError(
            f"host: {host!r}; the page is for this machine only: 127.0.0.1, ::1 or localhost. "
            "From another one go through SSH: ssh -L PORT:127.0.0.1:PORT THIS-MACHINE"
        )
    return host


def is_own_name(host: str) -> bool:
    """Returns whether a Host header names this machine; its port may be that of a tunnel.

    A page of another site may have its name resolve to 127.0.0.1, and then read what
    comes from here; the name in the header is still the other site's.
    """
    name, colon, port = host.rpartition(":")
    if not (colon and port.isdigit()):
        name = host
    return _is_loopback(name.removeprefix("[").removesuffix("]"))


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """Lets in who shows a token, or has shown it before and got a cookie.

    Args:
        tokens: Those that let in; None to let everybody in.
        name: Of the cookie, other than that of another page on this machine.
    """

    def __init__(self, tokens: Tokens | None, name: str) -> None:
        self._tokens = tokens
        self._name = name
        # By cookie the digest of its token, which may cease to let in.
        self._visits: OrderedDict[str, bytes] = OrderedDict()

    def is_open_to(self, request: web.Request) -> bool:
        """Returns whether a request may be answered."""
        header = request.headers.get("Authorization")
        if header is not None:
            return self._lets_in(digest(header))
        return self._lets_in(self._visits.get(request.cookies.get(self._name, "")))

    def enter(self, token: str, response: web.StreamResponse) -> bool:
        """Gives a cookie for a token; returns whether it was one of them."""
        shown = digest(f"Bearer {token}")
        if shown is None or not self._lets_in(shown):
            return False
        cookie = secrets.token_urlsafe(32)
        self._visits[cookie] = shown
        while len(self._visits) > _MAX_VISITS:
            self._visits.popitem(last=False)
        response.set_cookie(self._name, cookie, httponly=True, samesite="Strict", path="/")
        return True

    def _lets_in(self, shown: bytes | None) -> bool:
        if self._tokens is None:
            return True
        try:
            self._tokens.check(_NO_RPC, shown)
        except RequestRefusedError:
            return False
        return True
