# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One body of tests for TCP and UNIX sockets: both are a host and a port, if maybe 0.

The fixtures are there for every test; see ``conftest.py``.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder with a path so short that sockets can be in it, unlike ``tmp_path``'s."""
    with tempfile.TemporaryDirectory(prefix="praxis-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(params=["tcp", "unix"])
def host(request: pytest.FixtureRequest) -> str:
    """What to listen on, with port 0."""
    if request.param == "tcp":
        return LOOPBACK
    folder: Path = request.getfixturevalue("socket_folder")
    return f"unix:{folder}/policy.sock"


def listen(host: str, backlog: int | None = None) -> socket.socket:
    """Returns a socket that listens there and is none of the package's."""
    if host.startswith("unix:"):
        path = Path(host.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        sock.listen() if backlog is None else sock.listen(backlog)
        return sock
    return socket.create_server((host, 0), backlog=backlog)


def port_of(sock: socket.socket) -> int:
    """Returns the port to go with the host."""
    name = sock.getsockname()
    port: int = name[1] if isinstance(name, tuple) else 0
    return port


def unused_port(host: str) -> int:
    """Returns a port of the host where nobody listens."""
    if host.startswith("unix:"):
        return 0
    with listen(host) as sock:
        return port_of(sock)
