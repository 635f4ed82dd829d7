# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Certificates that the tests make for themselves, as files.

The fixtures are there for every test; see ``conftest.py``.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from praxis_remote import ClientTLS, ServerTLS

HOSTS = ("127.0.0.1", "::1", "localhost")
_PAST = datetime.now(timezone.utc) - timedelta(days=30)


class Pem(NamedTuple):
    """A certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Issues certificates, and is trusted by whoever has its own."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str, expired: bool = False) -> Pem:
        """Writes a certificate to files of this name, in place of those that are there."""
        issued = self._ca.issue_cert(
            *(hosts or HOSTS),
            not_before=_PAST,
            not_after=_PAST + timedelta(days=1) if expired else None,
        )
        pem = Pem(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _replace(pem.cert, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        _replace(pem.key, issued.private_key_pem.bytes())
        return pem

    def server(self, *hosts: str, expired: bool = False, mutual: bool = False) -> ServerTLS:
        """Returns what a server needs, with a new certificate."""
        pem = self.issue("server", *hosts, expired=expired)
        return ServerTLS(*pem, client_ca=self.ca if mutual else None)

    def client(self, *, shows: bool = False, server_name: str | None = None) -> ClientTLS:
        """Returns what a client needs that trusts this authority."""
        if not shows:
            return ClientTLS(self.ca, server_name=server_name)
        return ClientTLS(self.ca, *self.issue("client", "robot-7"), server_name)

    def raw_server(self) -> ssl.SSLContext:
        """Returns a context for a server that is none of the package's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("raw"))
        context.set_alpn_protocols(["h2"])
        return context

    def raw_client(self) -> ssl.SSLContext:
        """Returns a context for a client that is none of the package's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        context.set_alpn_protocols(["h2"])
        return context


def _replace(path: Path, content: bytes) -> None:
    # Another file in any case, where one of the same size may be written too soon after
    # the last one for the clock of the file system.
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Holds a context to what was allowed long ago."""
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    # Else OpenSSL itself offers none of the old versions.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """One that nobody trusts."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return Authority(folder)
