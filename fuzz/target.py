# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is fuzzed, as the runner sees it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar


class Finding(AssertionError):  # noqa: N818 - the error is somebody else's
    """An invariant that did not hold."""


class Target(ABC):
    """Makes cases, which are bytes, and judges what becomes of them.

    Attributes:
        name: The folder of its cases in the corpus.
    """

    name: ClassVar[str]

    @abstractmethod
    def make(self, pick: random.Random, pool: Sequence[bytes]) -> bytes:
        """Returns a new case, made of nothing or of those in the pool."""

    @abstractmethod
    def check(self, case: bytes) -> str:
        """Returns in a word what became of a case.

        Cases that come to something new are kept to make others from.

        Raises:
            Finding: An invariant did not hold. Any other exception is a finding too.
        """

    @abstractmethod
    def pieces(self, case: bytes) -> list[bytes]:
        """Returns a case in parts that may be left out to make it smaller."""

    def restart(self) -> None:  # noqa: B027 - as `close`
        """Begins anew after a failure, so that the next case meets nothing of it."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Ends what runs."""
