# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The data path: what callers and handlers exchange, straight to and from buffers.

`serialization` and `wire` together say what the bytes are and mean; this package
gives the same bytes and the same meaning without an object per field. It takes
buffers and returns buffers, and never waits.

Encoding applies the rules of `values` and `tensors` itself. Decoding reads the one
form that every protobuf writer gives (fields by number, each once, no unknown
ones). Whatever looks different, be it legal or not, is left to the typed path,
which knows the rest of the format and has the errors.

Field numbers come from the schema's classes, as in `wire`.
"""

from ..framing import Segments
from .decoder import (
    QUICK_BYTES,
    QUICK_ITEMS,
    PredictCall,
    decode_predict_request,
    decode_predict_request_quickly,
    decode_predict_response,
)
from .encoder import encode_predict_request, encode_predict_response
from .places import find_data_in_request, find_data_in_response
from .tensors import LARGE_BYTES

__all__ = [
    "LARGE_BYTES",
    "QUICK_BYTES",
    "QUICK_ITEMS",
    "PredictCall",
    "Segments",
    "decode_predict_request",
    "decode_predict_request_quickly",
    "decode_predict_response",
    "encode_predict_request",
    "encode_predict_response",
    "find_data_in_request",
    "find_data_in_response",
]
