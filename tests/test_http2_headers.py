# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Against hpack's own encoder and decoder, which remember nothing."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKDecodingError, HPACKError, OversizedHeaderListError
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
    timeout = NeverIndexedHeaderTuple(b"grpc-timeout", b"%dm" % deadline)
    # Lengths below, at and above what fits into seven bits.
    name = b"x-" + bytes([b"a"[0]]) * (deadline % 200)
    return [*fields, timeout, NeverIndexedHeaderTuple(name, b"t" * (deadline % 300))]


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


@pytest.mark.parametrize("ours", ["encoder", "decoder"])
def test_a_block_that_turns_the_whole_table_over_makes_what_is_remembered_worthless(
    ours: str,
) -> None:
    # Each of these fills more than half of the table, so that it always has one entry.
    one, two, three = ((key, b"v" * 2500) for key in (b"x-a", b"x-b", b"x-c"))
    encoder = RememberingEncoder() if ours == "encoder" else Encoder()
    decoder = RememberingDecoder() if ours == "decoder" else Decoder()
    # An entry may come to lie where a former one was; so this is not done once.
    for _ in range(20):
        for fields in ([one], [one], [two, three], [one], [one], [two, three], [three]):
            assert plain(decoder.decode(encoder.encode(fields), raw=True)) == fields


@pytest.mark.parametrize("indexed", [0, 1, 3])
def test_the_limit_holds_for_the_whole_list_however_it_is_encoded(indexed: int) -> None:
    """A field from a table in front and one in plain text behind are decoded apart."""
    encoder, decoder = Encoder(), RememberingDecoder()
    fields = [(b"x-%d" % number, b"v" * 66) for number in range(3)]  # 101 bytes each
    decoder.decode(encoder.encode(fields), raw=True)
    sent = [*fields[:indexed], NeverIndexedHeaderTuple(b"x-z", b"v" * 65)]  # 100 bytes
    data = encoder.encode(sent, huffman=False)
    size = 101 * indexed + 100
    decoder.max_header_list_size = size
    assert plain(decoder.decode(data, raw=True)) == plain(sent)
    again = RememberingDecoder()
    again.decode(Encoder().encode(fields), raw=True)
    again.max_header_list_size = size - 1
    for _ in range(2):
        with pytest.raises(OversizedHeaderListError):
            again.decode(data, raw=True)


@pytest.mark.parametrize(
    ("header", "plain"),
    [
        ((b":status", b"200"), True),
        ((b":status", b"103"), False),
        ((b"content-length", b"5"), False),
        ((b"x-status", b"1"), True),
    ],
)
def test_fields_that_ask_something_of_what_follows_are_told_from_plain_ones(
    header: tuple[bytes, bytes], plain: bool
) -> None:
    fields = RememberingDecoder().decode(Encoder().encode([header]))
    assert fields.plain is plain
    assert fields.text == ((header[0].decode(), header[1].decode()),)


def test_any_byte_of_a_header_becomes_a_character() -> None:
    fields = RememberingDecoder().decode(Encoder().encode([(b"x-a", bytes(range(256)))]))
    assert fields.text[0][1].encode("latin-1") == bytes(range(256))


@given(st.lists(block, max_size=5), st.binary(max_size=12), st.integers(0, 40))
def test_a_tail_that_is_broken_or_of_another_form_is_read_as_hpack_reads_it(
    blocks: list[tuple[Fields, int | None, int | None]], tail: bytes, cut: int
) -> None:
    encoder, ours, theirs = RememberingEncoder(), RememberingDecoder(), Decoder()
    for fields, deadline, _ in blocks:
        data = encoder.encode(with_deadline(fields, deadline))
        ours.decode(data, raw=True), theirs.decode(data, raw=True)
    last = encoder.encode(
        [*(blocks[-1][0] if blocks else []), volatile("server-timing", "a;dur=1")]
    )
    data = last[: len(last) - cut] + tail
    assert outcome(ours, data) == outcome(theirs, data)


def outcome(decoder: Decoder, data: bytes) -> list[tuple[bytes, bytes]] | str:
    try:
        return plain(decoder.decode(data, raw=True))
    except HPACKError:
        return "refused"
