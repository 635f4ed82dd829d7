# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a client remembers of what its server's policy expects."""

from __future__ import annotations

import weakref

from .fit import Fit
from .spec import ObservationSpec

__all__ = ["Remembered"]


class Remembered:
    """A spec, or that there is none, and of which connection.

    Args:
        spec: What the server said.
        connection: On which it did; None if that is not known.

    Attributes:
        fit: Looks at requests; None if there is no spec.
    """

    def __init__(self, spec: ObservationSpec | None, connection: object | None) -> None:
        self.fit = None if spec is None else Fit(spec)
        # Not the connection itself, which would keep the buffers of one that was lost.
        self._connection = None if connection is None else weakref.ref(connection)

    def is_of(self, connection: object | None) -> bool:
        """Tells whether it was said on this connection."""
        if connection is None or self._connection is None:
            return False
        return self._connection() is connection
