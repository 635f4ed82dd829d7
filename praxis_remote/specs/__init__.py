# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a policy expects of a request, said by itself, and checked before it is called.

A policy publishes an `ObservationSpec` from its method ``observation_spec()``; see
`praxis_remote.protocol.SpecHandler`. The server checks each request against it, and
clients learn it with ``client.observation_spec()`` and ``client.check(observation)``.

Nothing here knows a connection: `publishing` is the server's side, and the client's is
in the clients.
"""

from .fit import Fit
from .problems import explain
from .spec import (
    FlagSpec,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
)

__all__ = [
    "Fit",
    "FlagSpec",
    "KwargSpec",
    "NumberSpec",
    "ObservationSpec",
    "TensorSpec",
    "TextSpec",
    "explain",
]
