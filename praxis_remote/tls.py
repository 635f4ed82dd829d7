# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""TLS as users ask for it: files, or a context of their own.

What comes out is `ssl.SSLContext`, made anew when the files change. How bytes are
encrypted is decided elsewhere.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from .address import Address, AnyAddress
from .errors import InvalidValueError, UnsupportedTypeError
from .watched import Watched

__all__ = ["ClientTLS", "ClientTLSLike", "Secure", "ServerTLS", "ServerTLSLike"]

PathLike: TypeAlias = str | os.PathLike[str]

_ALPN = ["h2"]
_LOWEST = ssl.TLSVersion.TLSv1_2


@dataclass(frozen=True)
class ServerTLS:
    """The files of a server that speaks TLS, in PEM. They are read again when they change.

    Attributes:
        cert: The server's certificate, followed by those between it and its authority.
        key: The certificate's private key, without a password.
        client_ca: Certificates of the authorities whose clients are let in, and no others
            (mutual TLS); None lets everybody in.
    """

    cert: PathLike
    key: PathLike
    client_ca: PathLike | None = None


@dataclass(frozen=True)
class ClientTLS:
    """How a client knows its server, and shows who it is. Files are read again when they change.

    Attributes:
        ca: Certificates of the authorities that are trusted, in PEM; None for the
            system's. A certificate that a server has made for itself may stand here.
        cert: The client's certificate, for a server that wants one.
        key: Its private key, without a password; None if it is in the same file.
        server_name: The name that the server's certificate must have; None for the host.
    """

    ca: PathLike | None = None
    cert: PathLike | None = None
    key: PathLike | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise InvalidValueError("tls: key without cert; pass the key's certificate as well")
        if self.server_name is not None and not _is_name(self.server_name):
            raise InvalidValueError(f"tls: server_name={self.server_name!r}; pass a host's name")


def _is_name(name: object) -> bool:
    try:
        # As it is sent.
        return isinstance(name, str) and name.isprintable() and name.encode("idna")[:1] not in b"."
    except UnicodeError:
        return False


ServerTLSLike: TypeAlias = ServerTLS | ssl.SSLContext
"""What a server takes as ``tls``."""

ClientTLSLike: TypeAlias = bool | ClientTLS | ssl.SSLContext
"""What a client takes as ``tls``; True is ``ClientTLS()``."""


class Secure(NamedTuple):
    """What one connection of a client's is made with."""

    context: ssl.SSLContext
    server_name: str


class _Files:
    """Files by absolute names: the process may go to another folder before it reads again."""

    def __init__(self, cert: PathLike | None, key: PathLike | None, ca: PathLike | None) -> None:
        self.cert, self.key = _absolute(cert, "cert"), _absolute(key, "key")
        self.ca = _absolute(ca, "ca")
        self.paths = [path for path in (self.cert, self.key, self.ca) if path is not None]


def _absolute(path: PathLike | None, name: str) -> Path | None:
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)):
        raise UnsupportedTypeError(f"tls: {name}: {type(path).__name__}; pass a file's path")
    return Path(path).absolute()


# ---------------------------------------------------------------- server


class ServerContexts:
    """The context for each new connection of a server.

    Args:
        tls: What the user asked for.

    Attributes:
        names_clients: Whether clients must show a certificate.

    Raises:
        ValueError: A file cannot be used, or the context is none for a server.
        TypeError: It is something else.
    """

    def __init__(self, tls: ServerTLSLike) -> None:
        self.get: Callable[[], ssl.SSLContext]
        if isinstance(tls, ssl.SSLContext):
            _adopt(tls, ssl.PROTOCOL_TLS_CLIENT, "a client", "PROTOCOL_TLS_SERVER")
            self.get = lambda: tls
        elif isinstance(tls, ServerTLS):
            files = _Files(tls.cert, tls.key, tls.client_ca)
            self.get = Watched(files.paths, lambda: _server_context(files)).get
        else:
            raise UnsupportedTypeError(
                f"tls: {type(tls).__name__}; pass ServerTLS(cert, key) or an ssl.SSLContext"
            )
        self.names_clients = self.get().verify_mode is ssl.CERT_REQUIRED


