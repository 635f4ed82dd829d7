# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A scrape: from the bytes of an HTTP request to those of its response. No I/O."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

__all__ = ["PATH", "answer", "refuse"]

PATH = "/metrics"

_TEXT = "text/plain; charset=utf-8"


class _Request(NamedTuple):
    method: str
    path: str
    accept: str


def answer(head: bytes, registry: CollectorRegistry) -> bytes:
    """Returns the response to a request.

    Args:
        head: The request line and the headers.
        registry: What has the metrics.
    """
    request = _read(head)
    if request is None:
        return refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP/1 request")
    if request.path != PATH:
        return refuse(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}")
    if request.method not in ("GET", "HEAD"):
        return refuse(HTTPStatus.METHOD_NOT_ALLOWED, "use GET", "Allow: GET, HEAD")
    encode, content_type = choose_encoder(request.accept)
    body = encode(registry)
    return _respond(HTTPStatus.OK, content_type, body, with_body=request.method == "GET")


def refuse(status: HTTPStatus, text: str, *headers: str) -> bytes:
    """Returns a response that says what is wrong."""
    return _respond(status, _TEXT, f"{text}\n".encode(), *headers)


def _read(head: bytes) -> _Request | None:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    fields = (line.partition(":") for line in lines)
    # A header may be there several times, which means all of it.
    accept = ",".join(value.strip() for name, _, value in fields if name.lower() == "accept")
    return _Request(words[0], words[1].partition("?")[0], accept)


def _respond(
    status: HTTPStatus, content_type: str, body: bytes, *headers: str, with_body: bool = True
) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if with_body else b"")
