# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Bearer tokens: who is let in, when it is found out, and where a token never shows."""

from __future__ import annotations

import hmac
import logging
import pickle
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from authority import Authority
from faces import Face
from h2.events import ResponseReceived, StreamEnded, StreamReset
from http2_peers import RawClient

from praxis_remote import PolicyClient, PolicyServer, current_request
from praxis_remote.calls import PREDICT
from praxis_remote.errors import RequestRefusedError, StatusCode
from praxis_remote.health import CHECK, LIST
from praxis_remote.testing import RecordingHandler
from praxis_remote.tokens import Tokens, digest

FIRST, SECOND, WRONG = "first-Secret.1", "second_secret/2==", "wrong~secret+3"
SECRETS = (FIRST, SECOND, WRONG)


def refused(client: Any) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as raised:
        client.predict_action([{"x": 1}])
    assert raised.value.code() is StatusCode.UNAUTHENTICATED
    assert raised.value.never_ran
    return raised.value


def test_each_of_several_tokens_opens_every_rpc(face: Face, host: str) -> None:
    with PolicyServer(RecordingHandler(), host=host, port=0, tokens=[FIRST, SECOND]) as server:
        for token in (FIRST, SECOND):
            client = face.client(server, token=token)
            assert client.predict_action([{"x": 1}]).shape == (1, 1)
            assert client.reset()
            assert client.health_check()[0]


def test_without_a_token_or_with_another_nothing_runs(face: Face) -> None:
    handler = RecordingHandler()
    with PolicyServer(handler, port=0, tokens=[FIRST]) as server:
        assert "this server wants a token" in refused(face.client(server)).details()
        for options in (
            {"token": WRONG},
            {"token": FIRST[:-1]},
            {"token": FIRST + "x"},
            {"metadata": {"authorization": "Bearer "}},
        ):
            text = refused(face.client(server, **options)).details()
            assert "the token is none of this server's" in text
        client = face.client(server, metadata={"authorization": f"Basic {FIRST}"})
        assert "this server wants a token" in refused(client).details()
        for call in (client.reset, client.health_check):
            with pytest.raises(RequestRefusedError):
                call()
        with pytest.raises(RequestRefusedError):
            client.wait_ready(30)
    assert handler.predictions == []
    assert handler.resets == []


@pytest.mark.parametrize("path", [PREDICT.path, "/any.Service/Method", "/"])
def test_a_call_without_a_token_is_answered_before_its_request_comes(path: str) -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tokens=[FIRST]) as server,
        RawClient(server.port) as peer,
    ):
        stream_id = peer.request(path)  # and not a byte of a message
        headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
        assert headers["grpc-status"] == str(StatusCode.UNAUTHENTICATED.value)
        peer.wait_for(StreamEnded, stream_id)
        peer.wait_for(StreamReset, stream_id)


def test_the_health_service_is_not_asked_for_a_token_since_probes_have_none() -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tokens=[FIRST]) as server,
        RawClient(server.port) as peer,
    ):
        for path, status in {
            "/grpc.health.v1.Health/Check": None,
            "/grpc.health.v1.Health/Watch": None,
            "/grpc.health.v1.Health/Other": "16",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "16",
        }.items():
            stream_id = peer.request(path, end_stream=True)
            headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
            found = headers.get("grpc-status")
            assert (found == "16") is (status == "16"), (path, headers)


@pytest.mark.parametrize("path", [CHECK, LIST])
def test_nobody_fills_memory_with_what_is_asked_of_the_health_service(path: str) -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tokens=[FIRST]) as server,
        RawClient(server.port) as peer,
    ):
        stream_id = peer.request(path, ("authorization", f"Bearer {FIRST}"))
        # Only the head of a message, of which the rest never comes.
        peer.data(stream_id, struct.pack(">BI", 0, 4097), end_stream=False)
        headers = dict(peer.wait_for(ResponseReceived, stream_id).headers)
        assert headers["grpc-status"] == str(StatusCode.RESOURCE_EXHAUSTED.value)
        assert "the limit of 4096 bytes" in headers["grpc-message"]


