# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Our schema as a project with Google's protobuf and grpcio has it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from praxis_remote.schema import include_path


class Generated(NamedTuple):
    """What ``grpc_tools.protoc`` generates."""

    messages: Any
    services: Any


def compile_schema(folder: Path) -> Generated:
    """Generates modules in a folder and imports them."""
    # Compiled from its own folder: as praxis_remote/policy_service_pb2.py the modules
    # would have to be part of the package.
    source = include_path() / "praxis_remote" / "policy_service.proto"
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source.parent}", *outputs]
    subprocess.run([*command, source.name], check=True)
    sys.path.insert(0, str(folder))
    try:
        return Generated(
            importlib.import_module("policy_service_pb2"),
            importlib.import_module("policy_service_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(folder))


def tensor_of(array: np.ndarray[Any, Any], generated: Generated) -> Any:
    """Returns an array as a tensor of Google's."""
    name = f"DTYPE_{array.dtype.name.upper()}"
    return generated.messages.Tensor(
        data=array.tobytes(), shape=array.shape, dtype=generated.messages.DType.Value(name)
    )


def array_of(tensor: Any, generated: Generated) -> np.ndarray[Any, Any]:
    """Returns a tensor of Google's as an array."""
    name = generated.messages.DType.Name(tensor.dtype).removeprefix("DTYPE_").lower()
    return np.frombuffer(tensor.data, np.dtype(name)).reshape(tuple(tensor.shape))


@contextmanager
def channel_to(where: int | str, **options: Any) -> Iterator[grpc.Channel]:
    """Opens a channel of grpcio's.

    Args:
        where: A port of this machine, or a target as grpcio writes it.
        options: grpcio's channel options without their ``grpc.``, ``compression`` and
            ``credentials``.
    """
    compression = options.pop("compression", None)
    credentials = options.pop("credentials", None)
    pairs = [(f"grpc.{name}", value) for name, value in options.items()]
    target = where if isinstance(where, str) else f"127.0.0.1:{where}"
    with (
        grpc.insecure_channel(target, pairs, compression)
        if credentials is None
        else grpc.secure_channel(target, credentials, pairs, compression)
    ) as channel:
        yield channel


@contextmanager
def serving(
    generated: Generated, servicer: Any, where: int | str = 0, workers: int = 8, **options: Any
) -> Iterator[tuple[grpc.Server, int]]:
    """Serves a servicer with grpcio; gives the server and its port.

    Args:
        generated: Whose servicer it is.
        servicer: Answers the calls.
        where: A port of this machine, 0 lets the system pick one, or an address as
            grpcio writes it.
        workers: Calls that run at once.
        options: grpcio's channel options without their ``grpc.``, ``compression`` and
            ``credentials``.
    """
    compression = options.pop("compression", None)
    credentials = options.pop("credentials", None)
    pairs = [(f"grpc.{name}", value) for name, value in options.items()]
    with futures.ThreadPoolExecutor(workers) as pool:
        server = grpc.server(pool, options=pairs, compression=compression)
        generated.services.add_PolicyServiceServicer_to_server(servicer, server)
        target = where if isinstance(where, str) else f"127.0.0.1:{where}"
        if credentials is None:
            bound = server.add_insecure_port(target)
        else:
            bound = server.add_secure_port(target, credentials)
        server.start()
        try:
            yield server, bound
        finally:
            server.stop(None).wait()
