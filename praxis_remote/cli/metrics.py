# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The metrics of the command that serves, if they are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from ..address import UnixAddress, check_address
from . import words
from .errors import CommandError, UsageError
from .listening import advice_on
from .options import add_option

if TYPE_CHECKING:
    from ..metrics import Metrics, MetricsServer
    from ..workers.metrics import GroupMetrics

__all__ = ["add_metrics_options", "import_metrics", "serving_group_metrics", "serving_metrics"]

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
    metrics = import_metrics(arguments)
    with nullcontext() if metrics is None else _serving(arguments, metrics):
        yield metrics


@contextmanager
def serving_group_metrics(arguments: argparse.Namespace) -> Iterator[GroupMetrics | None]:
    """Does the same for the metrics of workers.

    Raises:
        CommandError: As above.
    """
    if import_metrics(arguments) is None:
        yield None
        return
    from ..workers.metrics import GroupMetrics

    metrics = GroupMetrics()
    with _serving(arguments, metrics):
        yield metrics


def import_metrics(arguments: argparse.Namespace) -> Metrics | None:
    """Returns metrics, if they are asked for.

    Raises:
        CommandError: What it takes is not installed.
        UsageError: Options do not go together.
    """
    host = arguments.metrics_host
    if arguments.metrics_port is None:
        if host is not None:
            raise UsageError("argument --metrics-host: add --metrics-port, which turns metrics on")
        return None
    if isinstance(check_address(host or _HOST, 0, lowest_port=0), UnixAddress):
        raise UsageError("argument --metrics-host: Prometheus needs a host, no UNIX socket")
    try:
        from ..metrics import Metrics
    except ImportError as error:
        raise CommandError(f"--metrics-port: {error}") from error
    return Metrics()


def _serving(arguments: argparse.Namespace, metrics: Metrics | GroupMetrics) -> MetricsServer:
    from ..metrics import MetricsServer

    host, port = arguments.metrics_host or _HOST, arguments.metrics_port
    address = check_address(host, port, lowest_port=0)
    with advice_on(address, host="--metrics-host", port="--metrics-port"):
        return MetricsServer(metrics, host=host, port=port)
