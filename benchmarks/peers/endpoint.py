# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process that serves or calls, as it is told: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import platform
import signal
import sys
import threading
import time
import traceback
from typing import Any

import numpy as np

from benchmarks.payloads import Action, Batch, Payload, digest, payload
from benchmarks.peers import meter
from benchmarks.peers.client import Client, Limit

# From Linux's prctl.h.
_PR_SET_PTRACER, _ANY_PROCESS = 0x59616D61, -1


class Policy:
    """Answers at once, so that the transport is all that is measured."""

    def __init__(self) -> None:
        self.action: Action = np.zeros((1, 7), np.float32)
        self.watching = False
        self.seen: list[str] | None = None

    def answer(self, batch: Batch) -> Action:
        """Returns the same action each time."""
        if self.watching:
            self.seen = digest(batch)
        return self.action


class Endpoint:
    """Carries out orders, one method each."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._policy = Policy()
        self._client: Client | None = None
        self._payload_name = ""
        self._payload: Payload | None = None
        self._prepared: Any = None

    def obey(self) -> None:
        """Takes orders until standard input ends."""
        # Ctrl-C is for whoever gives the orders.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for line in sys.stdin:
            order = json.loads(line)
            try:
                answer = {"answer": getattr(self, order.pop("do"))(**order)}
            except Exception:
                answer = {"failed": traceback.format_exc()}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    def versions(self) -> dict[str, str]:
        """Returns the versions of Python and of the packages that matter."""
        packages = {name: importlib.metadata.version(name) for name in self._module.PACKAGES}
        return {"python": platform.python_version(), **packages}

    def usage(self) -> dict[str, Any]:
        """Returns this process's CPU time and memory."""
        return {
            "cpu": meter.cpu_seconds(),
            "peak": meter.peak_bytes(),
            "resident": meter.resident_bytes(),
        }

    def reset_peak(self) -> None:
        """Lets the peak of memory begin anew."""
        meter.reset_peak()

    def allow_tracing(self) -> None:
        """Lets any process of this user look into this one, where Linux restricts that."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANY_PROCESS), 0, 0, 0)

    # ------------------------------------------------------------ the server's

    def serve(self, unix: bool = False, **options: Any) -> str:
        """Serves a trivial policy, and returns where. Not every peer has more options."""
        address: str = self._module.serve(self._policy, unix=unix, **options)
        return address

    def answer(self, name: str, watch: bool = False) -> None:
        """From now on answers with this payload's action, and watches what comes."""
        self._policy.action = payload(name).action
        self._policy.watching = watch
        self._policy.seen = None

    def seen(self) -> list[str] | None:
        """Returns the digest of the last batch, None if there was none that was parsed."""
        return self._policy.seen

    # ------------------------------------------------------------ the client's

    def connect(self, address: str, **options: Any) -> None:
        """Connects to a server. Not every peer has more options."""
        self._client = self._module.connect(address, **options)

    def prepare(self, name: str) -> None:
        """Makes the batch, so that its memory is there."""
        self._ready(name)

    def check(self, name: str) -> list[str]:
        """Calls once; fails on a wrong action, and returns the digest of the batch."""
        client, prepared, expected = self._ready(name)
        action = client.predict(prepared)
        if action.dtype != expected.action.dtype or not np.array_equal(action, expected.action):
            raise ValueError(f"{name}: wrong action, {action.dtype} {action.shape}")
        return digest(expected.batch)

    def measure(self, name: str, least: int, most: int, seconds: float) -> dict[str, Any]:
        """Calls again and again; returns the seconds of each call, and the CPU of all."""
        client, prepared, _ = self._ready(name)
        before = meter.cpu_seconds()
        times = client.measure(prepared, Limit(least, most, seconds))
        return {"times": times, "cpu": meter.cpu_seconds() - before}

    def crowd(self, name: str, threads: int, begin: float, end: float) -> list[int]:
        """Calls from several threads between two points of the monotonic clock.

        Returns how many calls of each thread ended in time.
        """
        client, prepared, _ = self._ready(name)
        counts = [0] * threads

        def run(number: int) -> None:
            time.sleep(max(0.0, begin - time.monotonic()))
            while True:
                client.predict(prepared)
                if time.monotonic() > end:
                    return
                counts[number] += 1

        workers = [threading.Thread(target=run, args=[number]) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return counts

    def _ready(self, name: str) -> tuple[Client, Any, Payload]:
        assert self._client is not None
        if self._payload is None or name != self._payload_name:
            self._payload_name, self._payload = name, payload(name)
            self._prepared = self._client.prepare(self._payload.batch)
        return self._client, self._prepared, self._payload