def _server_context(files: _Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_chain(context, files)
    if files.ca is not None:
        _load_authorities(context, files.ca, "client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    # A connection lasts, so that tickets for the next one would be sent in vain.
    context.num_tickets = 0
    return _hold_to_rules(context)


# ---------------------------------------------------------------- client


class ClientContexts:
    """The context for each new connection of a client.

    Args:
        tls: What the user asked for.

    Raises:
        ValueError: A file cannot be used, or the context is none for a client.
        TypeError: It is something else.
    """

    def __init__(self, tls: ClientTLSLike) -> None:
        self._server_name: str | None = None
        self._get: Callable[[], ssl.SSLContext]
        if isinstance(tls, ssl.SSLContext):
            _adopt(tls, ssl.PROTOCOL_TLS_SERVER, "a server", "PROTOCOL_TLS_CLIENT")
            self._get = lambda: tls
            return
        asked = ClientTLS() if tls is True else tls
        if not isinstance(asked, ClientTLS):
            raise UnsupportedTypeError(
                f"tls: {type(tls).__name__}; pass True, ClientTLS(...) or an ssl.SSLContext"
            )
        self._server_name = asked.server_name
        files = _Files(asked.cert, asked.key, asked.ca)
        self._get = Watched(files.paths, lambda: _client_context(files)).get

    def secure(self, address: AnyAddress) -> Secure:
        """Returns what a connection to a server is made with."""
        host = address.host if isinstance(address, Address) else address.authority
        # The interface of a link-local address is no part of the server's name.
        return Secure(self._get(), self._server_name or host.partition("%")[0])


def client_contexts(tls: ClientTLSLike | None) -> ClientContexts | None:
    """Returns the contexts of a client, or None if it shall not speak TLS."""
    return None if tls is None or tls is False else ClientContexts(tls)


def _client_context(files: _Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, files.ca, "ca")
    if files.cert is not None:
        _load_chain(context, files)
    return _hold_to_rules(context)


# ---------------------------------------------------------------- both


def _adopt(context: ssl.SSLContext, wrong: int, whose: str, right: str) -> None:
    """Makes a user's context fit, or tells why it does not."""
    if context.protocol == wrong:
        raise InvalidValueError(f"tls: the ssl.SSLContext is one for {whose}; make it with {right}")
    if context.minimum_version < _LOWEST:
        raise InvalidValueError(
            f"tls: the ssl.SSLContext has minimum_version {context.minimum_version.name}; "
            f"allowed: {_LOWEST.name} and later"
        )
    _hold_to_rules(context)


def _hold_to_rules(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = max(_LOWEST, context.minimum_version)
    # RFC 9113, section 9.2.1.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Without it gRPC's other implementations refuse to talk.
    context.set_alpn_protocols(_ALPN)
    return context


def _load_authorities(context: ssl.SSLContext, path: Path, name: str) -> None:
    _check_readable(path, name)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidValueError(f"tls: {name}: {path} holds no certificates in PEM") from error


# By what OpenSSL calls it, which is None for a file that holds something else.
_WRONG_CHAINS = {
    "KEY_VALUES_MISMATCH": "the key is that of another certificate",
    "KEY_TYPE_MISMATCH": "the key is that of another certificate",
}
_WRONG_CHAIN = "one of them is missing, damaged, or in the place of the other"


def _load_chain(context: ssl.SSLContext, files: _Files) -> None:
    assert files.cert is not None
    _check_readable(files.cert, "cert")
    if files.key is not None:
        _check_readable(files.key, "key")
    names = " and ".join(str(path) for path in (files.cert, files.key) if path is not None)
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except ssl.SSLError as error:
        raise InvalidValueError(
            f"tls: cert, key: {names}: no certificate with its private key in PEM: "
            f"{_WRONG_CHAINS.get(error.reason, _WRONG_CHAIN)}"
        ) from error


def _check_readable(path: Path, name: str) -> None:
    """Has the error name the file, which OpenSSL's does not."""
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise InvalidValueError(f"tls: {name}: cannot read {path}: {error.strerror}") from error


def _no_password() -> str:
    # OpenSSL would ask on the terminal, for which nobody may wait.
    raise InvalidValueError(
        "tls: key: it has a password; pass one without, or an ssl.SSLContext that has loaded it"
    )
