# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The schema's messages to and from bytes, as strictly as protobuf does it.

betterproto's own parser takes corrupt bytes for good ones, reads some legal ones
differently from protobuf, and needs minutes for a megabyte made to hurt; its
writer loses empty messages and wraps integers. So its dataclasses are read and
written here. Every rule of the format stands in this package, and what a field is
comes from the classes' own metadata: the ``.proto`` stays the only source.

Nothing here knows arrays, or what a message is for.
"""

from .buffers import Buffer, Malformed, as_buffer
from .fields import field_tag
from .reader import M, read_message
from .varints import MASK64, read_packed, read_varint, signed, write_varint
from .writer import write_message

__all__ = [
    "MASK64",
    "Buffer",
    "M",
    "Malformed",
    "as_buffer",
    "field_tag",
    "read_message",
    "read_packed",
    "read_varint",
    "signed",
    "write_message",
    "write_varint",
]
