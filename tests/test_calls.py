# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.calls import (
    HEALTH_CHECK,
    NEVER_RAN,
    PREDICT,
    RESET,
    Deadline,
    Headers,
    check_response_headers,
    check_status,
    check_timeout,
    decode_metadata,
    decode_timeout,
    encode_metadata,
    encode_status,
    encode_timeout,
)
from praxis_remote.errors import (
    InvalidArgumentError,
    InvalidValueError,
    RemoteError,
    StatusCode,
    UnavailableError,
)
from praxis_remote.schema import PredictRequest, PredictResponse


def test_the_methods_are_those_of_the_service() -> None:
    assert PREDICT.path == "/praxis_remote.PolicyService/Predict"
    assert (PREDICT.request, PREDICT.response) == (PredictRequest, PredictResponse)
    assert RESET.path == "/praxis_remote.PolicyService/Reset"
    assert HEALTH_CHECK.path == "/praxis_remote.PolicyService/HealthCheck"


# ---------------------------------------------------------------- deadline


@given(st.floats(1e-9, 3.5e11))
def test_a_timeout_on_the_wire_is_never_shorter_and_hardly_longer(seconds: float) -> None:
    text = encode_timeout(seconds)
    assert len(text) <= 9
    decoded = decode_timeout(text)
    # A step is at most a millisecond, below 10 ms less, and above a day a thousandth.
    step = 1e-3 if seconds >= 0.01 else max(2e-9, 0.1 * seconds)
    assert seconds * (1 - 1e-12) <= decoded <= seconds + max(1.01 * step, 1e-3 * seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1n"),
        (-1.0, "1n"),
        (2e-6, "2000n"),
        (0.005, "5000u"),
        (0.05, "50m"),
        (0.0499999, "50m"),
        (12.3456, "12346m"),
        (1000.0, "1000000m"),
        (1e6, "1000000S"),
        (1e9, "16666667M"),
        (1e30, "99999999H"),
    ],
)
def test_a_timeout_is_sent_in_milliseconds_where_they_do(seconds: float, text: str) -> None:
    assert encode_timeout(seconds) == text


@pytest.mark.parametrize("text", ["", "5", "S", "5s", "-5S", "123456789S", "1.5S", "5 S", "٣S"])
def test_a_timeout_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(InvalidValueError, match="grpc-timeout"):
        decode_timeout(text)


def test_a_deadline_says_what_is_left_on_the_clock_that_is_given() -> None:
    now = 100.0
    deadline = Deadline.after(5.0, lambda: now)
    assert deadline.remaining(lambda: 103.0) == 2.0
    assert deadline.remaining(lambda: 106.0) == -1.0
    assert deadline < Deadline.after(6.0, lambda: now)


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("nan")])
def test_a_timeout_that_is_not_positive_is_an_error(timeout: float) -> None:
    with pytest.raises(InvalidValueError, match=r"timeout: .* positive"):
        check_timeout(timeout)


def test_no_timeout_and_an_infinite_one_mean_no_limit() -> None:
    assert check_timeout(None) is None
    assert check_timeout(float("inf")) is None
    assert check_timeout(2) == 2.0


# ---------------------------------------------------------------- metadata

keys = st.from_regex(r"[0-9a-z_.\-]{1,20}", fullmatch=True).filter(
    lambda key: (
        not key.startswith("grpc-")
        and not key.endswith("-bin")
        and key not in ("te", "content-type", "user-agent")
    )
)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
pairs = st.one_of(
    st.tuples(keys, printable), st.tuples(keys.map(lambda key: key + "-bin"), st.binary())
)


@given(st.lists(pairs))
def test_metadata_arrives_as_it_was_sent(metadata: list[tuple[str, str | bytes]]) -> None:
    assert decode_metadata(encode_metadata(metadata)) == tuple(metadata)


def test_metadata_may_be_a_mapping_or_nothing() -> None:
    assert encode_metadata({"a": "b"}) == (("a", "b"),)
    assert encode_metadata(None) == ()
    assert encode_metadata({}) == ()


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"Upper": "x"}, "'Upper'"),
        ({"": "x"}, "key ''"),
        ({"grpc-x": "x"}, "grpc-"),
        ({"te": "x"}, "'te'"),
        ({":path": "x"}, "':path'"),
        ({"a": "é"}, "'a'.*printable ASCII"),
        ({"a": "x\n"}, "'a'.*printable ASCII"),
        ({"a": b"x"}, "'a'.*printable ASCII"),
        ({"a-bin": "x"}, "'a-bin'.*holds bytes"),
    ],
)
def test_metadata_that_headers_cannot_hold_is_an_error_that_names_the_key(
    metadata: dict[str, str | bytes], text: str
) -> None:
    with pytest.raises(InvalidValueError, match=text):
        encode_metadata(metadata)


