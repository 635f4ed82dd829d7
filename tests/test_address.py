# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.address import Address, check_address, parse_address
from praxis_remote.errors import InvalidValueError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("gpu-box:1234", ("gpu-box", 1234)),
        ("gpu-box", ("gpu-box", 50051)),
        ("[::1]:1234", ("::1", 1234)),
        ("[::1]", ("::1", 50051)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("h:65535", ("h", 65535)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@given(st.sampled_from(["a", "::1", "fe80::2", "10.0.0.1"]), st.integers(1, 65535))
def test_an_address_is_read_as_it_is_printed(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == (host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "host: ''"),
        (":1234", "host: ''"),
        ("h:", "allowed: HOST:PORT"),
        ("h:x", "allowed: HOST:PORT"),
        ("h:-1", "allowed: HOST:PORT"),
        ("h:²", "allowed: HOST:PORT"),
        ("h:0", "1 to 65535"),
        ("h:65536", "1 to 65535"),
        ("http://h:1234", "leave out the scheme"),
        ("50051", "'50051' is a number"),
        ("::1", r"write an IPv6 address as \[::1\]:50051"),
    ],
)
def test_an_address_of_another_form_is_an_error_that_says_what_is_allowed(
    text: str, reason: str
) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        parse_address(text)


def test_an_ipv6_host_may_stand_in_brackets() -> None:
    assert check_address("[::1]", 5) == check_address("::1", 5) == ("::1", 5)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("h:1234", "pass host and port apart"),
        ("http://h", "leave out the scheme"),
        ("50051", "is a number"),
    ],
)
def test_a_host_that_is_more_or_less_than_one_says_so(host: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        check_address(host, 5)


def test_only_a_server_may_leave_the_port_to_the_system() -> None:
    assert check_address("h", 0, lowest_port=0) == ("h", 0)
    with pytest.raises(InvalidValueError, match="port: 0"):
        check_address("h", 0)
