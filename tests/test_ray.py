# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Policies on a real Ray of this machine, which takes seconds to start: one for all."""

from __future__ import annotations

import inspect
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import ray
from documents import blocks_of, text_of
from hosts import LOOPBACK, listen, port_of, unused_port
from ray import serve
from ray_policy import Policy

from praxis_remote import PolicyClient
from praxis_remote.errors import InvalidArgumentError, InvalidValueError, UnavailableError
from praxis_remote.ray import Autoscaling, Deployed, application, deploy
from praxis_remote.ray.options import ApplicationOptions

WAIT = 60.0

# Ray's own periods are seconds.
QUICK = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_RECORD_INTERVAL_S": "0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # Not pytest's folder, whose path is too long for sockets in it.
    folder = tempfile.mkdtemp(prefix="praxis-ray-", dir="/tmp")
    token = Path(folder, "token")
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in {**QUICK, "RAY_AUTH_TOKEN_PATH": str(token)}.items():
            patch.setenv(name, value)
        # Where the workers find the policy.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ray.init(
            # Ray starts a worker for each beforehand.
            num_cpus=4,
            # Nobody looks whether there are any.
            num_gpus=2,
            include_dashboard=False,
            log_to_driver=bool(os.environ.get("DBG")),
            object_store_memory=100 * 2**20,
            _temp_dir=folder,
        )
        stack.callback(ray.shutdown)
        stack.callback(serve.shutdown)
        yield


def deploy_here(name: str, **options: Any) -> Deployed:
    return deploy(
        Policy,
        name,
        name=name,
        port=unused_port(LOOPBACK),
        replica_host=LOOPBACK,
        num_cpus=0,
        health_check_seconds=1,
        ingress_actor_options={"num_cpus": 0},
        **options,
    )


@pytest.fixture(scope="module")
def pair(cluster: None) -> Iterator[Deployed]:
    with deploy_here("pair", replicas=2, num_gpus=1) as deployed:
        yield deployed


@pytest.fixture
def client(pair: Deployed) -> Iterator[PolicyClient]:
    with PolicyClient(pair.host, pair.port, timeout=WAIT) as client:
        yield client


class Gate:
    """Holds a policy back in its midst."""

    def __init__(self) -> None:
        self._listener = listen(LOOPBACK, 16)
        self._listener.settimeout(WAIT)
        self._waiting: list[socket.socket] = []
        self.port = port_of(self._listener)

    def wait(self) -> None:
        """Waits until one more is there."""
        self._waiting.append(self._listener.accept()[0])

    def open(self) -> None:
        """Lets those that are there go, and whoever comes."""
        self._listener.close()
        for sock in self._waiting:
            sock.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def batch(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"n": number, **more} for number in range(count)]


def pids(client: PolicyClient, ids: list[str], **more: Any) -> list[int]:
    """Returns the process that answered for each episode, and sees that rows are in order."""
    action = client.predict_action(batch(len(ids), **more), episode_ids=ids)
    assert action[:, 2].tolist() == list(range(len(ids)))
    found: list[int] = action[:, 0].tolist()
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits for what Ray does in its own time, of which nothing tells."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not come about"


def test_episodes_are_spread_and_stay_and_their_batch_is_put_together(
    pair: Deployed, client: PolicyClient
) -> None:
    ids = [f"episode {number}" for number in range(8)]
    first = pids(client, ids)
    assert sorted(map(first.count, set(first))) == [4, 4]
    assert pids(client, ids[::-1]) == first[::-1]
    assert sorted(pair.episodes().values()) == [4, 4]
    assert client.reset()
    assert client.health_check() == (True, "pair")


def test_each_replica_sees_its_own_gpu(client: PolicyClient) -> None:
    action = client.predict_action(batch(2), episode_ids=["left", "right"])
    assert sorted(action[:, 1].tolist()) == [0, 1]


def test_a_policys_error_passes_as_it_is(client: PolicyClient) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        pids(client, ["a"], wrong="not so")
    assert error.value.details() == "not so"
    assert not error.value.never_ran


def test_a_replica_that_is_killed_costs_its_own_calls_alone(
    pair: Deployed, client: PolicyClient, gate: Gate
) -> None:
    ids = ["a", "b"]
    before = pids(client, ids)
    assert len(set(before)) == 2
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(pids, client, [each], gate=gate.port) for each in ids]
        gate.wait()
        gate.wait()
        os.kill(before[0], signal.SIGKILL)
        with pytest.raises(UnavailableError) as error:
            running[0].result(WAIT)
        assert not error.value.never_ran
        # Its episode goes on elsewhere, behind the call that runs there.
        again = pool.submit(pids, client, ["a"])
        gate.open()
        assert running[1].result(WAIT) == [before[1]]
        assert again.result(WAIT) == [before[1]]
    assert pids(client, ids) == [before[1]] * 2
    wait_for(lambda: len(pair.episodes()) == 2)
    new = pids(client, ["c"])[0]
    assert new not in before


