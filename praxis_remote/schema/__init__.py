# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The messages, enums, stub and service base of the wire contract.

Everything here is compiled from ``policy_service.proto`` by betterproto. Other
betterproto projects import the classes from here, and compile their own schema
against the same ``.proto`` with ``protoc -I "$(praxis-remote proto --include)"``.
"""

from __future__ import annotations

from pathlib import Path

from .generated import (
    DType,
    Empty,
    HealthResponse,
    NamedTensor,
    NullValue,
    Observation,
    PolicyServiceBase,
    PolicyServiceStub,
    PredictRequest,
    PredictResponse,
    ResetRequest,
    ResetResponse,
    StringField,
    Tensor,
    Value,
    ValueField,
    ValueList,
    ValueStruct,
)

__all__ = [
    "DType",
    "Empty",
    "HealthResponse",
    "NamedTensor",
    "NullValue",
    "Observation",
    "PolicyServiceBase",
    "PolicyServiceStub",
    "PredictRequest",
    "PredictResponse",
    "ResetRequest",
    "ResetResponse",
    "StringField",
    "Tensor",
    "Value",
    "ValueField",
    "ValueList",
    "ValueStruct",
]

_PROTO = Path("praxis_remote") / "policy_service.proto"


def include_path() -> Path:
    """Returns the folder to give ``protoc -I``.

    Below it lies ``praxis_remote/policy_service.proto``, so that another schema
    says ``import "praxis_remote/policy_service.proto";``.

    Raises:
        FileNotFoundError: The installation lacks the file.
    """
    here = Path(__file__).resolve().parent
    # A wheel carries the file beside this module; a checkout has it at its root.
    for folder in (here / "include", here.parents[1] / "schema"):
        if (folder / _PROTO).is_file():
            return folder
    raise FileNotFoundError(f"{_PROTO} is not part of this installation of praxis-remote")
