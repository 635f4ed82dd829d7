# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a peer loses its connection for."""

from __future__ import annotations

from h2.errors import ErrorCodes

__all__ = ["OffenceError"]


class OffenceError(Exception):
    """The peer broke the protocol, or a limit.

    Args:
        text: What it did, with what came and what is allowed.
        code: HTTP/2's number for it, which the peer is told.
    """

    def __init__(self, text: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.code = code
