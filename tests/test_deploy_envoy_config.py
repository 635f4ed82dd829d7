# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Envoy's configuration beside what our servers and clients do, without Envoy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from deployment import SERVICE, Dockerfile, exec_form, loaded, parsed
from fleet import POINTS

from praxis_remote.address import DEFAULT_PORT
from praxis_remote.calls import SESSION_ID
from praxis_remote.framing import DEFAULT_MAX_MESSAGE_SIZE
from praxis_remote.limits import Limits


@pytest.fixture(scope="module")
def resources() -> Any:
    return loaded("envoy/envoy.yaml")["static_resources"]


@pytest.fixture(params=["policy", "again"])
def manager(resources: Any, request: pytest.FixtureRequest) -> Any:
    """What clients reach, and what the sessions reach that meet Envoy's own point."""
    (listener,) = (each for each in resources["listeners"] if each["name"] == request.param)
    ((filters,),) = (chain["filters"] for chain in listener["filter_chains"])
    return filters["typed_config"]


@pytest.fixture
def host(manager: Any) -> Any:
    (host,) = manager["route_config"]["virtual_hosts"]
    return host


@pytest.fixture
def routes(host: Any) -> Any:
    return [each["route"] for each in host["routes"] if "route" in each]


@pytest.fixture
def cluster(resources: Any) -> Any:
    (cluster,) = resources["clusters"]
    return cluster


@pytest.fixture
def listed() -> Any:
    (resource,) = loaded("envoy/servers.yaml")["resources"]
    return resource


@pytest.fixture
def places(listed: Any) -> Any:
    """Those of the servers, and the last one, of Envoy itself."""
    (endpoints,) = listed["endpoints"]
    return endpoints["lb_endpoints"]


@pytest.mark.parametrize("manager", ["policy"], indirect=True)
def test_sessions_are_told_apart_by_what_clients_send(routes: Any) -> None:
    ((first, second),) = (route["hash_policy"] for route in routes)
    assert first == {"header": {"header_name": SESSION_ID}, "terminal": True}
    assert second == {"connection_properties": {"source_ip": True}}


@pytest.mark.parametrize("manager", ["again"], indirect=True)
def test_they_are_drawn_again_by_the_same(host: Any, routes: Any) -> None:
    known, unknown = (route["hash_policy"] for route in routes)
    times = {"header": {"header_name": "praxis-again"}}
    assert known == [times, {"header": {"header_name": SESSION_ID}}]
    assert unknown == [times, {"connection_properties": {"source_ip": True}}]
    _, with_session, _ = (each["match"].get("headers") for each in host["routes"])
    assert with_session == [{"name": SESSION_ID, "present_match": True}]


def test_a_server_has_the_points_that_its_weight_says(cluster: Any, places: Any) -> None:
    assert cluster["lb_policy"] == "RING_HASH"
    assert cluster["ring_hash_lb_config"] == {"minimum_ring_size": 1}
    *servers, itself = (each["load_balancing_weight"] for each in places)
    assert itself == 1
    assert servers == [POINTS] * 3
    assert POINTS & (POINTS - 1) == 0  # a power of two


def test_envoy_itself_is_always_on_the_ring(resources: Any, places: Any) -> None:
    endpoint = places[-1]["endpoint"]
    _, again = resources["listeners"]
    name = endpoint["address"]["envoy_internal_address"]["server_listener_name"]
    assert name == again["name"]
    assert "internal_listener" in again
    assert endpoint["health_check_config"] == {"disable_active_health_check": True}


def test_the_servers_are_read_from_the_file_that_is_beside_it(cluster: Any, listed: Any) -> None:
    source = cluster["eds_cluster_config"]["eds_config"]["path_config_source"]
    assert source == {
        "path": "/etc/envoy/servers.yaml",
        "watched_directory": {"path": "/etc/envoy"},
    }
    assert listed["cluster_name"] == cluster["name"]
    assert cluster["ignore_health_on_host_removal"] is True


