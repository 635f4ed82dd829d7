# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""`serve --workers` in processes of its own, and a policy that tells which one it is in.

The fixtures are there for every test; see ``conftest.py``.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import TIMEOUT
from processes import POLICIES, Process

from praxis_remote import PolicyClient
from praxis_remote.address import parse_address

# What the file ``no`` says keeps a worker from being started again.
MEMBER = """

class Member(Policy):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if os.path.exists("no"):
            raise RuntimeError(open("no").read())
        if os.path.exists("gate"):
            wait_for_test(int(open("gate").read()))

    def predict_action(self, observations, *, policy_kwargs=None):
        super().predict_action(observations)
        return np.array([os.getpid(), int(os.environ.get("CUDA_VISIBLE_DEVICES", "-1"))])


class Cold(Member):
    def warmup(self):
        raise RuntimeError("no heat")
"""


class Workers:
    """A running `serve --workers`.

    Attributes:
        process: The door.
        address: As it says.
    """

    def __init__(self, process: Process, number: int) -> None:
        self.process = process
        line = process.out.next() or "\n".join(process.err.rest())
        count = "1 worker" if number == 1 else f"{number} workers"
        match = re.fullmatch(rf"serving \w+ on (127\.0\.0\.1:\d+|unix:.+) \({count}\)", line)
        assert match is not None, line
        self.address = parse_address(match[1])
        self.clients: list[PolicyClient] = []

    @property
    def port(self) -> int:
        return self.address.port

    def client(self, **options: Any) -> PolicyClient:
        """Returns a client that ends with the test."""
        options = {"timeout": TIMEOUT, **options}
        self.clients.append(PolicyClient(self.address.host, self.address.port, **options))
        return self.clients[-1]

    def clients_by_worker(self, each: int, **options: Any) -> dict[int, list[PolicyClient]]:
        """Returns clients of two workers, by the process that answers them."""
        found: dict[int, list[PolicyClient]] = {}
        # The door may not know yet whose clients have gone.
        while len(found) < 2 or min(map(len, found.values())) < each:
            assert len(self.clients) < 100, found
            client = self.client(**options)
            found.setdefault(asked(client)[0], []).append(client)
        return found

    def stop(self) -> None:
        """Stops them; nothing of theirs may be left."""
        self.process.send(signal.SIGTERM)
        assert self.process.end() == 0

    def close(self) -> None:
        for client in self.clients:
            client.close()


PATIENCE = 3 * TIMEOUT
"""For several processes one after the other, each with its imports."""

Serve = Callable[..., Workers]


def asked(client: PolicyClient) -> tuple[int, int]:
    """Returns the process that answers a client, and its device."""
    pid, device = client.predict_action([{"state": 1}])
    return int(pid), int(device)


def write_policies(folder: Path) -> None:
    (folder / "policies.py").write_text(POLICIES + MEMBER)


@pytest.fixture
def serve_workers(tmp_path: Path) -> Iterator[Serve]:
    """Serves a policy in two processes, unless told otherwise."""
    write_policies(tmp_path)
    processes: list[Process] = []
    groups: list[Workers] = []

    def serve(*words: str, number: int = 2, **options: Any) -> Workers:
        port = [] if "--host" in words else ["--port", "0"]
        words = ("serve", "policies:Member", *port, "--workers", str(number), *words)
        processes.append(Process(*words, **{"cwd": tmp_path, "patience": PATIENCE, **options}))
        groups.append(Workers(processes[-1], number))
        return groups[-1]

    yield serve
    for group in groups:
        group.close()
    for process in processes:
        process.process.kill()
        process.process.wait(TIMEOUT)
        # Which ends when all of its workers have.
        process.out.rest()
        process.err.rest()
