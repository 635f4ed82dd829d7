# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Connections that TLS refuses: the client says why and what to do, the server in one line."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from authority import Authority, old
from faces import Face
from http2_peers import TIMEOUT, Peer, RawServer

from praxis_remote import ClientTLS, Limits, PolicyServer, ServerTLS
from praxis_remote.errors import RemoteError, RequestRefusedError, UnavailableError
from praxis_remote.testing import RecordingHandler


def refused(face: Face, port: int, tls: Any) -> RemoteError:
    """Returns the error of a call that cannot be made, and that nothing has begun on."""
    with pytest.raises(RemoteError) as raised:
        face.client(port, tls=tls).predict_action([{"x": 1}])
    assert raised.value.never_ran
    assert raised.value.address == f"127.0.0.1:{port}"
    return raised.value


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns what servers have logged of what is wrong, without tracebacks."""

    def read() -> list[str]:
        found = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not any(record.exc_info for record in found)
        return [record.getMessage() for record in found]

    return read


CASES: dict[str, tuple[Callable[..., ServerTLS], Callable[..., ClientTLS], type, str, str]] = {
    "wrong CA": (
        lambda authority, stranger: stranger.server(),
        lambda authority, stranger: authority.client(),
        UnavailableError,
        "the server's certificate is not trusted",
        "the client does not trust this server's certificate",
    ),
    "the system's authorities": (
        lambda authority, stranger: authority.server(),
        lambda authority, stranger: ClientTLS(),
        UnavailableError,
        r"not trusted: .*; pass its authority as ClientTLS\(ca=...\)",
        "the client does not trust this server's certificate",
    ),
    "expired": (
        lambda authority, stranger: authority.server(expired=True),
        lambda authority, stranger: authority.client(),
        UnavailableError,
        "the server's certificate has expired; have it renewed",
        "the client says that this server's certificate has expired",
    ),
    "wrong host": (
        lambda authority, stranger: authority.server("elsewhere.lab"),
        lambda authority, stranger: authority.client(),
        UnavailableError,
        r"not for '127.0.0.1'; call the server by a name .*server_name",
        "does it call the server by another name",
    ),
    "no client certificate": (
        lambda authority, stranger: authority.server(mutual=True),
        lambda authority, stranger: authority.client(),
        RequestRefusedError,
        r"pass ClientTLS\(cert=..., key=...\)",
        "the client showed no certificate",
    ),
    "a stranger's client certificate": (
        lambda authority, stranger: authority.server(mutual=True),
        lambda authority, stranger: ClientTLS(authority.ca, *stranger.issue("robot")),
        RequestRefusedError,
        "the server does not trust this client's certificate",
        "the client's certificate is not trusted",
    ),
    "an expired client certificate": (
        lambda authority, stranger: authority.server(mutual=True),
        lambda authority, stranger: ClientTLS(
            authority.ca, *authority.issue("robot", expired=True)
        ),
        RequestRefusedError,
        "the server says that this client's certificate has expired",
        "the client's certificate has expired",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_certificate_that_will_not_do_is_told_of_on_both_ends(
    face: Face,
    authority: Authority,
    stranger: Authority,
    case: str,
    told: Callable[[], list[str]],
) -> None:
    server_tls, client_tls, kind, client_says, server_says = CASES[case]
    with PolicyServer(RecordingHandler(), port=0, tls=server_tls(authority, stranger)) as server:
        error = refused(face, server.port, client_tls(authority, stranger))
    assert type(error) is kind
    assert re.search(client_says, error.details()), error
    lines = told()
    assert lines
    assert all(server_says in line and line.startswith("127.0.0.1:") for line in lines), lines


def test_no_client_certificate_is_told_of_over_tls_1_2_too(
    face: Face, authority: Authority
) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server(mutual=True)) as server:
        error = refused(face, server.port, context)
    assert type(error) is RequestRefusedError
    assert "it may want a certificate of this client" in error.details()


def test_a_server_with_old_tls_is_refused(face: Face, authority: Authority) -> None:
    def never(peer: Peer) -> None:
        raise AssertionError

    with RawServer(never, tls=old(authority.raw_server())) as server:
        error = refused(face, server.port, authority.client())
        assert isinstance(server.failure(), ssl.SSLError)
    assert type(error) is UnavailableError
    assert "no TLS version in common; both ends need TLS 1.2 or later" in error.details()


def test_a_client_with_old_tls_is_refused(
    authority: Authority, told: Callable[[], list[str]]
) -> None:
    context = old(authority.raw_client())
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(sock, server_hostname="127.0.0.1")
    (line,) = told()
    assert "the client has no TLS 1.2 or later" in line


def test_a_client_with_tls_is_told_that_the_port_has_none(face: Face) -> None:
    with PolicyServer(RecordingHandler(), port=0) as server:
        error = refused(face, server.port, True)
    assert type(error) is UnavailableError
    assert "the server does not speak TLS on this port; leave tls out" in error.details()


def test_a_client_without_tls_is_told_that_the_port_wants_it(
    face: Face, authority: Authority, told: Callable[[], list[str]]
) -> None:
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server:
        error = refused(face, server.port, None)
    assert type(error) is UnavailableError
    assert "it speaks TLS" in error.details()
    assert "with TLS (tls=True, or --tls)" in error.details()
    lines = told()
    assert lines
    assert all("the client does not speak TLS, which this port is for" in line for line in lines)


def test_a_server_that_speaks_tls_without_http2_is_refused(
    face: Face, authority: Authority
) -> None:
    context = authority.raw_server()
    context.set_alpn_protocols(["http/1.1"])
    with RawServer(Peer.wait_closed, quiet=True, tls=context) as server:
        error = refused(face, server.port, authority.client())
    assert "the server speaks TLS, but no HTTP/2 (ALPN h2)" in error.details()


def test_a_client_that_does_not_ask_for_http2_is_refused(
    authority: Authority, told: Callable[[], list[str]]
) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secure,
    ):
        assert secure.recv(1) == b""
    (line,) = told()
    assert "the client does not ask for HTTP/2 (ALPN h2)" in line


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x00\xff\x01"])
def test_a_handshake_that_never_ends_is_ended_by_the_server(
    authority: Authority, first: bytes, told: Callable[[], list[str]]
) -> None:
    limits = Limits(handshake_seconds=0.1)
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server(), limits=limits) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as sock,
    ):
        sock.sendall(first)
        assert sock.recv(1) == b""
    assert told() == []


def test_what_is_broken_amid_a_connection_ends_it_without_a_traceback(
    authority: Authority, told: Callable[[], list[str]]
) -> None:
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        with authority.raw_client().wrap_socket(sock, server_hostname="127.0.0.1") as secure:
            secure.recv(1)  # the settings, so that the handshake is over
            with socket.socket(fileno=socket.dup(secure.fileno())) as bare:
                bare.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
                list(iter(lambda: secure.recv(65536), b""))
    assert told() == []


@pytest.mark.parametrize("secure", [False, True], ids=["bare", "tls"])
@pytest.mark.parametrize("first", [b"\x16 and no handshake", b"neither TLS nor HTTP/2"])
@pytest.mark.usefixtures("told")
def test_a_connection_that_has_ended_holds_no_memory_until_python_collects_it(
    authority: Authority, first: bytes, *, secure: bool
) -> None:
    tls = authority.server() if secure else None

    async def main() -> int:
        server = PolicyServer(RecordingHandler(), port=0, tls=tls)
        serving = asyncio.ensure_future(server.serve_async())
        try:
            await end_one(server.port)
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(8):
                await end_one(server.port)
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            server.request_stop()
            await serving

    async def end_one(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        # Less than a buffer for each of them.
        assert asyncio.run(main()) < 8 * 2**15
    finally:
        tracemalloc.stop()
        gc.enable()
