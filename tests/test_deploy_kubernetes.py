# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The manifests for Kubernetes, as far as they can be read without a cluster."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from command import TIMEOUT
from deployment import DEPLOY, SERVICE, Dockerfile, loaded, parsed

from praxis_remote.metrics import DEFAULT_METRICS_PORT

FOLDER = DEPLOY / "kubernetes"
BASE = "base/deployment.yaml"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod(name: str) -> Any:
    return loaded(f"kubernetes/{name}")["spec"]["template"]["spec"]


def container(name: str) -> Any:
    (found,) = pod(name)["containers"]
    return found


def ports() -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container(BASE)["ports"]}


def served(name: str) -> argparse.Namespace:
    """Returns the command line: the image's entry point, and the words of the manifest."""
    return parsed([*Dockerfile().exec_form("ENTRYPOINT"), *container(name)["args"]])


both_manifests = pytest.mark.parametrize("name", [BASE, "tls/deployment.yaml"])


@both_manifests
def test_the_command_line_is_one_of_ours(name: str) -> None:
    arguments = served(name)
    assert arguments.host == "0.0.0.0"
    assert ports() == {"grpc": arguments.port, "metrics": arguments.metrics_port}
    # What is not of this pod scrapes and reads.
    assert arguments.metrics_host == "0.0.0.0"
    assert arguments.log_format == "json"


@both_manifests
def test_each_file_of_the_command_line_is_in_a_secret_that_is_mounted(name: str) -> None:
    arguments = served(name)
    given = (arguments.token_file, arguments.tls_cert, arguments.tls_key)
    files = [PurePosixPath(file) for file in given if file is not None]
    assert len(files) == (3 if name.startswith("tls") else 1)
    names = [BASE] + [name] * name.startswith("tls")
    volumes = {each["name"]: each for one in names for each in pod(one)["volumes"]}
    mounts = {
        PurePosixPath(mount["mountPath"]): volumes[mount["name"]]
        for one in names
        for mount in container(one)["volumeMounts"]
    }
    assert all("secret" in mounts[file.parent] for file in files)


def test_the_probes_ask_for_our_service_at_our_port() -> None:
    port = served(BASE).port
    for probe in PROBES:
        asked = container(BASE)[probe]["grpc"]
        assert asked == {"port": port, "service": SERVICE}


def test_with_tls_the_probes_are_commands_of_ours() -> None:
    with_tls = served("tls/deployment.yaml")
    mounts = [mount["mountPath"] for mount in container("tls/deployment.yaml")["volumeMounts"]]
    for name in PROBES:
        probe = container("tls/deployment.yaml")[name]
        assert probe["grpc"] is None  # takes the place of the other manifest's
        asking = parsed(probe["exec"]["command"])
        assert (asking.command, asking.address.port) == ("health", with_tls.port)
        assert asking.token_file == with_tls.token_file
        assert str(asking.tls_ca.parent) in mounts
        assert asking.timeout < {**container(BASE)[name], **probe}["timeoutSeconds"]


@both_manifests
def test_a_pod_has_the_time_to_finish_its_calls(name: str) -> None:
    _, pause = container(BASE)["lifecycle"]["preStop"]["exec"]["command"]
    given = pod(BASE)["terminationGracePeriodSeconds"]
    assert int(pause) + served(name).grace < given


