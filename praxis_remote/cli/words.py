# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a word of the command line stands for: an address, a size, a time, an argument.

Each reader takes a text and raises ValueError, whose text says what to write instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, NoReturn

from ..address import check_address
from ..limits import Limits
from ..types import PolicyKwargValue
from .errors import UsageError

__all__ = [
    "as_mapping",
    "calls",
    "devices",
    "duration",
    "grace",
    "host",
    "kwarg",
    "limit",
    "mode",
    "port",
    "positive",
    "rate",
    "size",
    "timeout",
]


_ALL_MODES = 0o777


def host(text: str) -> str:
    """Reads what to listen on."""
    return check_address(text, 0, lowest_port=0).host


def port(text: str) -> int:
    """Reads a port to listen on; 0 lets the system pick one."""
    return check_address("any", _whole_number(text), lowest_port=0).port


def size(text: str) -> int:
    """Reads a number of bytes."""
    if (number := _whole_number(text)) < 1:
        raise ValueError(f"{text!r}; give a number of bytes, at least 1")
    return number


def calls(text: str) -> int:
    """Reads a number of calls."""
    return _whole_number(text)


def positive(text: str) -> int:
    """Reads a number of things of which there must be one."""
    if (number := _whole_number(text)) < 1:
        raise ValueError(f"{text!r}; give a whole number, at least 1")
    return number


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def devices(text: str) -> list[str]:
    """Reads names of GPUs, which have commas between them."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name.startswith("cuda:") or " " in name:
            raise ValueError(
                f"{name!r}; CUDA_VISIBLE_DEVICES has names such as 0, GPU-... or MIG-..., "
                "and here commas between them"
            )
    if not all(names):
        raise ValueError(f"{text!r}; give names with commas between them, such as 0,1")
    return names


def mode(text: str) -> int:
    """Reads the permissions of a file, as chmod does."""
    try:
        number = int(text, 8) if text.isascii() and text.isdecimal() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= _ALL_MODES:
        raise ValueError(f"{text!r}; give three octal digits, such as 660")
    return number


def grace(text: str) -> float:
    """Reads seconds that have an end."""
    if not 0 <= (seconds := _seconds(text)) < math.inf:
        raise ValueError(f"{text!r}; give seconds, 0 or more")
    return seconds


def timeout(text: str) -> float:
    """Reads seconds in which something can be done."""
    if not (seconds := _seconds(text)) > 0:
        raise ValueError(f"{text!r}; give seconds, more than 0, or inf for no limit")
    return seconds


def duration(text: str) -> float:
    """Reads seconds in which something can be done, and that have an end."""
    if not 0 < (seconds := _seconds(text)) < math.inf:
        raise ValueError(f"{text!r}; give seconds, more than 0")
    return seconds


def rate(text: str) -> float:
    """Reads how often in a second."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of calls a second") from None
    if not 0 < number < math.inf:
        raise ValueError(f"{text!r}; give calls a second, more than 0")
    return number


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of seconds") from None


def kwarg(text: str) -> tuple[str, PolicyKwargValue]:
    """Reads ``NAME=VALUE``; the value is text where it is no JSON."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"{text!r}; write NAME=VALUE")
    try:
        parsed: PolicyKwargValue = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return name, value
    return name, parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON, although Python reads it")


def limit(text: str) -> tuple[str, float]:
    """Reads ``NAME=NUMBER`` for one of a server's limits."""
    name, equals, value = text.partition("=")
    kinds = {field.name: field.type for field in fields(Limits)}
    if name not in kinds or not equals:
        raise ValueError(f"{text!r}; write NAME=NUMBER with one of {', '.join(kinds)}")
    number = _whole_number(value) if kinds[name] == "int" else _seconds(value)
    Limits(**dict[str, Any]({name: number}))
    return name, number


def as_mapping(pairs: Iterable[tuple[str, Any]], option: str = "--kwarg") -> dict[str, Any]:
    """Returns arguments by their names.

    Raises:
        UsageError: One was given twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"argument {option}: {name} is given twice; give it once")
        found[name] = value
    return found