def test_a_call_is_sent_again_only_when_no_server_has_begun_on_it(routes: Any) -> None:
    for route in routes:
        reasons = route["retry_policy"]["retry_on"].split(",")
        assert set(reasons) == {"connect-failure", "refused-stream", "reset-before-request"}
        assert route["retry_policy"]["num_retries"] >= 2  # as many as there are other servers
        # More than a server has points; those of others lie between.
        assert route["retry_policy"]["host_selection_retry_max_attempts"] > POINTS


def test_time_is_the_callers(routes: Any, manager: Any) -> None:
    for route in routes:
        assert route["timeout"] == "0s"
        assert route["max_stream_duration"] == {"grpc_timeout_header_max": "0s"}
    assert manager["stream_idle_timeout"] == "0s"


def test_nothing_gathers_a_message_on_its_way(manager: Any) -> None:
    *before, router = (each["name"] for each in manager["http_filters"])
    assert router == "envoy.filters.http.router"
    again = manager["stat_prefix"] == "again"
    assert before == ["envoy.filters.http.header_mutation"] * again


def test_the_servers_are_checked_as_they_want_to_be(cluster: Any, places: Any) -> None:
    (check,) = cluster["health_checks"]
    assert check["grpc_health_check"] == {"service_name": SERVICE}
    changes = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
    assert cluster["common_lb_config"] == changes
    *servers, _ = (each["endpoint"] for each in places)
    assert len(servers) == 3
    for server in servers:
        assert list(server) == ["address"]
        assert server["address"]["socket_address"]["port_value"] == DEFAULT_PORT


def test_the_servers_limits_are_kept(cluster: Any) -> None:
    (options,) = cluster["typed_extension_protocol_options"].values()
    http2 = options["explicit_http_config"]["http2_protocol_options"]
    largest = http2["max_concurrent_streams"] * DEFAULT_MAX_MESSAGE_SIZE
    assert largest <= Limits.connection_bytes
    idle = options["common_http_protocol_options"]["idle_timeout"]
    assert float(idle.rstrip("s")) < Limits.idle_seconds


def without_tls(resources: Any) -> tuple[Any, Any, Any, Any]:
    """Returns resources without their TLS, and that to clients, to servers and to Envoy itself."""
    rest = copy.deepcopy(resources)
    policy, _ = rest["listeners"]
    (chain,), (cluster,) = policy["filter_chains"], rest["clusters"]
    to_clients, to_servers = (
        each.pop("transport_socket")["typed_config"] for each in (chain, cluster)
    )
    return rest, to_clients, to_servers, cluster.pop("transport_socket_matches")


def test_with_tls_nothing_else_is_otherwise(resources: Any) -> None:
    with_tls = loaded("envoy/envoy-tls.yaml")
    rest, to_clients, to_servers, _ = without_tls(with_tls.pop("static_resources"))
    plain = loaded("envoy/envoy.yaml")
    assert plain.pop("static_resources") == resources == rest
    assert plain == with_tls
    for context in (to_clients, to_servers):
        common = context["common_tls_context"]
        assert common["alpn_protocols"] == ["h2"]
        assert common["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}


def test_envoy_takes_only_servers_of_the_name_that_their_certificates_have_elsewhere() -> None:
    _, _, context, _ = without_tls(loaded("envoy/envoy-tls.yaml")["static_resources"])
    _, _, command = Dockerfile().the("HEALTHCHECK").partition("CMD ")
    name = parsed(exec_form(command)).tls_server_name
    assert context["sni"] == name
    expected = context["common_tls_context"]["validation_context"]
    assert expected["trusted_ca"]
    (match,) = expected["match_typed_subject_alt_names"]
    assert match == {"san_type": "DNS", "matcher": {"exact": name}}


def test_only_to_itself_envoy_speaks_no_tls(places: Any) -> None:
    *_, (exception,) = without_tls(loaded("envoy/envoy-tls.yaml")["static_resources"])
    assert exception["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    *servers, itself = places
    assert not any("metadata" in server for server in servers)
    metadata = itself["metadata"]["filter_metadata"]
    assert metadata == {"envoy.transport_socket_match": exception["match"]}


def test_only_this_machine_may_give_envoy_orders() -> None:
    admin = loaded("envoy/envoy.yaml")["admin"]["address"]["socket_address"]
    assert admin["address"] == "127.0.0.1"
