# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is simulated: clients, a front, replicas, and how long each of their steps takes.

All times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Duration:
    """A time that is drawn anew each time: a constant part, and an exponential one.

    Attributes:
        mean: Of both together.
        spread: Its standard deviation, as a share of the mean: 0 is constant, 1 exponential.
    """

    mean: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        if self.mean < 0:
            raise ValueError(f"mean: {self.mean}; it is negative")
        if not 0 <= self.spread <= 1:
            raise ValueError(f"spread: {self.spread}; allowed: 0 to 1")


NO_TIME = Duration(0.0)


@dataclass(frozen=True)
class Front:
    """What all calls pass on their way to the replicas, and on their way back.

    A process has one core and takes what comes in turn. A client's connection belongs to
    one process, by chance, as a kernel's hash has it.

    Attributes:
        processes: How many share the work.
        request: CPU of one of them for a request.
        reply: CPU for a reply.
        connection: CPU for a new connection.
    """

    processes: int = 1
    request: Duration = NO_TIME
    reply: Duration = NO_TIME
    connection: Duration = NO_TIME

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"processes: {self.processes}; there must be 1 at least")


@dataclass(frozen=True)
class Server:
    """The process of a replica; its CPU time is not that of the policy, which is on a GPU.

    Attributes:
        request: CPU to receive and decode.
        reply: CPU to encode and send.
    """

    request: Duration = NO_TIME
    reply: Duration = NO_TIME


@dataclass(frozen=True)
class Policy:
    """A policy, which works on one batch at a time.

    Attributes:
        fixed: What a batch takes, whatever its size.
        item: What each call in it adds.
        max_batch_size: Calls that are joined at most; 1 joins none.
        max_batch_delay: How long a call is kept waiting for others to join it.
    """

    fixed: Duration
    item: float = 0.0
    max_batch_size: int = 1
    max_batch_delay: float = 0.0

    def __post_init__(self) -> None:
        if self.max_batch_size < 1:
            raise ValueError(f"max_batch_size: {self.max_batch_size}; 1 joins no calls")


@dataclass(frozen=True)
class Scenario:
    """Clients in a closed loop: each steps its simulator, calls, and waits for the action.

    Attributes:
        replicas: Processes with a policy each.
        clients: Simulators, with a connection each.
        step: The time of a simulator's step, between an action and the next call.
        client: What a call takes outside of front and replica: the client's own CPU, wires.
        placement: Which replica a client calls: a name in `placement.PLACEMENTS`.
        episode: Calls of an episode; the next one may be placed elsewhere.
        calls: How many are recorded, after a fifth as many that are not.
        seed: The same one gives the same outcome.
    """

    replicas: int
    clients: int
    policy: Policy
    step: Duration = NO_TIME
    server: Server = Server()
    front: Front | None = None
    client: Duration = NO_TIME
    placement: str = "least"
    episode: int = 200
    calls: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("replicas", "clients", "episode", "calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)}; there must be 1 at least")