def test_metadata_leaves_the_protocols_own_headers_out() -> None:
    headers = ((":path", "/x"), ("grpc-timeout", "1S"), ("te", "trailers"), ("mine", "1"))
    assert decode_metadata(headers) == (("mine", "1"),)


def test_binary_metadata_is_taken_with_padding_without_it_and_joined_by_commas() -> None:
    assert decode_metadata((("a-bin", "YQ=="), ("a-bin", "YQ"), ("a-bin", "YQ, YWI="))) == (
        ("a-bin", b"a"),
        ("a-bin", b"a"),
        ("a-bin", b"a"),
        ("a-bin", b"ab"),
    )


def test_binary_metadata_that_is_no_base64_costs_itself_and_nothing_else() -> None:
    assert decode_metadata((("bad-bin", "%%%"), ("good", "1"))) == (("good", "1"),)


# ---------------------------------------------------------------- status


@given(st.text(max_size=300))
def test_status_text_arrives_as_it_was_sent(details: str) -> None:
    trailers = encode_status(StatusCode.INTERNAL, details)
    assert all(" " <= letter <= "~" for letter in dict(trailers).get("grpc-message", ""))
    with pytest.raises(RemoteError) as e:
        check_status(trailers)
    assert e.value.code() is StatusCode.INTERNAL
    assert e.value.details() == details


def test_a_lone_surrogate_in_status_text_is_replaced_and_the_rest_arrives() -> None:
    with pytest.raises(RemoteError) as e:
        check_status(encode_status(StatusCode.INTERNAL, "a\ud800b"))
    assert e.value.details() == "a?b"


@given(st.sampled_from(["x", "é", "🦾", "%"]), st.integers(1000, 6000))
def test_long_status_text_is_cut_below_the_limit_at_a_whole_letter(letter: str, n: int) -> None:
    message = dict(encode_status(StatusCode.INTERNAL, letter * n))["grpc-message"]
    assert len(message) <= 4096
    text = unquote(message, errors="strict")
    assert text == letter * n or (text.endswith("...") and set(text[:-3]) == {letter})


def test_status_ok_is_no_error() -> None:
    assert encode_status(StatusCode.OK) == (("grpc-status", "0"),)


@pytest.mark.parametrize("details", ["", "too much to do"])
@pytest.mark.parametrize("never_ran", [False, True])
def test_a_status_tells_whether_the_call_never_ran(details: str, never_ran: bool) -> None:
    trailers = encode_status(StatusCode.UNAVAILABLE, details, never_ran=never_ran)
    with pytest.raises(RemoteError) as raised:
        check_status(trailers)
    assert raised.value.never_ran is never_ran
    assert raised.value.details() == details


def test_another_value_of_the_trailer_says_nothing() -> None:
    status = encode_status(StatusCode.UNAVAILABLE)
    with pytest.raises(RemoteError) as raised:
        check_status((*status, (NEVER_RAN[0], "0")))
    assert not raised.value.never_ran
    check_status((("grpc-status", "0"), ("grpc-message", "ignored")))


@pytest.mark.parametrize(
    ("trailers", "text"),
    [
        ((), "without a grpc-status"),
        ((("grpc-status", "x"),), "'x'"),
        ((("grpc-status", "99"),), "'99'"),
    ],
)
def test_trailers_without_a_status_of_grpcs_are_an_unknown_error(
    trailers: Headers, text: str
) -> None:
    with pytest.raises(RemoteError) as e:
        check_status(trailers)
    assert e.value.code() is StatusCode.UNKNOWN
    assert text in e.value.details()


def test_a_grpc_response_passes() -> None:
    headers = ((":status", "200"), ("content-type", "application/grpc+proto"))
    assert check_response_headers(headers) == "identity"
    assert check_response_headers((*headers, ("grpc-encoding", "gzip"))) == "gzip"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("503", "UNAVAILABLE"),
        ("404", "UNIMPLEMENTED"),
        ("401", "UNAUTHENTICATED"),
        ("418", "UNKNOWN"),
    ],
)
def test_an_http_error_is_mapped_as_grpc_says(status: str, code: str) -> None:
    with pytest.raises(RemoteError, match=f"HTTP status {status}") as e:
        check_response_headers(((":status", status), ("content-type", "text/html")))
    assert e.value.code().name == code
    assert isinstance(e.value, UnavailableError) == (code == "UNAVAILABLE")


def test_a_web_page_is_no_response() -> None:
    with pytest.raises(RemoteError, match=r"'text/html'.*address of a policy server"):
        check_response_headers(((":status", "200"), ("content-type", "text/html")))
    with pytest.raises(RemoteError, match="'none'"):
        check_response_headers(((":status", "200"),))


def test_an_invalid_argument_from_a_peer_is_a_value_error() -> None:
    with pytest.raises(InvalidArgumentError) as e:
        check_status((("grpc-status", "3"), ("grpc-message", "bad%20key")))
    assert isinstance(e.value, ValueError)
    assert e.value.details() == "bad key"