def test_all_tokens_are_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    original = hmac.compare_digest

    def compare(shown: bytes, known: bytes) -> bool:
        assert len(shown) == len(known) == 32
        compared.append(known)
        return original(shown, known)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = Tokens([FIRST, SECOND, "third"])
    for token in (FIRST, SECOND, "third"):
        tokens.check("/", digest(f"Bearer {token}"))
    with pytest.raises(RequestRefusedError):
        tokens.check("/", digest(f"Bearer {WRONG}"))
    assert compared == [digest(f"Bearer {token}") for token in (FIRST, SECOND, "third")] * 4


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert digest("bearer abc") == digest("Bearer abc") == digest("BEARER  abc ")
    assert digest("abc") is None
    assert digest("") is None


# ---------------------------------------------------------------- rotation


def test_files_of_tokens_are_read_again_on_both_ends(face: Face, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "tokens", tmp_path / "token"
    theirs.write_text(f"# of the lab\n\n{FIRST}  # until May\n")
    # As some editors write it.
    ours.write_bytes(b"\xef\xbb\xbf" + FIRST.encode() + b"\r\n")
    with PolicyServer(RecordingHandler(), port=0, tokens=theirs) as server:
        client = face.client(server, token=ours)
        assert client.health_check()[0]
        theirs.write_text(f"{FIRST}\n{SECOND}\n")
        assert client.health_check()[0]
        ours.write_text(f"{SECOND}\n")
        assert client.health_check()[0]
        theirs.write_text(f"{SECOND}\n")
        assert client.health_check()[0]
        refused(face.client(server, token=FIRST))


def test_a_broken_new_file_leaves_the_tokens_and_is_told_of_once(
    face: Face, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    path.write_text(FIRST)
    with PolicyServer(RecordingHandler(), port=0, tokens=path) as server:
        client = face.client(server, token=FIRST)
        for number, content in enumerate(("", "# none", f"{SECOND} {WRONG}", "é"), 1):
            path.write_text(content)
            assert client.health_check()[0]
            assert client.health_check()[0]
            errors = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert len(errors) == number
        path.unlink()
        assert client.health_check()[0]
        path.write_text(SECOND)
        refused(client)
    assert not any(secret in caplog.text for secret in SECRETS)


# ---------------------------------------------------------------- where it never shows


def test_a_token_is_in_no_log_text_or_metadata_of_a_policy(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[Any] = []

    def answer(_: Any) -> Any:
        seen.append(current_request().metadata)
        raise ValueError("no")

    with PolicyServer(RecordingHandler(answer), port=0, tokens=[FIRST]) as server:
        client = face.client(server, token=FIRST, metadata={"robot": "7"}, session_id="s")
        with pytest.raises(ValueError, match="no"):
            client.predict_action([{"x": 1}])
        error = refused(face.client(server, token=WRONG))
    assert seen == [(("robot", "7"), ("praxis-session-id", "s"))]
    texts = [caplog.text, repr(client), str(error), repr(error), repr(server)]
    assert not any(secret in text for secret in SECRETS for text in texts)


def test_a_token_is_left_out_where_the_server_wants_none(face: Face) -> None:
    seen: list[Any] = []

    def answer(_: Any) -> Any:
        seen.append(current_request().metadata)
        return np.zeros(1)

    handler = RecordingHandler(answer)
    with PolicyServer(handler, port=0) as server:
        face.client(server, token=FIRST, session_id="s").predict_action([{"x": 1}])
    assert seen == [(("praxis-session-id", "s"),)]


def test_a_copy_of_a_client_has_its_token() -> None:
    with (
        PolicyServer(RecordingHandler(), port=0, tokens=[FIRST]) as server,
        PolicyClient("127.0.0.1", server.port, timeout=30, token=FIRST) as client,
        pickle.loads(pickle.dumps(client)) as copy,
    ):
        assert copy.health_check()[0]


# ---------------------------------------------------------------- what cannot be


def test_what_is_no_token_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.write_text("# nobody\n")
    for tokens, text in (
        ([], "tokens: none"),
        (["a b"], "tokens: a token of 3 characters"),
        ([""], "tokens: a token of 0 characters"),
        (empty, f"tokens: {empty} holds none"),
        (missing, f"tokens: cannot read {missing}"),
    ):
        with pytest.raises(ValueError, match=text):
            PolicyServer(RecordingHandler(), port=0, tokens=tokens)
    for wrong in ("one", b"one", 7, [7], {"robot-7": "one"}):
        with pytest.raises(TypeError, match=r"tokens: (str|bytes|int|dict); "):
            PolicyServer(RecordingHandler(), port=0, tokens=wrong)  # type: ignore[arg-type]
    for token in ("secret\n", "two secrets", "sécret"):
        with pytest.raises(ValueError, match="token: a token of") as raised:
            PolicyClient(token=token)
        assert token not in str(raised.value)
    with pytest.raises(ValueError, match="which token stands for"):
        PolicyClient(token=FIRST, metadata={"authorization": "x"})
    with pytest.raises(ValueError, match="not shown") as raised:
        PolicyClient(metadata={"authorization": "Bearer sécret"})
    assert "sécret" not in str(raised.value)


# ---------------------------------------------------------------- what is open


@pytest.mark.parametrize(
    ("host", "warns"),
    [
        ("gpu-box", True),
        ("192.0.2.7", True),
        ("::", True),
        ("localhost", False),
        ("127.0.0.9", False),
        ("::1", False),
        ("unix:/tmp/x.sock", False),
    ],
)
def test_a_token_that_others_can_read_on_the_way_is_warned_of_once(
    host: str, warns: bool, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    PolicyClient(host, token=FIRST, tls=authority.client()).close()
    PolicyClient(host).close()
    assert caplog.records == []
    PolicyClient(host, token=FIRST).close()
    assert len(caplog.records) == warns
    assert all("without TLS" in record.getMessage() for record in caplog.records)
    assert FIRST not in caplog.text


ANYBODY, READABLE = "anyone who reaches it can call the policy", "can be read and changed"


@pytest.mark.parametrize(
    ("host", "tls", "tokens", "risks"),
    [
        ("0.0.0.0", None, False, {ANYBODY, READABLE}),
        ("::", None, False, {ANYBODY, READABLE}),
        ("0.0.0.0", None, True, {READABLE}),
        ("0.0.0.0", "tls", False, {ANYBODY}),
        ("0.0.0.0", "tls", True, set()),
        ("0.0.0.0", "mutual", False, set()),
        ("127.0.0.1", None, False, set()),
        ("localhost", None, False, set()),
    ],
)
def test_a_server_that_other_machines_reach_says_what_they_can_do(
    host: str,
    tls: str | None,
    tokens: bool,
    risks: set[str],
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = PolicyServer(
        RecordingHandler(),
        host=host,
        port=0,
        tls=None if tls is None else authority.server(mutual=tls == "mutual"),
        tokens=[FIRST] if tokens else None,
    )
    server.stop()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == bool(risks)
    assert {risk for risk in (ANYBODY, READABLE) if risk in "".join(warnings)} == risks


def test_a_file_is_looked_at_from_many_threads_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(FIRST)
    tokens, stop, failed = Tokens(path), threading.Event(), threading.Event()

    def check() -> None:
        while not stop.is_set():
            try:
                tokens.check("/", digest(f"Bearer {FIRST}"))
            except RequestRefusedError:
                failed.set()

    threads = [threading.Thread(target=check) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        other = tmp_path / "other"
        other.write_text(f"{FIRST}\ntoken-{number}\n")
        other.replace(path)
        tokens.check("/", digest(f"Bearer token-{number}"))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failed.is_set()
