# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""gRPC calls over HTTP/2: unary ones for both ends, streaming ones for the server.

The only package that touches h2 and grpclib's protocol layer. What goes in and out
are headers as text and messages as buffers; what they mean is decided elsewhere.

grpclib gives the asyncio protocol around h2 (`H2Protocol`, `Connection`,
`EventsProcessor`, `Stream`). Its calls (`grpclib.client`, `grpclib.server`) are left
aside: they cancel the caller's task where here a deadline, a reset or a lost
connection settles the call, so that nothing is cancelled but by its caller.
"""

import logging

from .client import ClientConnection, Response
from .first_request import FirstRequest
from .protocol import goodbye, greeting
from .relay import Relay
from .server import Listener, allowed_by_system
from .server_call import ServerCall
from .server_stream import StreamCall
from .streams import NotTakenError
from .watch import Silences

# It tells of every header of every call, tokens among them, to whoever looks at DEBUG.
if (_hpack := logging.getLogger("hpack")).level == logging.NOTSET:
    _hpack.setLevel(logging.INFO)

__all__ = [
    "ClientConnection",
    "FirstRequest",
    "Listener",
    "NotTakenError",
    "Relay",
    "Response",
    "ServerCall",
    "Silences",
    "StreamCall",
    "allowed_by_system",
    "goodbye",
    "greeting",
]
