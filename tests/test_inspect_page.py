# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The page is for this machine, and for who has a token; it starts and ends with the server."""

from __future__ import annotations

import importlib
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from command import TIMEOUT
from hosts import LOOPBACK
from processes import Start

from praxis_remote import PolicyClient
from praxis_remote.address import parse_address
from praxis_remote.inspect import Inspector
from praxis_remote.testing import RecordingHandler

EVERYTHING = ("/", "/inspect.js", "/events", "/episodes/1/0.png", "/nothing")


class Answer:
    """What came back, a stream's first event included."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        stream = response.headers["Content-Type"] == "text/event-stream"
        self.text = response.readline().decode() if stream else response.read().decode("latin-1")


@contextmanager
def asked(
    inspector: Inspector, path: str, method: str = "GET", body: str = "", **headers: str
) -> Iterator[HTTPResponse]:
    """Asks for a path, with headers whose names have underscores for hyphens."""
    connection = HTTPConnection(LOOPBACK, inspector.port, timeout=TIMEOUT)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, named)
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def ask(inspector: Inspector, path: str, **options: str) -> Answer:
    """Returns the answer to a request."""
    with asked(inspector, path, **options) as response:
        return Answer(response)


def fill(inspector: Inspector) -> None:
    """Has the page show something."""
    policy = inspector.watch(RecordingHandler())
    image = np.zeros((4, 4, 3), np.uint8)
    policy.predict_action([{"secret key": image}], policy_kwargs={}, episode_ids=("secret id",))
    policy.predict_action(
        [{"observation.images.secret": image}], policy_kwargs={}, episode_ids=("secret too",)
    )


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    with Inspector() as inspector:
        fill(inspector)
        yield inspector


@pytest.fixture
def guarded() -> Iterator[Inspector]:
    with Inspector(tokens=["sesame", "newer"]) as inspector:
        fill(inspector)
        yield inspector


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.example", "", "unix:/x"])
def test_a_host_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=f"host: {host!r}; the page is for this machine only"):
        Inspector(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_on_this_machine_and_says_where(host: str) -> None:
    with Inspector(host=host) as inspector:
        assert inspector.url == f"http://127.0.0.1:{inspector.port}/"
        assert ask(inspector, "/").status == 200


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            Inspector(port)


def test_a_handler_that_is_none_is_refused(inspector: Inspector) -> None:
    with pytest.raises(TypeError, match="object lacks predict_action, reset, model_info"):
        inspector.watch(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "localhost:9000", "LOCALHOST", "[::1]:80", "127.8.8.8"]
)
def test_it_answers_to_this_machine_s_names_through_any_tunnel(
    inspector: Inspector, host: str
) -> None:
    assert ask(inspector, "/", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "localhost.evil:1"]
)
@pytest.mark.parametrize("path", EVERYTHING)
def test_a_site_whose_name_was_bent_to_this_machine_gets_nothing(
    inspector: Inspector, host: str, path: str
) -> None:
    answer = ask(inspector, path, Host=host)
    assert answer.status == 421
    assert answer.text == "this page goes by 127.0.0.1, [::1] and localhost only\n"


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sesame"}, {"Cookie": "x=sesame"}],
    ids=["none", "wrong", "no bearer", "cookie"],
)
def test_without_a_token_there_is_nothing_but_the_form(
    guarded: Inspector, path: str, headers: Mapping[str, str]
) -> None:
    answer = ask(guarded, path, **headers)
    assert answer.status == 401
    assert "secret" not in answer.text
    assert ("<form" in answer.text) == (path == "/")


@pytest.mark.parametrize("token", ["sesame", "newer"])
@pytest.mark.parametrize("path", EVERYTHING)
def test_a_bearer_token_lets_in(guarded: Inspector, path: str, token: str) -> None:
    status = ask(guarded, path, Authorization=f"Bearer {token}").status
    assert status == (200 if path in ("/", "/inspect.js", "/events") else 404)


def log_in(inspector: Inspector, token: str) -> Answer:
    body = urlencode({"token": token})
    kind = "application/x-www-form-urlencoded"
    return ask(inspector, "/login", method="POST", body=body, Content_Type=kind)


@pytest.mark.parametrize("by_link", [False, True], ids=["form", "link"])
def test_a_token_is_changed_for_a_cookie_that_scripts_and_other_sites_cannot_use(
    guarded: Inspector, by_link: bool
) -> None:
    answer = ask(guarded, "/?token=sesame") if by_link else log_in(guarded, "sesame")
    assert answer.status == 200
    assert "sesame" not in answer.text
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(attributes)
    assert "sesame" not in cookie
    assert "secret id" in ask(guarded, "/events", Cookie=cookie).text


@pytest.mark.parametrize("by_link", [False, True], ids=["form", "link"])
def test_a_wrong_token_gets_no_cookie(guarded: Inspector, by_link: bool) -> None:
    answer = ask(guarded, "/?token=wrong") if by_link else log_in(guarded, "wrong")
    assert answer.status == 403
    assert "<form" in answer.text
    assert answer.headers["Set-Cookie"] is None


def test_a_cookie_ends_with_its_token(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("sesame # for now\n")
    with Inspector(tokens=tokens) as inspector:
        cookie = log_in(inspector, "sesame").headers["Set-Cookie"].partition(";")[0]
        assert ask(inspector, "/", Cookie=cookie).status == 200
        with asked(inspector, "/events", Cookie=cookie) as stream:
            assert stream.readline()
            tokens.write_text("another\n")
            assert b"" in [stream.readline() for _ in range(4)]
        assert ask(inspector, "/", Cookie=cookie).status == 401


def test_no_tokens_at_all_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="tokens: none"):
        Inspector(tokens=[])


def test_neither_tokens_nor_payloads_are_logged(
    guarded: Inspector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        fill(guarded)
        for token in ("sesame", "wrong"):
            log_in(guarded, token)
            ask(guarded, f"/?token={token}")
            ask(guarded, "/events", Authorization=f"Bearer {token}")
    said = caplog.text
    assert not re.search("sesame|wrong|secret", said), said


@pytest.mark.parametrize(
    "said", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nsesame", b"GET / HTTP/1.1\r\nA: \0sesame\r\n\r\n"]
)
def test_what_is_no_http_is_one_line_without_the_bytes(
    guarded: Inspector, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    with socket.create_connection((LOOPBACK, guarded.port), TIMEOUT) as connection:
        connection.sendall(said)
        while connection.recv(4096):
            pass
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.getMessage() == (
        "127.0.0.1: ending the connection: what came is no HTTP; is it for another port?"
    )
    assert "Traceback" not in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("path", ["/", "/events", "/nothing", "/episodes/2/0.png"])
def test_every_answer_keeps_other_sites_out(inspector: Inspector, path: str) -> None:
    headers = ask(inspector, path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("path", ["/episodes/1/0.png", "/episodes/9/0.png", "/episodes/2/7.png"])
def test_there_is_no_image_where_none_was_received(inspector: Inspector, path: str) -> None:
    assert ask(inspector, path).status == 404


def test_the_stream_tells_of_the_episode_that_was_asked_for_or_of_the_first(
    inspector: Inspector,
) -> None:
    chosen = [
        json.loads(ask(inspector, path).text.removeprefix("data: "))["chosen"]["number"]
        for path in ("/events?episode=2", "/events", "/events?episode=77", "/events?episode=x")
    ]
    assert chosen == [2, 1, 1, 1]


def test_only_so_many_pages_may_be_open(inspector: Inspector) -> None:
    with asked(inspector, "/events"):
        streams = [asked(inspector, "/events") for _ in range(15)]
        for stream in streams:
            stream.__enter__()
        assert ask(inspector, "/events").status == 503
        for stream in streams:
            stream.__exit__(None, None, None)


def test_its_end_ends_what_is_open_and_leaves_neither_thread_nor_port() -> None:
    before = threading.active_count()
    with Inspector() as inspector, asked(inspector, "/events") as stream:
        inspector.close()
        stream.read()
        inspector.close()
    assert threading.active_count() == before
    with socket.create_server((LOOPBACK, inspector.port)):
        pass
    with pytest.raises(RuntimeError, match="started once"):
        inspector.start()


def test_one_that_was_never_started_can_be_closed() -> None:
    inspector = Inspector()
    inspector.close()
    with socket.create_server((LOOPBACK, inspector.port)):
        pass


@pytest.mark.parametrize("module", ["aiohttp", "PIL"])
def test_a_missing_extra_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("praxis_remote.inspect"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'praxis-remote\[inspect\]'"):
        importlib.import_module("praxis_remote.inspect")


def test_the_core_imports_nothing_of_it() -> None:
    program = "import praxis_remote.cli, sys; print({'aiohttp', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr


def test_the_command_logs_the_page_s_address_and_asks_for_the_server_s_token(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("sesame\n")
    options = ["--inspect-port", "0", "--token-file", "tokens"]
    process = start("serve", "policies:Policy", "--port", "0", *options)
    url = process.err.wait_for("inspect at ").partition("inspect at ")[2]
    address = parse_address((process.out.next() or "").rpartition(" ")[2])
    with PolicyClient(address.host, address.port, timeout=TIMEOUT, token="sesame") as client:
        client.predict_action([{"gripper": 0.25}])
    connection = HTTPConnection(url.removeprefix("http://").removesuffix("/"), timeout=TIMEOUT)
    connection.request("GET", "/events")
    with connection.getresponse() as refused:
        assert refused.status == 401
        refused.read()
    connection.request("GET", "/events", headers={"Authorization": "Bearer sesame"})
    with connection.getresponse() as stream:
        chosen = json.loads(stream.readline().removeprefix(b"data: "))["chosen"]
        assert chosen["values"][0]["key"] == "gripper"
        process.send(signal.SIGTERM)
        assert process.end() == 0
    connection.close()


def test_the_command_says_that_the_page_s_port_is_taken_before_the_policy_loads(
    start: Start,
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("serve", "policies:Slow", "--port", "0", "--inspect-port", port)
        assert process.end() == 1
    (line,) = process.err.all
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    assert "choose another --inspect-port" in line
