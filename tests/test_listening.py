# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How a UNIX socket comes by its file and leaves it; `test_server` has what ports do as well."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from hosts import listen

from praxis_remote import AsyncPolicyClient, PolicyClient, PolicyServer
from praxis_remote.address import UnixAddress
from praxis_remote.errors import DeadlineExceededError, UnavailableError
from praxis_remote.listening import bind
from praxis_remote.testing import RecordingHandler, connected

WAIT = 30.0


@pytest.fixture
def path(socket_folder: Path) -> Path:
    return socket_folder / "policy.sock"


def serve_at(path: Path | str) -> PolicyServer:
    return PolicyServer(RecordingHandler(), host=f"unix:{path}")


def stale(path: Path) -> None:
    """Leaves the file of a socket on which nobody listens any more."""
    listen(f"unix:{path}").close()
    assert stat.S_ISSOCK(path.lstat().st_mode)


@contextmanager
def filled_queue(path: Path) -> Iterator[None]:
    """Connects until the queue of a server that accepts nobody is full."""
    with ExitStack() as stack:
        with suppress(BlockingIOError):
            while True:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(str(path))
        yield


def is_served(path: Path | str) -> bool:
    with PolicyClient(f"unix:{path}", timeout=WAIT) as client:
        return client.health_check()[0]


# ---------------------------------------------------------------- coming by the file


