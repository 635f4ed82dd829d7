# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What calls cost in memory, as the system counts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from praxis_remote import PolicyClient
from praxis_remote.errors import RemoteError

WAIT = 60.0
MB = 2**20

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not tell"
)

SERVER = """
import sys
import numpy as np
from praxis_remote import PolicyServer

class Policy:
    def predict_action(self, observations, *, policy_kwargs=None):
        if "fail" in observations[0]:
            raise ValueError("as told")
        return np.zeros((1, int(observations[0].get("floats", 7))), np.float32)

    def reset(self):
        pass

    def model_info(self):
        return "Policy"

with PolicyServer(Policy(), port=0) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


class Memory:
    """The resident memory of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def _read(self, name: str) -> int:
        text = (self._folder / "status").read_text()
        match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024

    def now(self) -> int:
        return self._read("VmRSS")

    def peak(self) -> int:
        return self._read("VmHWM")

    def reset_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")


@pytest.fixture
def server() -> Iterator[tuple[Memory, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Memory(process.pid), int(process.stdout.readline())
        process.stdin.close()


def test_a_60_mb_call_takes_its_size_on_the_server_little_on_the_client_and_gives_it_back(
    server: tuple[Memory, int],
) -> None:
    theirs, port = server
    ours = Memory(os.getpid())
    batch = [{"image": np.full((1024, 1024, 3), n, np.uint8)} for n in range(19)]
    size = sum(observation["image"].nbytes for observation in batch)
    with PolicyClient("127.0.0.1", port, timeout=WAIT) as client:
        client.predict_action([{"a": 1}])
        before = {memory: memory.now() for memory in (ours, theirs)}
        for memory in before:
            memory.reset_peak()
        for _ in range(5):
            client.predict_action(batch)
        assert theirs.peak() - before[theirs] < 1.25 * size
        assert ours.peak() - before[ours] < 0.25 * size
        client.wait_ready(WAIT)
        while theirs.now() - before[theirs] > 0.1 * size:  # it is kept for a second or two
            client.health_check()
        assert ours.now() - before[ours] < 0.1 * size


def test_mixed_calls_leave_no_memory_behind(server: tuple[Memory, int]) -> None:
    theirs, port = server
    ours = Memory(os.getpid())
    images = np.zeros((1500, 1000), np.uint8)
    requests: list[dict[str, Any]] = [
        {"state": np.zeros(32, np.float32), "task": "go", "step": 1},
        {"image": images[:100]},
        {"image": images},
        {"floats": 300_000},
        {"fail": True},
    ]

    def call(client: PolicyClient, rounds: int) -> None:
        for number in range(rounds):
            request = requests[number % len(requests)]
            failing = pytest.raises(RemoteError, match="as told") if "fail" in request else None
            with failing or nullcontext():
                client.predict_action([request])

    with PolicyClient("127.0.0.1", port, timeout=WAIT) as client:
        call(client, 500)
        before = {memory: memory.now() for memory in (ours, theirs)}
        call(client, 2500)
        for memory, start in before.items():
            assert memory.now() - start < 8 * MB
