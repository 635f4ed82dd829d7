# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Against hpack's own encoder and decoder, which remember nothing."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKDecodingError
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.http2.headers import RememberingDecoder, RememberingEncoder, volatile

Fields = list[tuple[bytes, bytes]]

field = st.tuples(
    st.sampled_from([b":method", b":path", b"te", b"x-a", b"x-b"]),
    st.sampled_from([b"POST", b"/", b"trailers", b"", b"1", b"2" * 40]),
)
block = st.tuples(
    st.lists(field, max_size=5),
    st.none() | st.integers(0, 99_999_999),  # a deadline
    st.none() | st.sampled_from([0, 60, 120, 200, 4096]),  # the table's size from here on
)


def with_deadline(fields: Fields, deadline: int | None) -> Fields:
    if deadline is None:
        return fields
    return [*fields, NeverIndexedHeaderTuple(b"grpc-timeout", b"%dm" % deadline)]


def plain(fields: object) -> list[tuple[bytes, bytes]]:
    return [(bytes(key), bytes(value)) for key, value in fields]  # type: ignore[attr-defined]


@given(st.lists(block, max_size=30))
def test_any_decoder_reads_what_the_encoder_writes_and_so_does_ours(
    blocks: list[tuple[Fields, int | None, int | None]],
) -> None:
    encoder, ours, theirs = RememberingEncoder(), RememberingDecoder(), Decoder()
    for fields, deadline, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        sent = with_deadline(fields, deadline)
        data = encoder.encode(sent)
        assert plain(theirs.decode(data, raw=True)) == plain(sent)
        assert plain(ours.decode(data, raw=True)) == plain(sent)


@given(st.lists(block, max_size=30))
def test_our_decoder_reads_what_any_encoder_writes(
    blocks: list[tuple[Fields, int | None, int | None]],
) -> None:
    encoder, ours = Encoder(), RememberingDecoder()
    for fields, deadline, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        sent = with_deadline(fields, deadline)
        assert plain(ours.decode(encoder.encode(sent), raw=True)) == plain(sent)


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_our_decoder_has_hpacks_verdict_on_any_bytes(blocks: list[bytes]) -> None:
    ours, theirs = RememberingDecoder(), Decoder()
    for data in blocks:
        try:
            expected = plain(theirs.decode(data, raw=True))
        except HPACKDecodingError:
            with pytest.raises(HPACKDecodingError):
                ours.decode(data, raw=True)
            return
        assert plain(ours.decode(data, raw=True)) == expected


def test_a_deadline_leaves_the_dynamic_table_alone() -> None:
    encoder = RememberingEncoder()
    encoder.encode(with_deadline([(b"x-a", b"1")], 5))
    entries = len(encoder.header_table.dynamic_entries)
    encoder.encode(with_deadline([(b"x-a", b"1")], 6))
    assert len(encoder.header_table.dynamic_entries) == entries == 1


def test_a_volatile_header_is_one_that_no_table_takes() -> None:
    assert isinstance(volatile("grpc-timeout", "5m"), NeverIndexedHeaderTuple)


def test_ever_new_blocks_are_not_remembered_for_ever() -> None:
    encoder = RememberingEncoder()
    encoder.header_table_size = 0
    for number in range(1000):
        encoder.encode([(b"x-a", str(number).encode())])
    assert len(encoder._blocks._known) <= 64