def test_an_ingress_that_is_killed_comes_back_and_finds_its_replicas(
    pair: Deployed, client: PolicyClient, gate: Gate
) -> None:
    before = set(pids(client, list("wxyz")))
    (name,) = (
        each["name"]
        for each in ray.util.list_named_actors(all_namespaces=True)
        if "pair#ingress" in each["name"]
    )
    with ThreadPoolExecutor() as pool:
        running = pool.submit(pids, client, ["w"], gate=gate.port)
        gate.wait()
        ray.kill(ray.get_actor(name, namespace="serve"))
        with pytest.raises(UnavailableError):
            running.result(WAIT)
        gate.open()
    client.wait_ready(WAIT)
    wait_for(lambda: len(pair.episodes()) == 2)
    assert set(pids(client, list("wxyz"))) == before


@pytest.fixture(scope="module")
def scaled(cluster: None) -> Iterator[Deployed]:
    scaling = Autoscaling(
        max_replicas=2, upscale_seconds=0, downscale_seconds=0, look_back_seconds=1
    )
    with deploy_here("scaled", autoscaling=scaling) as deployed:
        yield deployed


def test_replicas_come_and_go_with_the_calls_that_wait(scaled: Deployed, gate: Gate) -> None:
    ids = [str(number) for number in range(6)]
    with (
        PolicyClient(scaled.host, scaled.port, timeout=WAIT) as client,
        ThreadPoolExecutor(len(ids)) as pool,
    ):
        assert len(scaled.episodes()) == 1
        waiting = [pool.submit(pids, client, [each], gate=gate.port) for each in ids]
        wait_for(lambda: len(scaled.episodes()) == 2)
        gate.open()
        before = {call.result(WAIT)[0] for call in waiting}
        assert len(before) == 1
        wait_for(lambda: len(scaled.episodes()) == 1)
        # Whoever is left answers for all.
        assert len(set(pids(client, ids))) == 1


def test_calls_that_run_when_it_is_stopped_are_answered(scaled: Deployed, gate: Gate) -> None:
    with (
        PolicyClient(scaled.host, scaled.port, timeout=WAIT) as client,
        PolicyClient(scaled.host, scaled.port, timeout=WAIT) as other,
        ThreadPoolExecutor() as pool,
    ):
        running = pool.submit(pids, client, ["a"], gate=gate.port)
        gate.wait()
        stopping = pool.submit(scaled.stop)
        wait_for(lambda: _is_refused(other))
        gate.open()
        assert len(running.result(WAIT)) == 1
        stopping.result(WAIT)


def _is_refused(client: PolicyClient) -> bool:
    try:
        client.health_check(retries=0)
    except UnavailableError:
        return True
    return False


def test_the_pages_snippet_runs(cluster: None) -> None:
    port = str(unused_port(LOOPBACK))
    block, *_ = (
        each for each in blocks_of(text_of("docs/how-to/ray.md")) if "deploy(" in each.code
    )
    code = block.code.replace("50051", port).replace("num_gpus=1", "num_gpus=0")
    exec(compile(code, str(block), "exec"), {"__name__": "__main__"})


# ---------------------------------------------------------------- without a cluster


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"replicas": 0}, "replicas: 0"),
        ({"replicas": 1, "autoscaling": Autoscaling()}, "replicas and autoscaling"),
        ({"port": -1}, "port: -1"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_message_size": 0}, "max_message_size"),
        ({"episode_ttl": 0}, "0 seconds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_deployed(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidValueError, match=text):
        application(Policy, "name", **options)


def test_what_can_be_passed_on_is_what_an_application_takes() -> None:
    takes = get_type_hints(application)
    keywords = {
        name: takes[name]
        for name, parameter in inspect.signature(application).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert get_type_hints(ApplicationOptions) == keywords


def test_an_instance_is_refused() -> None:
    with pytest.raises(TypeError, match="policy: Policy; pass its class"):
        application(Policy("name"))  # type: ignore[arg-type]  # which is the test


@pytest.mark.parametrize(("least", "most"), [(0, 1), (2, 1)])
def test_bounds_that_cannot_be_are_named(least: int, most: int) -> None:
    with pytest.raises(InvalidValueError, match=f"min_replicas={least}, max_replicas={most}"):
        Autoscaling(least, most)


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=True).stdout


def test_the_package_does_without_ray() -> None:
    code = "import sys, praxis_remote.cli, praxis_remote.routing; print('ray' in sys.modules)"
    assert run(code) == "False\n"


def test_without_ray_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["ray"] = None
try:
    import praxis_remote.ray
except ImportError as error:
    print(error)
"""
    assert "pip install 'praxis-remote[ray]'" in run(code)
