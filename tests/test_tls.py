# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Calls over TLS: both clients, every kind of message, and what passes unseen."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from authority import Authority
from faces import Face
from h2.events import ConnectionTerminated, DataReceived, StreamEnded, StreamReset
from http2_peers import RawClient, framed, raw_frame

from praxis_remote import AsyncPolicyClient, ClientTLS, PolicyClient, PolicyServer, ServerTLS
from praxis_remote.calls import HEALTH_CHECK, PREDICT
from praxis_remote.errors import StatusCode, UnavailableError
from praxis_remote.testing import GatedHandler, RecordingHandler

WAIT = 30.0
LARGE = np.arange(60_000_000, dtype=np.uint32).astype(np.uint8)


def echo(prediction: Any) -> Any:
    return np.asarray(prediction.observations[0]["image"])


# ---------------------------------------------------------------- what goes over


def test_every_rpc_is_answered_over_tls(face: Face, host: str, authority: Authority) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, host=host, port=0, tls=authority.server()) as server:
        client = face.client(server, tls=authority.client())
        assert client.predict_action([{"x": 1}, {"x": 2}]).shape == (2, 1)
        assert client.reset(episode_ids=["a"])
        assert client.health_check() == (True, "RecordingHandler")
        assert client.wait_ready(WAIT) == "RecordingHandler"
    assert handler.resets == [("a",)]


def test_a_message_of_60_mb_arrives_whole_both_ways(face: Face, authority: Authority) -> None:
    with PolicyServer(RecordingHandler(echo), port=0, tls=authority.server()) as server:
        client = face.client(server, tls=authority.client())
        for size in (len(LARGE), 1, 0, 16_384, 65_537):
            image = LARGE[:size]
            assert np.array_equal(client.predict_action([{"image": image}]), image)


def test_many_calls_at_once_share_a_connection(authority: Authority) -> None:
    async def main() -> None:
        async with AsyncPolicyClient(
            "127.0.0.1", server.port, timeout=WAIT, tls=authority.client()
        ) as client:
            images = [LARGE[: 200_000 + n] for n in range(20)]
            answers = await asyncio.gather(
                *(client.predict_action([{"image": image}]) for image in images)
            )
            assert all(map(np.array_equal, answers, images))

    with PolicyServer(RecordingHandler(echo), port=0, tls=authority.server()) as server:
        asyncio.run(main())


def test_threads_share_a_client(authority: Authority) -> None:
    with (
        PolicyServer(RecordingHandler(echo), port=0, tls=authority.server()) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT, tls=authority.client()) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        images = [LARGE[: 100_000 * n] for n in range(1, 9)]
        answers = pool.map(lambda image: client.predict_action([{"image": image}]), images)
        assert all(map(np.array_equal, answers, images))


def test_a_client_is_pickled_with_its_files(authority: Authority) -> None:
    tls = authority.client(shows=True)
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server(mutual=True)) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT, tls=tls) as client,
        pickle.loads(pickle.dumps(client)) as copy,
    ):
        assert copy.health_check()[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_calls_with_what_its_parent_read_of_files_that_are_gone(
    authority: Authority, tmp_path: Path
) -> None:
    program = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from praxis_remote import ClientTLS, PolicyClient
        port, ca, token = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
        client = PolicyClient("127.0.0.1", port, timeout=30, tls=ClientTLS(ca), token=token)
        assert client.health_check()[0]
        ca.unlink(), token.unlink()
        pid = os.fork()
        assert client.health_check()[0]
        if pid:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    token = tmp_path / "token"
    token.write_text("secret")
    tls = authority.server()
    with PolicyServer(RecordingHandler(), port=0, tls=tls, tokens=["secret"]) as server:
        arguments = [str(server.port), str(authority.ca), str(token)]
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert server.status().counts[HEALTH_CHECK.path, StatusCode.OK] == 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_contexts_of_the_users_own_are_taken_and_get_alpn(
    face: Face, authority: Authority, version: ssl.TLSVersion
) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*authority.issue("server"))
    ours.maximum_version = version
    theirs = ssl.create_default_context(cafile=str(authority.ca))
    for context in (ours, theirs):
        context.options &= ~ssl.OP_NO_RENEGOTIATION
    with PolicyServer(RecordingHandler(), port=0, tls=ours) as server:
        assert face.client(server, tls=theirs).predict_action([{"x": 1}]).shape == (1, 1)
        with RawClient(server.port, authority.raw_client()) as peer:
            assert isinstance(peer.sock, ssl.SSLSocket)
            assert peer.sock.selected_alpn_protocol() == "h2"
            assert peer.sock.version() == version.name.replace("_", ".")
    for context in (ours, theirs):
        assert context.options & ssl.OP_NO_RENEGOTIATION  # as HTTP/2 has it


