# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The real Envoy with `deploy/kubernetes/envoy/envoy.yaml`, and a name that stands for servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import TIMEOUT
from deployment import DEPLOY
from fleet import POINTS, Envoy, asked, envoy_binary
from hosts import LOOPBACK, unused_port
from names import NameServer

from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.testing import Prediction, RecordingHandler
from praxis_remote.types import Array

PUBLISHED = DEPLOY / "kubernetes" / "envoy" / "envoy.yaml"
RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3."


def answer(number: int, _: Prediction) -> Array:
    return np.array([number, 0])


@pytest.fixture
def pods() -> Iterator[dict[str, PolicyServer]]:
    """Servers at addresses of their own and one port, as pods are."""
    envoy_binary()
    addresses = [f"127.0.0.{number}" for number in range(2, 6)]
    with ExitStack() as stack:
        pods: dict[str, PolicyServer] = {}
        for number, address in enumerate(addresses):
            handler = RecordingHandler(partial(answer, number))
            port = pods[addresses[0]].port if pods else 0
            pods[address] = stack.enter_context(PolicyServer(handler, host=address, port=port))
        yield pods


def with_names(port: int, names: NameServer) -> str:
    """Returns the published configuration, with another port, and where to ask for names."""
    text = PUBLISHED.read_text(encoding="utf-8")
    text = text.replace("50052", str(unused_port(LOOPBACK))).replace("50051", str(port))
    config = yaml.safe_load(text)
    (cluster,) = config["static_resources"]["clusters"]
    cluster["dns_refresh_rate"] = "0.1s"
    there = {"socket_address": {"address": "127.0.0.1", "port_value": names.port}}
    resolver = {"@type": f"{RESOLVER}CaresDnsResolverConfig", "resolvers": [there]}
    cluster["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": resolver,
    }
    return str(yaml.safe_dump(config))


def test_pods_come_and_go_and_no_session_moves_that_need_not(
    tmp_path: Path, pods: dict[str, PolicyServer]
) -> None:
    *three, fourth = pods
    with NameServer(*three) as names, ExitStack() as stack:
        config = tmp_path / "published.yaml"
        config.write_text(with_names(pods[fourth].port, names), encoding="utf-8")
        envoy = Envoy(tmp_path, {}, "0.1s", config)
        stack.callback(envoy.close)
        clients = [
            stack.enter_context(
                PolicyClient("127.0.0.1", envoy.port, timeout=TIMEOUT, session_id=f"robot-{number}")
            )
            for number in range(48)
        ]

        def homes(servers: int) -> list[int]:
            points = servers * POINTS + 1
            envoy.wait_until(lambda: envoy.gauge("policy.ring_hash_lb.size") == points)
            return [asked(client) for client in clients]

        before = homes(3)
        names.addresses.append(fourth)
        after = homes(4)
        assert 3 in after
        assert all(there in (here, 3) for here, there in zip(before, after, strict=True))

        names.addresses.clear()  # as when names fail: those that are ready stay
        seen = envoy.count("policy.update_success") + envoy.count("policy.update_empty")
        envoy.wait_until(
            lambda: (
                envoy.count("policy.update_success") + envoy.count("policy.update_empty") > seen + 1
            )
        )
        assert homes(4) == after

        pods[three[0]].stop()
        last = homes(3)
        assert 0 not in last
        assert all(here in (0, there) for here, there in zip(after, last, strict=True))
