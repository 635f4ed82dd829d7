# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Envoy's configuration beside what our servers and clients do, without Envoy."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from deployment import SERVICE, Dockerfile, exec_form, loaded, parsed

from praxis_remote.address import DEFAULT_PORT
from praxis_remote.calls import SESSION_ID
from praxis_remote.framing import DEFAULT_MAX_MESSAGE_SIZE
from praxis_remote.limits import Limits


@pytest.fixture(scope="module")
def resources() -> Any:
    return loaded("envoy/envoy.yaml")["static_resources"]


@pytest.fixture
def manager(resources: Any) -> Any:
    (listener,) = resources["listeners"]
    ((filters,),) = (chain["filters"] for chain in listener["filter_chains"])
    return filters["typed_config"]


@pytest.fixture
def route(manager: Any) -> Any:
    (host,) = manager["route_config"]["virtual_hosts"]
    (route,) = host["routes"]
    return route["route"]


@pytest.fixture
def clusters(resources: Any) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in resources["clusters"]}


def servers(clusters: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in clusters.items() if name.startswith("server-")}


def test_sessions_are_told_apart_by_what_clients_send(route: Any) -> None:
    first, second = route["hash_policy"]
    assert first == {"header": {"header_name": SESSION_ID}, "terminal": True}
    assert second == {"connection_properties": {"source_ip": True}}


def test_every_order_of_the_servers_is_as_likely(route: Any, clusters: dict[str, Any]) -> None:
    chosen = route["weighted_clusters"]
    assert chosen["use_hash_policy"] is True
    assert {each["weight"] for each in chosen["clusters"]} == {1}
    orders = [
        tuple(clusters[each["name"]]["cluster_type"]["typed_config"]["clusters"])
        for each in chosen["clusters"]
    ]
    assert sorted(orders) == sorted(itertools.permutations(servers(clusters)))


def test_a_call_is_sent_again_only_when_no_server_has_begun_on_it(route: Any) -> None:
    reasons = route["retry_policy"]["retry_on"].split(",")
    assert set(reasons) == {"connect-failure", "refused-stream", "reset-before-request"}
    assert route["retry_policy"]["num_retries"] >= 2  # as many as there are other servers


def test_time_is_the_callers(route: Any, manager: Any) -> None:
    assert route["timeout"] == "0s"
    assert route["max_stream_duration"] == {"grpc_timeout_header_max": "0s"}
    assert manager["stream_idle_timeout"] == "0s"


def test_nothing_gathers_a_message_on_its_way(manager: Any) -> None:
    assert [each["name"] for each in manager["http_filters"]] == ["envoy.filters.http.router"]


def test_the_servers_are_checked_as_they_want_to_be(clusters: dict[str, Any]) -> None:
    assert len(servers(clusters)) == 3
    for name, cluster in servers(clusters).items():
        (check,) = cluster["health_checks"]
        assert check["grpc_health_check"] == {"service_name": SERVICE}
        changes = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
        assert cluster["common_lb_config"] == changes
        assert cluster["load_assignment"]["cluster_name"] == name
        ((place,),) = (each["lb_endpoints"] for each in cluster["load_assignment"]["endpoints"])
        assert place["endpoint"]["address"]["socket_address"]["port_value"] == DEFAULT_PORT


def test_the_servers_limits_are_kept(clusters: dict[str, Any]) -> None:
    for cluster in servers(clusters).values():
        (options,) = cluster["typed_extension_protocol_options"].values()
        http2 = options["explicit_http_config"]["http2_protocol_options"]
        largest = http2["max_concurrent_streams"] * DEFAULT_MAX_MESSAGE_SIZE
        assert largest <= Limits.connection_bytes
        idle = options["common_http_protocol_options"]["idle_timeout"]
        assert float(idle.rstrip("s")) < Limits.idle_seconds


def without_tls(resources: Any) -> tuple[Any, list[Any], list[Any]]:
    """Returns resources without their TLS, and that to clients and to servers."""
    rest = copy.deepcopy(resources)
    chains = [chain for listener in rest["listeners"] for chain in listener["filter_chains"]]
    real = servers({cluster["name"]: cluster for cluster in rest["clusters"]})
    to_clients, to_servers = (
        [each.pop("transport_socket")["typed_config"] for each in places]
        for places in (chains, real.values())
    )
    return rest, to_clients, to_servers


def test_with_tls_nothing_else_is_otherwise(resources: Any) -> None:
    with_tls = loaded("envoy/envoy-tls.yaml")
    rest, (to_clients,), to_servers = without_tls(with_tls.pop("static_resources"))
    plain = loaded("envoy/envoy.yaml")
    assert plain.pop("static_resources") == resources == rest
    assert plain == with_tls
    assert len(to_servers) == 3
    for context in (to_clients, *to_servers):
        common = context["common_tls_context"]
        assert common["alpn_protocols"] == ["h2"]
        assert common["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}


def test_envoy_takes_only_servers_of_the_name_that_their_certificates_have_elsewhere() -> None:
    _, _, to_servers = without_tls(loaded("envoy/envoy-tls.yaml")["static_resources"])
    _, _, command = Dockerfile().the("HEALTHCHECK").partition("CMD ")
    name = parsed(exec_form(command)).tls_server_name
    for context in to_servers:
        assert context["sni"] == name
        expected = context["common_tls_context"]["validation_context"]
        assert expected["trusted_ca"]
        (match,) = expected["match_typed_subject_alt_names"]
        assert match == {"san_type": "DNS", "matcher": {"exact": name}}


def test_only_this_machine_may_give_envoy_orders() -> None:
    admin = loaded("envoy/envoy.yaml")["admin"]["address"]["socket_address"]
    assert admin["address"] == "127.0.0.1"
