# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.address import (
    Address,
    UnixAddress,
    check_address,
    name_peer,
    parse_address,
)
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
        ("[unix]:1", ("unix", 1)),
        ("unix:/run/policy.sock", ("/run/policy.sock",)),
        ("unix:///run/policy.sock", ("/run/policy.sock",)),
        ("unix:policy.sock", ("policy.sock",)),
        ("unix:../p:1", ("../p:1",)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: tuple[object, ...]) -> None:
    assert parse_address(text) == address


@given(st.sampled_from(["a", "::1", "fe80::2", "10.0.0.1"]), st.integers(1, 65535))
def test_an_address_is_read_as_it_is_printed(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == (host, port)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=25))
def test_a_path_is_read_as_it_is_printed(path: str) -> None:
    address = UnixAddress("/" + path.lstrip("/"))
    assert parse_address(str(address)) == address
    assert check_address(address.host, address.port) == address


def test_a_request_calls_the_server_what_is_legal_in_http() -> None:
    assert Address("::1", 5).authority == "[::1]:5"
    assert UnixAddress("/run/policy.sock").authority == "localhost"


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
        ("/run/policy.sock", "for a UNIX socket write unix:/run/policy.sock"),
        ("./policy.sock", r"for a UNIX socket write unix:\./policy.sock"),
        ("unix:", "write unix:PATH"),
        ("unix://", "write unix:PATH or unix:///ABSOLUTE/PATH"),
        ("unix://run/policy.sock", "write unix:PATH or unix:///ABSOLUTE/PATH"),
        ("unix:a\0b", "write unix:PATH"),
        ("unix:" + 60 * "üx", r"the path has 180 bytes, and that of a UNIX socket may have 10[37]"),
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
        ("/run/policy.sock", "for a UNIX socket write unix:/run/policy.sock"),
    ],
)
def test_a_host_that_is_more_or_less_than_one_says_so(host: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        check_address(host, 5)


def test_only_a_server_may_leave_the_port_to_the_system() -> None:
    assert check_address("h", 0, lowest_port=0) == ("h", 0)
    with pytest.raises(InvalidValueError, match="port: 0"):
        check_address("h", 0)


def test_a_unix_socket_takes_the_port_that_is_there_without_being_given_and_no_other() -> None:
    assert check_address("unix:a", 50051) == check_address("unix:a", 0) == ("a",)
    with pytest.raises(InvalidValueError, match="port: 1234; unix:a has none, leave it out"):
        check_address("unix:a", 1234)


def test_a_system_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")  # as on Windows
    with pytest.raises(InvalidValueError, match="'unix:a'; this system has no UNIX sockets"):
        check_address("unix:a", 0)


@pytest.mark.parametrize(
    ("peer", "own", "name"),
    [
        (("10.0.0.1", 5), ("10.0.0.2", 6), "10.0.0.1:5"),
        (("::1", 5, 0, 0), ("::1", 6, 0, 0), "[::1]:5"),
        ("", "/run/policy.sock", "unix:/run/policy.sock"),
        (None, "policy.sock", "unix:policy.sock"),
        ("/tmp/client", "/run/policy.sock", "unix:/tmp/client"),
        (b"\0abstract", "/run/policy.sock", "unix:@abstract"),
        (None, ("10.0.0.2", 6), "unknown"),
        (None, None, "unknown"),
    ],
)
def test_a_peer_goes_by_its_own_name_or_that_of_the_socket(
    peer: object, own: object, name: str
) -> None:
    assert name_peer(peer, own) == name
