# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Hosts of a network of the test's own: network namespaces, and a link that can fail.

Each host is a process in a namespace, which is gone with its last process. The link
is in the test's hands, packet by packet: the kernels that tests run on have no common
way to lose packets, and here the same ones are lost in every run.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

WAIT = 30.0

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x1, 0x1000
_MTU = 1500

# Run within the namespace: makes the interface, hands it over and lives as long as the host.
_HOST = f"""
import fcntl, os, socket, struct, subprocess, sys

address, peer, channel = sys.argv[1], sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
tun = os.open("{_TUN}", os.O_RDWR)
fcntl.ioctl(tun, {_TUNSETIFF}, struct.pack("16sH", b"link0", {_IFF_TUN | _IFF_NO_PI}))
for words in (
    "link set lo up",
    f"addr add {{address}} peer {{peer}} dev link0",
    "link set link0 mtu {_MTU} up",
):
    subprocess.run(["ip", *words.split()], check=True)
socket.send_fds(channel, [b"ready"], [tun])
os.close(tun)
channel.recv(1)
"""


class NoNamespacesError(Exception):
    """This machine lets nobody make them, or not this user."""


class Host:
    """A machine with one interface.

    Args:
        address: Its own.
        peer: That of the machine at the other end of the link.

    Raises:
        NoNamespacesError: What is missing.
    """

    def __init__(self, address: str, peer: str) -> None:
        self.address = address
        ours, theirs = socket.socketpair()
        command = ["unshare", *_user(), "--net", sys.executable, "-I", "-c", _HOST]
        self._process = subprocess.Popen(
            [*command, address, peer, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        self._channel = ours
        ours.settimeout(WAIT)
        _, files, _, _ = socket.recv_fds(ours, 5, 1)
        if not files:
            ours.close()
            raise NoNamespacesError(self._why())
        self.end = files[0]
        os.set_blocking(self.end, False)

    def _why(self) -> str:
        _, told = self._process.communicate(timeout=WAIT)
        return (told.strip().splitlines() or ["no reason was given"])[-1]

    @property
    def within(self) -> list[str]:
        """The command that runs another on this host."""
        user = ["--user", "--preserve-credentials"] if _user() else []
        return ["nsenter", f"--target={self._process.pid}", *user, "--net", "--"]

    def take_down(self) -> None:
        """Has the system know that the link is down."""
        subprocess.run([*self.within, "ip", "link", "set", "link0", "down"], check=True)

    def bring_up(self) -> None:
        """Has the system know that the link is up again."""
        subprocess.run([*self.within, "ip", "link", "set", "link0", "up"], check=True)

    def vanish(self) -> None:
        """Ends the host, which is gone once nothing else runs on it."""
        self._channel.close()
        self._process.communicate(timeout=WAIT)

    def close(self) -> None:
        """Ends the host and lets go of its end of the link."""
        self.vanish()
        os.close(self.end)


def _user() -> list[str]:
    return [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


def check_namespaces() -> None:
    """Raises unless hosts can be made here.

    Raises:
        NoNamespacesError: What is missing.
    """
    if not sys.platform.startswith("linux"):
        raise NoNamespacesError("only Linux has them")
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            raise NoNamespacesError(f"there is no program {program!r}")
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise NoNamespacesError(f"{_TUN} is missing, or not for this user")


class Link:
    """Carries packets between two hosts, on a thread of its own, as badly as it is told to.

    Attributes:
        loss: The share of packets that is lost.
        rate: Bytes a second and direction; more than a buffer's worth is lost.
        pause_every: After so many packets one direction pauses.
        carried: Packets that arrived.
        lost: Packets that did not.
        pauses: How often it has paused.
    """

    PAUSE = 0.2
    _BUFFER = 256 * 1024
    _PACKETS = 64  # at a time from one end

    def __init__(self, one: Host, other: Host) -> None:
        self._other_end = {one.end: other.end, other.end: one.end}
        self._free_at = dict.fromkeys(self._other_end, 0.0)
        self._on_its_way: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        # The same packets in every run, as far as the systems send the same.
        self._chance = random.Random(0)
        self._poll = select.poll()
        self._ended, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._silent = False
        self._cut_at = -1
        self._was_cut = threading.Semaphore(0)
        self.loss, self.rate, self.pause_every = 0.0, float("inf"), 0
        self.carried = self.lost = self.pauses = 0

    def cut(self) -> None:
        """Loses everything from now on."""
        self._silent = True

    def cut_after(self, packets: int) -> None:
        """Loses everything once so many packets more have arrived; `wait_cut` waits for it."""
        self._cut_at = self.carried + packets

    def wait_cut(self) -> None:
        """Waits until `cut_after` has cut."""
        assert self._was_cut.acquire(timeout=WAIT), "too few packets came"

    def mend(self) -> None:
        """Carries again."""
        self._silent = False

    def __enter__(self) -> Link:
        for end in (self._ended.fileno(), *self._other_end):
            self._poll.register(end, select.POLLIN)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.close()
        self._thread.join(WAIT)
        self._ended.close()

    def _carry(self) -> None:
        while True:
            ready = [end for end, _ in self._poll.poll(self._patience())]
            if self._ended.fileno() in ready:
                return
            for end in ready:
                self._take(end)
            self._deliver()

    def _patience(self) -> float | None:
        """Milliseconds until the next packet is due, rounded up."""
        if not self._on_its_way:
            return None
        return max(0.0, self._on_its_way[0][0] - time.monotonic()) * 1000 + 1

    def _take(self, end: int) -> None:
        for _ in range(self._PACKETS):
            try:
                packet = os.read(end, 2 * _MTU)
            except OSError:  # there are no more, or the interface is down
                return
            at = self._arrival(end, len(packet))
            if at is None:
                self.lost += 1
            else:
                item = (at, next(self._order), self._other_end[end], packet)
                heapq.heappush(self._on_its_way, item)

    def _arrival(self, end: int, size: int) -> float | None:
        """Returns when a packet shall arrive, None if it is lost."""
        now = time.monotonic()
        free_at = max(now, self._free_at[end])
        full = (free_at - now) * self.rate > self._BUFFER
        if self._silent or full or self._chance.random() < self.loss:
            return None
        self.carried += 1
        if self.carried == self._cut_at:
            self._silent = True
            self._was_cut.release()
        if self.pause_every and self.carried % self.pause_every == 0:
            self.pauses += 1
            free_at += self.PAUSE
        self._free_at[end] = free_at + size / self.rate
        return free_at

    def _deliver(self) -> None:
        while self._on_its_way and self._on_its_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(self._on_its_way)
            with suppress(OSError):  # the interface is down
                os.write(end, packet)