def test_the_file_is_there_as_soon_as_the_server_and_has_the_mode_of_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        server = serve_at(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o700
    server.stop()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_the_file_has_the_mode_that_is_asked_for_before_anybody_can_connect(
    path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[int] = []
    listen = socket.socket.listen

    def tell(sock: socket.socket, *backlog: int) -> None:
        before.append(stat.S_IMODE(path.stat().st_mode))
        listen(sock, *backlog)

    monkeypatch.setattr(socket.socket, "listen", tell)
    stale(path)
    before.clear()
    with PolicyServer(RecordingHandler(), host=f"unix:{path}", port=0, socket_mode=mode) as server:
        assert set(before) == {stat.S_IMODE(path.stat().st_mode)} == {mode}
        with PolicyClient(server.host, timeout=WAIT) as client:
            assert client.health_check()[0]


def test_a_mode_that_cannot_be_is_refused_with_what_is_allowed(path: Path) -> None:
    with pytest.raises(ValueError, match=r"socket_mode: 0o1777; allowed: 0 to 0o777"):
        PolicyServer(RecordingHandler(), host=f"unix:{path}", socket_mode=0o1777)
    with pytest.raises(ValueError, match=r"socket_mode: 0o660, and 127.0.0.1:0 has no file"):
        PolicyServer(RecordingHandler(), port=0, socket_mode=0o660)
    with pytest.raises(TypeError):
        PolicyServer(RecordingHandler(), host=f"unix:{path}", socket_mode="660")  # type: ignore[arg-type]
    assert not path.exists()


def test_the_file_of_a_server_that_is_gone_is_replaced(path: Path) -> None:
    stale(path)
    with serve_at(path):
        assert is_served(path)


def test_the_file_that_a_killed_server_left_is_replaced(path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from praxis_remote import PolicyServer
        from praxis_remote.testing import RecordingHandler
        server = PolicyServer(RecordingHandler(), host="unix:" + sys.argv[1])
        print(server.address, flush=True)
        server.serve()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"unix:{path}\n"
        assert is_served(path)
        process.kill()
    assert path.exists()
    with serve_at(path):
        assert is_served(path)


full_queue_is_told = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it refuses")


@full_queue_is_told
def test_a_server_whose_queue_is_full_is_not_taken_for_gone(path: Path) -> None:
    with listen(f"unix:{path}", backlog=0), filled_queue(path):
        with pytest.raises(OSError, match="Address already in use") as raised:
            serve_at(path)
        assert raised.value.errno == errno.EADDRINUSE
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing", "link to a socket"])
def test_what_is_no_socket_is_left_alone_and_told(path: Path, kind: str) -> None:
    target = path.with_name("target")
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    if kind == "link to a socket":
        stale(target)
    before = path.lstat()
    with pytest.raises(OSError, match=f"unix:{path}: the file .* is no socket") as raised:
        serve_at(path)
    assert raised.value.errno == errno.EEXIST
    assert path.lstat() == before
    assert target.exists() == (kind == "link to a socket")


def test_a_folder_that_is_missing_is_told(path: Path) -> None:
    with pytest.raises(OSError, match=f"unix:{path}/a/b: there is no folder {path}/a") as raised:
        serve_at(path / "a" / "b")
    assert raised.value.errno == errno.ENOENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_told(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(OSError, match=f"cannot listen on unix:{path}: Permission denied"):
            serve_at(path)
    finally:
        path.parent.chmod(0o700)


def test_a_path_that_is_too_long_is_told_with_length_and_limit(path: Path) -> None:
    name = "n" * 200
    with pytest.raises(ValueError, match=rf"{name}'; the path has 2\d\d bytes, .* may have 10[37]"):
        serve_at(path.with_name(name))


def test_of_servers_that_start_at_once_where_one_was_one_does_and_keeps_its_file(
    path: Path,
) -> None:
    together = threading.Barrier(4)

    def start(_: int) -> socket.socket | int | None:
        together.wait(WAIT)
        try:
            return bind(UnixAddress(str(path)))
        except OSError as error:
            return error.errno

    with ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            stale(path)
            outcomes = list(pool.map(start, range(4)))
            assert outcomes.count(errno.EADDRINUSE) == 3
            (winner,) = (each for each in outcomes if isinstance(each, socket.socket))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                winner.accept()[0].close()
            winner.close()
            assert not path.exists()


def test_a_stranger_s_lock_on_the_folder_keeps_no_server_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from praxis_remote import listening

    # Nobody shall wait here as long as in earnest.
    monkeypatch.setattr(listening, "_LOCK_PATIENCE", 0.05)
    stale(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with serve_at(path):
            assert is_served(path)
    finally:
        os.close(folder)


# ---------------------------------------------------------------- leaving it


def test_the_file_goes_when_the_server_stops_however_it_does(path: Path) -> None:
    never_started = serve_at(path)
    never_started.stop()
    assert not path.exists()
    with serve_at(path):
        assert path.exists()
    assert not path.exists()
    serving = serve_at(path)
    serving.serve(block=False)
    serving.stop(grace=1)
    assert not path.exists()


def test_a_file_that_another_server_has_made_since_is_left_to_it(path: Path) -> None:
    old = serve_at(path)
    path.unlink()
    with serve_at(path):
        old.stop()
        assert is_served(path)


def test_a_file_that_was_moved_away_is_not_looked_for(path: Path) -> None:
    server = serve_at(path)
    moved = path.rename(path.with_name("moved"))
    server.stop()
    assert moved.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_lets_go_of_the_server_leaves_the_file_to_its_parent(
    path: Path,
) -> None:
    server = serve_at(path)
    child = os.fork()
    if child == 0:
        try:
            server.stop()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with server:
        assert is_served(path)
    assert not path.exists()


# ---------------------------------------------------------------- paths from here


@pytest.fixture
def inside(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(path.parent)
    return path


def test_a_path_may_start_from_here_and_its_file_goes_even_from_elsewhere(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_at(inside.name) as server:
        assert server.address == "unix:policy.sock"
        assert is_served(inside.name)
        monkeypatch.chdir("/")
        assert is_served(inside)
    assert not inside.exists()


def test_a_short_path_from_here_reaches_a_socket_deep_down(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = path.parent / ("d" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    with serve_at("policy.sock"):
        assert is_served("policy.sock")
    assert list(deep.iterdir()) == []


# ---------------------------------------------------------------- clients


def test_a_file_on_which_nobody_listens_is_a_connection_error_with_the_path(path: Path) -> None:
    stale(path)
    with (
        PolicyClient(f"unix:{path}", timeout=WAIT) as client,
        pytest.raises(UnavailableError, match="refused; is the server running") as raised,
    ):
        client.health_check()
    assert raised.value.address == f"unix:{path}"


@full_queue_is_told
def test_a_client_waits_for_room_in_a_full_queue_as_long_as_it_has_time(path: Path) -> None:
    async def main() -> None:
        server = serve_at(path)
        server._socket.listen(0)
        async with AsyncPolicyClient(f"unix:{path}", timeout=WAIT) as client:
            with filled_queue(path):
                patient = asyncio.ensure_future(client.health_check())
                with pytest.raises(DeadlineExceededError, match="before a connection was made"):
                    await client.health_check(timeout=0.1)
                serving = asyncio.ensure_future(server.serve_async())
                assert await patient == (True, "RecordingHandler")
        server.request_stop()
        await serving

    asyncio.run(main())


def test_a_pair_may_be_connected_by_a_unix_socket(path: Path) -> None:
    with connected(RecordingHandler(), host=f"unix:{path}", timeout=WAIT) as (server, client):
        assert client.address == server.address == f"unix:{path}"
        assert client.reset()