def test_the_server_s_name_may_be_another_than_the_host(face: Face, authority: Authority) -> None:
    tls = authority.server("policy.lab")
    with PolicyServer(RecordingHandler(), port=0, tls=tls) as server:
        client = face.client(server, tls=authority.client(server_name="policy.lab"))
        assert client.health_check()[0]


# ---------------------------------------------------------------- what a connection knows


def test_a_peer_that_takes_nothing_of_a_response_holds_up_nobody_else(
    authority: Authority,
) -> None:
    handler = RecordingHandler(lambda _: LARGE[:20_000_000])
    with (
        PolicyServer(handler, port=0, tls=authority.server()) as server,
        PolicyClient("127.0.0.1", server.port, timeout=WAIT, tls=authority.client()) as client,
        RawClient(server.port, authority.raw_client()) as peer,
    ):
        stream_id = peer.request(PREDICT.path)
        peer.data(stream_id, framed(b"\x0a\x00"))
        peer.wait_for(DataReceived, stream_id)  # and reads no more
        assert client.predict_action([{}]).shape == (20_000_000,)


def test_a_deadline_that_passes_while_sending_cuts_the_response_off(authority: Authority) -> None:
    handler = RecordingHandler(lambda _: LARGE[:1_000_000])
    with (
        PolicyServer(handler, port=0, tls=authority.server()) as server,
        RawClient(server.port, authority.raw_client()) as peer,
    ):
        stream_id = peer.request(PREDICT.path, ("grpc-timeout", "200m"))
        peer.data(stream_id, framed(b"\x0a\x00"))
        peer.wait_for(StreamReset, stream_id)


def test_what_is_sent_in_the_smallest_pieces_is_read(authority: Authority) -> None:
    with (
        PolicyServer(RecordingHandler(echo), port=0, tls=authority.server()) as server,
        _Dripping(server.port) as port,
        PolicyClient("127.0.0.1", port, timeout=WAIT, tls=authority.client()) as client,
    ):
        assert np.array_equal(client.predict_action([{"image": LARGE[:500]}]), LARGE[:500])


def test_what_came_along_with_more_than_one_turn_is_for_is_read_in_the_next_ones(
    authority: Authority,
) -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server,
        RawClient(server.port, authority.raw_client()) as peer,
    ):
        # Frames to be passed over, in far more records than are looked at once.
        peer.sock.sendall(raw_frame(0x20, 0, bytes(4096)) * 100)
        stream_id = peer.request(HEALTH_CHECK.path)
        peer.data(stream_id, framed(b""))
        peer.wait_for(StreamEnded, stream_id)


