# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A word stands for what its option takes; another one is answered with what to write."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from praxis_remote.cli import words
from praxis_remote.cli.errors import UsageError


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (words.host, "::", "::"),
        (words.host, "unix:///run/p", "unix:/run/p"),
        (words.port, "0", 0),
        (words.port, "65535", 65535),
        (words.size, "1", 1),
        (words.grace, "0", 0.0),
        (words.grace, "1e3", 1000.0),
        (words.timeout, "0.5", 0.5),
        (words.timeout, "inf", math.inf),
        (words.calls, "0", 0),
        (words.limit, "connections=1", ("connections", 1)),
        (words.limit, "stall_seconds=0.5", ("stall_seconds", 0.5)),
    ],
)
def test_a_word_at_the_edge_of_its_range_is_taken(
    read: Callable[[str], Any], text: str, value: object
) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (words.port, "-1"),
        (words.port, "65536"),
        (words.port, "²"),
        (words.size, "0"),
        (words.size, "1.0"),
        (words.grace, "-0.1"),
        (words.grace, "inf"),
        (words.timeout, "0"),
        (words.timeout, "nan"),
        (words.kwarg, "=1"),
        (words.calls, "-1"),
        (words.limit, "stall=1"),
        (words.limit, "stall_seconds"),
    ],
)
def test_a_word_beyond_its_range_is_refused_by_name(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.0", 2.0),
        ("[1, null]", [1, None]),
        ('{"a": true}', {"a": True}),
        ('"3"', "3"),
        ("/x/y.pt", "/x/y.pt"),
        ("a=b", "a=b"),
        ("", ""),
        ("-Infinity", "-Infinity"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: str(value)[:12],
)
def test_an_argument_is_json_where_it_is_json_and_text_otherwise(text: str, value: object) -> None:
    assert words.kwarg(f"name={text}") == ("name", value)


def test_arguments_are_found_by_their_names_and_given_once() -> None:
    assert words.as_mapping([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    with pytest.raises(UsageError, match="a is given twice"):
        words.as_mapping([("a", 1), ("b", 2), ("a", 1)])
