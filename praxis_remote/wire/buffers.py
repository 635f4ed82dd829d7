# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Bytes to read from, and what is wrong with them.

Nothing here knows what the bytes say.
"""

from __future__ import annotations

from ..errors import UnsupportedTypeError

Buffer = bytes | bytearray | memoryview


class Malformed(Exception):  # noqa: N818  # never gets out of the package
    """Bytes that break the format; the boundary turns it into a `DecodeError`."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what, offset)
        self.what = what
        self.offset = offset


def as_buffer(data: Buffer) -> Buffer:
    """Returns ``data`` as something whose items and slices are bytes.

    Raises:
        UnsupportedTypeError: It is not bytes, bytearray or memoryview.
    """
    if isinstance(data, (bytes, bytearray)):
        return data
    if not isinstance(data, memoryview):
        raise UnsupportedTypeError(
            f"a message is bytes, bytearray or memoryview, not {type(data).__name__}"
        )
    if data.format == "B" and data.ndim == 1 and data.c_contiguous:
        return data
    return data.tobytes()
