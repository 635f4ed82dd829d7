# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Shared memory as the metadata of a call names it. Nothing here maps any."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..calls import SHARED_MEMORY
from ..errors import InvalidValueError
from .area import HEAD_BYTES, NONCE_BYTES

MAPPED, UNREAD, REFUSED = "mapped", "unread", "refused"
"""What a reply says: the server can use this memory; it has not looked at it; it cannot."""

_NUMBER = "(0|[1-9][0-9]{0,17})"
_REFERENCE = re.compile(rf"{_NUMBER};([0-9a-f]{{{2 * NONCE_BYTES}}});{_NUMBER};{_NUMBER};{_NUMBER}")
_PLACE = re.compile(rf"{_NUMBER};{_NUMBER}")
_FORM = "FILE;NONCE;SIZE;START;LENGTH"
_LARGEST_FILE = 2**31 - 1


class Reference(NamedTuple):
    """An area, and the message in it.

    Attributes:
        file: The number of its file, in the process that made it.
        nonce: What it begins with.
        size: Bytes of the area.
        start: Where the message begins.
        length: Bytes of the message; 0 for none.
    """

    file: int
    nonce: bytes
    size: int
    start: int = HEAD_BYTES
    length: int = 0

    def encode(self) -> str:
        """Returns it as text."""
        return f"{self.file};{self.nonce.hex()};{self.size};{self.start};{self.length}"


class Offer(NamedTuple):
    """What a client offers with a call: memory with the request, memory for the response."""

    request: Reference | None = None
    response: Reference | None = None

    def encode(self) -> str:
        """Returns the metadata that says so."""
        pairs = self._asdict().items()
        return " ".join(f"{name}={item.encode()}" for name, item in pairs if item is not None)


def decode_offer(text: str) -> Offer:
    """Returns what a client offers.

    Raises:
        InvalidValueError: The text has another form, or the numbers in it do not fit.
    """
    found: dict[str, Reference] = {}
    for part in text.split(" "):
        name, _, value = part.partition("=")
        if name not in Offer._fields or name in found:
            raise InvalidValueError(
                f"{SHARED_MEMORY}: {text[:80]!r}; allowed: request={_FORM} and response={_FORM}"
            )
        found[name] = _decode_reference(name, value)
    return Offer(**found)


def _decode_reference(name: str, text: str) -> Reference:
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InvalidValueError(f"{SHARED_MEMORY}: {name}={text[:80]!r}; allowed: {name}={_FORM}")
    reference = Reference(int(match[1]), bytes.fromhex(match[2]), *map(int, match.group(3, 4, 5)))
    if reference.file > _LARGEST_FILE:
        raise InvalidValueError(
            f"{SHARED_MEMORY}: {name} in file {reference.file}; allowed: 0 to {_LARGEST_FILE}"
        )
    check_place(name, reference.start, reference.length, reference.size)
    return reference


def encode_place(start: int, length: int) -> str:
    """Returns what a reply says of where its message is."""
    return f"{start};{length}"


def decode_place(text: str, size: int) -> tuple[int, int] | None:
    """Returns where in an area of so many bytes a reply's message is; None if it is elsewhere.

    Raises:
        InvalidValueError: It is not within the area.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    start, length = int(match[1]), int(match[2])
    check_place("response", start, length, size)
    return start, length


def check_place(name: str, start: int, length: int, size: int) -> None:
    """Raises unless a message is within its area.

    Raises:
        InvalidValueError: It is not.
    """
    if not HEAD_BYTES <= start <= start + length <= size:
        raise InvalidValueError(
            f"{SHARED_MEMORY}: {name} of {length} bytes at {start}; "
            f"allowed: within {HEAD_BYTES} and {size}, the end of its memory"
        )