class _Dripping:
    """Passes one connection on byte by byte."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._run, daemon=True)]

    def _run(self) -> None:
        with (
            self._listener.accept()[0] as client,
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            back = threading.Thread(target=self._drip, args=[server, client], daemon=True)
            back.start()
            self._drip(client, server)
            back.join(WAIT)

    def _drip(self, source: socket.socket, target: socket.socket) -> None:
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := source.recv(4096):
                for at in range(len(data)):
                    target.sendall(data[at : at + 1])
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def __enter__(self) -> int:
        self._threads[0].start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._threads[0].join(WAIT)
        self._listener.close()
        assert not self._threads[0].is_alive()


def test_a_server_that_stops_says_goodbye_and_ends_tls(authority: Authority) -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server,
        RawClient(server.port, authority.raw_client()) as peer,
    ):
        peer.request(PREDICT.path)
        server.stop()
        peer.wait_for(ConnectionTerminated)
        # Not an error of TLS, as an end without its own goodbye would be.
        peer.wait_closed()


def test_what_runs_while_the_server_stops_is_answered_whole(
    face: Face, authority: Authority
) -> None:
    handler = GatedHandler(lambda _: LARGE[:20_000_000])
    with (
        PolicyServer(handler, port=0, tls=authority.server()) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        client = face.client(server, tls=authority.client())
        call = pool.submit(client.predict_action, [{"x": 1}])
        handler.wait_begun()
        stopping = threading.Thread(target=server.stop, kwargs={"grace": WAIT})
        stopping.start()
        handler.let_end()
        assert np.array_equal(call.result(WAIT), LARGE[:20_000_000])
        stopping.join(WAIT)
        assert not stopping.is_alive()
        with pytest.raises(UnavailableError):
            client.health_check()


def test_a_lost_server_is_told_from_one_that_is_there(face: Face, authority: Authority) -> None:
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server:
        client = face.client(server, tls=authority.client())
        assert client.health_check()[0]
        port = server.port
    with pytest.raises(UnavailableError) as raised:
        client.predict_action([{"x": 1}])
    assert raised.value.never_ran
    with PolicyServer(RecordingHandler(), port=port, tls=authority.server()):
        assert client.wait_ready(WAIT)


# ---------------------------------------------------------------- renewal


def serial(port: int, authority: Authority) -> Any:
    """Returns the number of the certificate that a server shows."""
    with RawClient(port, authority.raw_client()) as peer:
        assert isinstance(peer.sock, ssl.SSLSocket)
        shown = peer.sock.getpeercert()
        assert shown is not None
        return shown["serialNumber"]


def test_a_renewed_certificate_is_shown_to_the_next_connection(
    face: Face, authority: Authority
) -> None:
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server()) as server:
        client = face.client(server, tls=authority.client())
        assert client.health_check()[0]
        first = serial(server.port, authority)
        assert serial(server.port, authority) == first
        authority.issue("server")
        assert serial(server.port, authority) != first
        # Connections that are there already go on.
        assert client.health_check()[0]


def test_a_broken_new_certificate_leaves_the_old_one_and_is_told_of_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.server()
    with PolicyServer(RecordingHandler(), port=0, tls=tls) as server:
        first = serial(server.port, authority)
        Path(tls.cert).write_text("half of a certi")
        assert [serial(server.port, authority) for _ in range(3)] == [first] * 3
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.name for record in errors] == ["praxis_remote.files"]
        assert str(tls.cert) in errors[0].getMessage()
        authority.issue("server")
        assert serial(server.port, authority) != first


def test_a_client_shows_its_renewed_certificate(face: Face, authority: Authority) -> None:
    tls = authority.client(shows=True)
    authority.issue("client", expired=True)
    with PolicyServer(RecordingHandler(), port=0, tls=authority.server(mutual=True)) as server:
        client = face.client(server, tls=tls)
        with pytest.raises(PermissionError):
            client.health_check(timeout=WAIT)
        authority.issue("client")
        assert client.wait_ready(WAIT)


# ---------------------------------------------------------------- what cannot be


def test_files_that_cannot_be_used_are_told_by_name(authority: Authority, tmp_path: Path) -> None:
    pem, other = authority.issue("a"), authority.issue("b")
    locked = tmp_path / "locked.key"
    locked.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    missing = tmp_path / "missing.pem"
    for tls, text in {
        ServerTLS(missing, pem.key): f"cert: cannot read {missing}",
        ServerTLS(pem.cert, missing): f"key: cannot read {missing}",
        ServerTLS(pem.cert, other.key): "private key in PEM: the key is that of another",
        ServerTLS(pem.key, pem.cert): "PEM: one of them is missing, .*place of the other",
        ServerTLS(pem.cert, pem.key, missing): f"client_ca: cannot read {missing}",
        ServerTLS(pem.cert, pem.key, pem.key): f"client_ca: {pem.key} holds no certificates",
    }.items():
        with pytest.raises(ValueError, match=text):
            PolicyServer(RecordingHandler(), port=0, tls=tls)
    with pytest.raises(ValueError, match=f"ca: cannot read {missing}"):
        PolicyClient(tls=ClientTLS(missing))


def test_a_key_with_a_password_is_refused_where_openssl_would_ask_the_terminal(
    authority: Authority, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = authority.issue("a")
    key = serialization.load_pem_private_key(pem.key.read_bytes(), None)
    pem.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="it has a password"):
        PolicyServer(RecordingHandler(), port=0, tls=ServerTLS(*pem))


def test_contexts_for_the_other_end_or_old_versions_are_refused() -> None:
    server, client = (
        ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)
    )
    with pytest.raises(ValueError, match="one for a client"):
        PolicyServer(RecordingHandler(), port=0, tls=client)
    with pytest.raises(ValueError, match="one for a server"):
        PolicyClient(tls=server)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ValueError, match=r"TLSv1_1; allowed: TLSv1_2"):
        PolicyServer(RecordingHandler(), port=0, tls=server)


def test_what_is_no_tls_at_all_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="tls: str; pass True"):
        PolicyClient(tls="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tls: bool; pass ServerTLS"):
        PolicyServer(RecordingHandler(), port=0, tls=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key without cert"):
        ClientTLS(key="k.pem")
    names: tuple[Any, ...] = ("", ".lab", "gpu..lab", "x" * 64, "gpu\0lab", 7)
    for name in names:
        with pytest.raises(ValueError, match=r"server_name=.*; pass a host's name"):
            ClientTLS(server_name=name)


def test_a_host_that_no_name_can_be_is_one_that_cannot_be_reached(face: Face) -> None:
    client = face.client(50051, host="gpu..lab", tls=True)
    with pytest.raises(UnavailableError, match="cannot connect"):
        client.health_check(retries=0)
