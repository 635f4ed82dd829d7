# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""praxis-remote with something switched on that a server in use may have, or a client."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trustme
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

from benchmarks.peers.client import Client
from benchmarks.peers.praxis import PACKAGES, TIMEOUT, Handler, PraxisClient, serve_handler, where
from praxis_remote import PolicyClient, ServerTLS
from praxis_remote.inspect import Inspector
from praxis_remote.metrics import Metrics

__all__ = ["PACKAGES", "connect", "serve"]

_TOKEN = "benchmark"

# Until the process ends.
_held = ExitStack()


def serve(policy: Any, *, unix: bool, feature: str) -> str:
    """Serves with a feature."""
    handler: Any = Handler(policy)
    options: dict[str, Any] = {}
    if feature == "tls":
        options["tls"] = _certificate()
    elif feature == "token":
        options["tokens"] = [_TOKEN]
    elif feature == "metrics":
        options["observers"] = [Metrics()]
    elif feature == "inspect":
        handler = _held.enter_context(Inspector()).watch(handler)
    elif feature == "spans":
        _trace()
    return serve_handler(handler, unix=unix, **options)


def connect(address: str, feature: str) -> Client:
    """Returns the blocking client, with its part of a feature."""
    options: dict[str, Any] = {}
    if feature == "tls":
        options["tls"] = _trusting()
    elif feature == "token":
        options["token"] = _TOKEN
    elif feature == "on_timing":
        options["on_timing"] = lambda _: None
    elif feature == "spans":
        _trace()
    elif feature == "socket":
        options["shared_memory"] = False
    return PraxisClient(PolicyClient(*where(address), timeout=TIMEOUT, **options))


def _certificate() -> ServerTLS:
    folder = Path(_held.enter_context(tempfile.TemporaryDirectory()))
    issued = trustme.CA().issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(cert), append=True)
    return ServerTLS(cert, key)


def _trusting() -> ssl.SSLContext:
    # Whom to trust is asked once a connection, which is not what is measured.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Nowhere(SpanExporter):
    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _trace() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    trace.set_tracer_provider(provider)
