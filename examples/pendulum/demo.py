# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Balances a batch of pendulums with a policy that lives in another process.

The policy server is started, asked for every action of one episode in each
environment, and stopped. The same episodes are then run with the policy in this
process: every action and every return must be equal to the last bit. What happened is
summed up on the terminal, in pendulum.png and in pendulum.gif.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np

from praxis_remote import PolicyClient

from . import report
from .policy import PendulumPolicy
from .rollout import Rollout, episode_ids, rollout

HANDLER = "examples.pendulum.policy:PendulumPolicy"

Address = tuple[str, int]


class DemoError(Exception):
    """The demo did not show what it is there to show."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo and returns its exit code."""
    # A terminated demo takes its server with it, as an interrupted one does. Handed on as
    # Ctrl-C, which the client lets wait until its own state is in order.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        _demonstrate(_arguments(argv))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (DemoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _demonstrate(options: argparse.Namespace) -> None:
    server: AbstractContextManager[Address]
    server = policy_server() if options.address is None else nullcontext(options.address)
    with server as (host, port):
        print(f"policy server at {host}:{port}", flush=True)
        remote = _run_remote(options, host, port)
    local = rollout(
        PendulumPolicy().predict_action,
        envs=options.envs,
        steps=options.steps,
        seed=options.seed,
        title="in process",
    )
    options.output.mkdir(parents=True, exist_ok=True)
    report.write_plot(options.output / "pendulum.png", remote, local)
    report.write_film(options.output / "pendulum.gif", remote)
    print(report.summary(remote, local))
    print(f"written      {options.output / 'pendulum.png'}, {options.output / 'pendulum.gif'}")
    check_equal(remote, local)
    print(
        f"check        all {remote.actions.size} actions and {remote.returns.size} returns, "
        "remote and in process, are equal to the last bit"
    )


def _run_remote(options: argparse.Namespace, host: str, port: int) -> Rollout:
    with PolicyClient(host, port, timeout=10.0) as client:
        client.wait_ready(timeout=30.0)
        # A server that was running before may remember an earlier demo.
        client.reset(episode_ids=episode_ids(options.envs, options.seed))
        return rollout(
            client.predict_action,
            envs=options.envs,
            steps=options.steps,
            seed=options.seed,
            title="remote",
        )


@contextmanager
def policy_server() -> Iterator[Address]:
    """Runs the policy server in another process, on a free port of this machine.

    Raises:
        DemoError: The server did not start, or did not stop cleanly.
    """
    command = [sys.executable, "-m", "praxis_remote", "serve", HANDLER, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _announced_address(process)
        finally:
            exit_code = _terminate(process)
    if exit_code != 0:
        raise DemoError(f"the policy server ended with exit code {exit_code}, not 0")


def _announced_address(process: subprocess.Popen[str]) -> Address:
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        return host_and_port(line.split()[-1])
    except (IndexError, ValueError):
        raise DemoError(f"the policy server did not say where it is, but {line!r}") from None


def _terminate(process: subprocess.Popen[str]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def check_equal(remote: Rollout, local: Rollout) -> None:
    """Compares two rollouts bit by bit.

    Raises:
        DemoError: They differ.
    """
    for name in ("actions", "returns"):
        far, near = getattr(remote, name), getattr(local, name)
        if (far.dtype, far.shape) != (near.dtype, near.shape):
            raise DemoError(
                f"{name}: remote is {far.dtype}{far.shape}, in process {near.dtype}{near.shape}"
            )
        bits = f"u{far.itemsize}"
        different = np.count_nonzero(far.view(bits) != near.view(bits))
        if different:
            raise DemoError(
                f"{different} of {far.size} {name} differ between remote and in process"
            )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.pendulum.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"""\
with a server of your own, here or on another machine:
  python -m praxis_remote serve {HANDLER} --port 50051
  python -m examples.pendulum.demo --address localhost:50051

exit code: 0 when remote and in-process results are equal, 1 when they differ or the
server failed, 2 for wrong options, 130 when interrupted""",
    )
    parser.add_argument(
        "--envs",
        type=positive_number,
        default=8,
        help="pendulums side by side (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=positive_number,
        default=200,
        help="length of an episode in steps of 0.05 s (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the first pendulum; the next one has the next seed (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="where pendulum.png and pendulum.gif go (default: %(default)s)",
    )
    parser.add_argument(
        "--address",
        type=host_and_port,
        metavar="HOST:PORT",
        help="a server that is running already, instead of one started for the demo; "
        "another kind of machine may compute another last bit",
    )
    return parser.parse_args(argv)


# The parser shows these two names to people.
def positive_number(text: str) -> int:
    """Returns the number, if it is one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def host_and_port(text: str) -> Address:
    """Returns host and port of HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if not (host and colon):
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
