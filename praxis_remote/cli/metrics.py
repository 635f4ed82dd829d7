# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The metrics of the command that serves, if they are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..address import UnixAddress, check_address
from . import words
from .errors import CommandError, UsageError
from .listening import advice_on
from .options import add_option

if TYPE_CHECKING:
    from ..metrics import Metrics

__all__ = ["add_metrics_options", "serving_metrics"]

_HOST = "127.0.0.1"


def add_metrics_options(parser: argparse.ArgumentParser) -> None:
    """Adds where Prometheus can look."""
    text = "of /metrics for Prometheus, over HTTP; 0 lets the system pick one; none by default"
    add_option(parser, "--metrics-port", words.port, metavar="PORT", help=text)
    text = f"the interface of the metrics' port; {_HOST} by default"
    add_option(parser, "--metrics-host", words.host, metavar="HOST", help=text)


@contextmanager
def serving_metrics(arguments: argparse.Namespace) -> Iterator[Metrics | None]:
    """Listens for Prometheus, if that is asked for, and stops in the end.

    Raises:
        CommandError: What it takes is not installed, or the address cannot be listened on.
    """
    host, port = arguments.metrics_host, arguments.metrics_port
    if port is None:
        if host is not None:
            raise UsageError("argument --metrics-host: add --metrics-port, which turns metrics on")
        yield None
        return
    host = host or _HOST
    if isinstance(check_address(host, 0, lowest_port=0), UnixAddress):
        raise UsageError("argument --metrics-host: Prometheus needs a host, no UNIX socket")
    try:
        from ..metrics import Metrics, MetricsServer
    except ImportError as error:
        raise CommandError(f"--metrics-port: {error}") from error
    metrics = Metrics()
    address = check_address(host, port, lowest_port=0)
    with advice_on(address, host="--metrics-host", port="--metrics-port"):
        server = MetricsServer(metrics, host=host, port=port)
    with server:
        yield metrics
