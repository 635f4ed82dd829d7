# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The manifests for Kubernetes, as far as they can be read without a cluster."""

from __future__ import annotations

import argparse
from pathlib import PurePosixPath
from typing import Any

import pytest
from deployment import DEPLOY, SERVICE, Dockerfile, loaded, parsed

FOLDER = DEPLOY / "kubernetes"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod(name: str) -> Any:
    return loaded(f"kubernetes/{name}")["spec"]["template"]["spec"]


def container(name: str) -> Any:
    (found,) = pod(name)["containers"]
    return found


def served(name: str) -> argparse.Namespace:
    """Returns the command line: the image's entry point, and the words of the manifest."""
    return parsed([*Dockerfile().exec_form("ENTRYPOINT"), *container(name)["args"]])


both_manifests = pytest.mark.parametrize("name", ["deployment.yaml", "tls/deployment.yaml"])


@both_manifests
def test_the_command_line_is_one_of_ours(name: str) -> None:
    arguments = served(name)
    assert arguments.host == "0.0.0.0"
    ports = {each["name"]: each["containerPort"] for each in container("deployment.yaml")["ports"]}
    assert ports == {"grpc": arguments.port}


@both_manifests
def test_each_file_of_the_command_line_is_in_a_secret_that_is_mounted(name: str) -> None:
    arguments = served(name)
    given = (arguments.token_file, arguments.tls_cert, arguments.tls_key)
    files = [PurePosixPath(file) for file in given if file is not None]
    assert len(files) == (3 if name.startswith("tls") else 1)
    names = ["deployment.yaml"] + [name] * name.startswith("tls")
    volumes = {each["name"]: each for one in names for each in pod(one)["volumes"]}
    mounts = {
        PurePosixPath(mount["mountPath"]): volumes[mount["name"]]
        for one in names
        for mount in container(one)["volumeMounts"]
    }
    assert all("secret" in mounts[file.parent] for file in files)


def test_the_probes_ask_for_our_service_at_our_port() -> None:
    port = served("deployment.yaml").port
    for probe in PROBES:
        asked = container("deployment.yaml")[probe]["grpc"]
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
        assert asking.timeout < {**container("deployment.yaml")[name], **probe}["timeoutSeconds"]


@both_manifests
def test_a_pod_has_the_time_to_finish_its_calls(name: str) -> None:
    _, pause = container("deployment.yaml")["lifecycle"]["preStop"]["exec"]["command"]
    given = pod("deployment.yaml")["terminationGracePeriodSeconds"]
    assert int(pause) + served(name).grace < given


def test_a_pod_runs_as_the_user_of_the_image() -> None:
    assert pod("deployment.yaml")["securityContext"]["runAsNonRoot"] is True
    assert pod("deployment.yaml")["securityContext"]["runAsUser"] == int(Dockerfile().the("USER"))
    assert container("deployment.yaml")["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_service_shows_the_pods_themselves() -> None:
    service = loaded("kubernetes/service.yaml")["spec"]
    deployment = loaded("kubernetes/deployment.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["clusterIP"] == "None"
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    (port,) = service["ports"]
    (opened,) = container("deployment.yaml")["ports"]
    assert (port["targetPort"], port["port"]) == (opened["name"], opened["containerPort"])


def test_one_pod_at_a_time_may_be_taken_away() -> None:
    disruption = loaded("kubernetes/disruption.yaml")["spec"]
    deployment = loaded("kubernetes/deployment.yaml")["spec"]
    assert disruption["selector"] == deployment["selector"]
    assert disruption["maxUnavailable"] == 1
    assert deployment["replicas"] > 1


def test_what_is_applied_together_is_all_there_is() -> None:
    plain, with_tls = (
        loaded("kubernetes/kustomization.yaml"),
        loaded("kubernetes/tls/kustomization.yaml"),
    )
    assert set(plain["resources"]) == {
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    }
    assert with_tls["resources"] == [".."]
    assert with_tls["patches"] == [{"path": "deployment.yaml"}]


def test_the_patch_for_tls_names_what_it_changes() -> None:
    patch, whole = loaded("kubernetes/tls/deployment.yaml"), loaded("kubernetes/deployment.yaml")
    assert (patch["apiVersion"], patch["kind"]) == (whole["apiVersion"], whole["kind"])
    assert patch["metadata"]["name"] == whole["metadata"]["name"]
    assert container("tls/deployment.yaml")["name"] == container("deployment.yaml")["name"]
    assert set(container("tls/deployment.yaml")["args"]) > set(container("deployment.yaml")["args"])
    volumes = {each["name"] for each in pod("tls/deployment.yaml")["volumes"]}
    mounted = {each["name"] for each in container("tls/deployment.yaml")["volumeMounts"]}
    assert volumes == mounted
