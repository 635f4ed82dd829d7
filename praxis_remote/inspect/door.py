# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Who may see the page: this machine, by its own names, and who has a token if one is needed."""

from __future__ import annotations

import ipaddress
import secrets
from collections import OrderedDict
from typing import Protocol

from aiohttp import web

from ..errors import InvalidValueError

__all__ = ["Door", "Tokens", "check_loopback", "is_own_name"]

# Browsers that are logged in at a time.
_MAX_VISITS = 64

_BEARER = "bearer "


class Tokens(Protocol):
    """Knows the tokens that let in."""

    def check(self, token: str) -> bool:
        """Returns whether it is one of them; takes as long for every wrong one."""
        ...


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
        # By cookie the token that it stands for, which may cease to let in.
        self._visits: OrderedDict[str, str] = OrderedDict()

    def is_open_to(self, request: web.Request) -> bool:
        """Returns whether a request may be answered."""
        if self._tokens is None:
            return True
        kind = request.headers.get("Authorization", "")
        if kind[: len(_BEARER)].lower() == _BEARER:
            return self._tokens.check(kind[len(_BEARER) :].strip())
        token = self._visits.get(request.cookies.get(self._name, ""))
        return token is not None and self._tokens.check(token)

    def enter(self, token: str, response: web.StreamResponse) -> bool:
        """Gives a cookie for a token; returns whether it was one of them."""
        if self._tokens is None or not self._tokens.check(token):
            return False
        cookie = secrets.token_urlsafe(32)
        self._visits[cookie] = token
        while len(self._visits) > _MAX_VISITS:
            self._visits.popitem(last=False)
        response.set_cookie(self._name, cookie, httponly=True, samesite="Strict", path="/")
        return True