def test_a_pod_runs_as_the_user_of_the_image() -> None:
    assert pod(BASE)["securityContext"]["runAsNonRoot"] is True
    assert pod(BASE)["securityContext"]["runAsUser"] == int(Dockerfile().the("USER"))
    assert container(BASE)["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_service_shows_the_pods_themselves() -> None:
    service = loaded("kubernetes/base/service.yaml")["spec"]
    deployment = loaded(f"kubernetes/{BASE}")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["clusterIP"] == "None"
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    (port,) = service["ports"]
    assert port["port"] == ports()[port["targetPort"]]


def test_one_pod_at_a_time_may_be_taken_away() -> None:
    disruption = loaded("kubernetes/base/disruption.yaml")["spec"]
    deployment = loaded(f"kubernetes/{BASE}")["spec"]
    assert disruption["selector"] == deployment["selector"]
    assert disruption["maxUnavailable"] == 1
    assert deployment["replicas"] > 1


def test_what_is_applied_together_is_all_there_is() -> None:
    plain = loaded("kubernetes/base/kustomization.yaml")
    assert {*plain["resources"], "kustomization.yaml"} == {
        path.name for path in (FOLDER / "base").iterdir()
    }


def test_the_patch_for_tls_names_what_it_changes() -> None:
    patch, whole = loaded("kubernetes/tls/deployment.yaml"), loaded(f"kubernetes/{BASE}")
    assert (patch["apiVersion"], patch["kind"]) == (whole["apiVersion"], whole["kind"])
    assert patch["metadata"]["name"] == whole["metadata"]["name"]
    assert container("tls/deployment.yaml")["name"] == container(BASE)["name"]
    assert set(container("tls/deployment.yaml")["args"]) > set(container(BASE)["args"])
    volumes = {each["name"] for each in pod("tls/deployment.yaml")["volumes"]}
    mounted = {each["name"] for each in container("tls/deployment.yaml")["volumeMounts"]}
    assert volumes == mounted


# ---------------------------------------------------------------- overlays


OVERLAYS = sorted(
    path.parent.name for path in FOLDER.glob("*/kustomization.yaml") if path.parent.name != "base"
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_not_within_what_it_lies_over(overlay: str) -> None:
    # Which kustomize refuses as a cycle.
    for resource in loaded(f"kubernetes/{overlay}/kustomization.yaml")["resources"]:
        place = (FOLDER / overlay / resource).resolve()
        assert place.exists()
        assert place not in (FOLDER / overlay).resolve().parents


def rendered(overlay: str) -> dict[tuple[str, str], Any]:
    """Returns what would be applied, by kind and name."""
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("there is no kubectl")
    words = [kubectl, "kustomize", str(FOLDER / overlay)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    found = yaml.safe_load_all(result.stdout)
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_kustomize_puts_tls_over_the_rest() -> None:
    manifests = rendered("tls")
    assert set(manifests) == set(rendered("base"))
    (policy,) = manifests["Deployment", "policy"]["spec"]["template"]["spec"]["containers"]
    assert policy["args"] == container("tls/deployment.yaml")["args"]
    assert all({"grpc", "exec"} & set(policy[name]) == {"exec"} for name in PROBES)
    assert {mount["name"] for mount in policy["volumeMounts"]} >= {"token", "tls", "ca", "cache"}
    (port,) = manifests["Service", "policy"]["spec"]["ports"]
    assert "appProtocol" not in port


def test_kustomize_puts_envoy_before_the_pods_as_they_are() -> None:
    manifests = rendered("envoy")
    ((name, config),) = (
        (name, each["data"]) for (kind, name), each in manifests.items() if kind == "ConfigMap"
    )
    assert list(config) == ["envoy.yaml"]
    pod = manifests["Deployment", "policy-envoy"]["spec"]["template"]["spec"]
    assert {"name": "config", "configMap": {"name": name}} in pod["volumes"]
    assert all(manifests[name] == each for name, each in rendered("base").items())


# ---------------------------------------------------------------- before them Envoy


def proxy(kind: str) -> Any:
    text = (FOLDER / "envoy" / "proxy.yaml").read_text(encoding="utf-8")
    (found,) = (each for each in yaml.safe_load_all(text) if each["kind"] == kind)
    return found["spec"]


def proxy_container() -> Any:
    (found,) = proxy("Deployment")["template"]["spec"]["containers"]
    return found


def servers_taken_from(config: Any) -> Any:
    """Returns where a configuration has its servers from; what hangs on that is taken out of it."""
    config.pop("bootstrap_extensions", None)
    _, again = config["static_resources"]["listeners"]
    for listener in config["static_resources"]["listeners"]:
        ((http,),) = (chain["filters"] for chain in listener["filter_chains"])
        (log,) = http["typed_config"]["access_log"]
        del log["filter"]
    (cluster,) = config["static_resources"]["clusters"]
    own = {"type", "eds_cluster_config", "ignore_health_on_host_removal", "load_assignment"}
    found = {name: cluster.pop(name) for name in own & set(cluster)}
    own_address = {"address", "internal_listener"}
    return found, {name: again.pop(name) for name in own_address & set(again)}


def test_envoy_is_configured_as_elsewhere_but_finds_the_pods_by_name() -> None:
    copy, original = loaded("kubernetes/envoy/envoy.yaml"), loaded("envoy/envoy.yaml")
    found, address = servers_taken_from(copy)
    servers_taken_from(original)
    assert copy == original

    ((listed,),) = (each["endpoints"] for each in loaded("envoy/servers.yaml")["resources"])
    first, *_, last = listed["lb_endpoints"]
    (endpoints,) = found["load_assignment"]["endpoints"]
    pods, itself = endpoints["lb_endpoints"]
    service, port = loaded("kubernetes/base/service.yaml"), ports()["grpc"]
    name = service["metadata"]["name"]
    assert found["type"] == "STRICT_DNS"
    assert pods["endpoint"]["address"]["socket_address"] == {"address": name, "port_value": port}
    assert pods["load_balancing_weight"] == first["load_balancing_weight"]
    assert itself["endpoint"]["address"] == address["address"]
    for each in (itself, last):
        del each["endpoint"]["address"]
    assert itself == last


def test_envoy_is_where_clients_and_probes_look_for_it() -> None:
    config = loaded("kubernetes/envoy/envoy.yaml")
    listener, again = config["static_resources"]["listeners"]
    assert again["address"]["socket_address"]["address"] == "127.0.0.1"
    (port,) = proxy_container()["ports"]
    assert listener["address"]["socket_address"] == {
        "address": "0.0.0.0",
        "port_value": port["containerPort"],
    }
    (service,) = proxy("Service")["ports"]
    assert (service["port"], service["targetPort"]) == (port["containerPort"], port["name"])
    assert proxy_container()["readinessProbe"]["grpc"] == {
        "port": port["containerPort"],
        "service": SERVICE,
    }
    mounts = {each["name"]: each["mountPath"] for each in proxy_container()["volumeMounts"]}
    assert f"{mounts['config']}/envoy.yaml" in proxy_container()["args"]
    labels = proxy("Deployment")["template"]["metadata"]["labels"]
    assert proxy("Deployment")["selector"]["matchLabels"] == labels
    assert proxy("Service")["selector"] == labels
    assert proxy("PodDisruptionBudget")["selector"]["matchLabels"] == labels
    # Else the Service of the servers, and their monitor, would have it.
    assert labels != loaded("kubernetes/base/service.yaml")["spec"]["selector"]


def test_envoy_is_told_to_drain_before_it_is_killed() -> None:
    shell, _, script = proxy_container()["lifecycle"]["preStop"]["exec"]["command"]
    admin = loaded("kubernetes/envoy/envoy.yaml")["admin"]["address"]["socket_address"]
    assert f"/dev/tcp/{admin['address']}/{admin['port_value']}\n" in script
    assert "/drain_listeners?inboundonly&graceful " in script
    assert shell == "bash"  # others have no /dev/tcp
    words = proxy_container()["args"]
    drain = int(words[words.index("--drain-time-s") + 1])
    paused = int(script.rpartition("sleep ")[2])
    given = proxy("Deployment")["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drain < paused < given


# ---------------------------------------------------------------- Prometheus


def test_prometheus_finds_the_pods_and_calls_them_what_the_rules_do() -> None:
    monitor = loaded("kubernetes/podmonitor.yaml")["spec"]
    labels = loaded(f"kubernetes/{BASE}")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"] == labels
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert ports()[endpoint["port"]] == DEFAULT_METRICS_PORT
    (job,) = loaded("prometheus/prometheus.yml")["scrape_configs"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": job["job_name"]}]
