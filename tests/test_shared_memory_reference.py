# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praxis_remote.errors import InvalidValueError
from praxis_remote.shared_memory.area import HEAD_BYTES, NONCE_BYTES
from praxis_remote.shared_memory.reference import (
    MAPPED,
    Offer,
    Reference,
    decode_offer,
    decode_place,
    encode_place,
)

LARGEST = 10**18 - 1


@st.composite
def references(draw: st.DrawFn) -> Reference:
    size = draw(st.integers(HEAD_BYTES, LARGEST))
    start = draw(st.integers(HEAD_BYTES, size))
    length = draw(st.integers(0, size - start))
    nonce = draw(st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
    return Reference(draw(st.integers(0, 2**31 - 1)), nonce, size, start, length)


offers = st.builds(Offer, st.none() | references(), st.none() | references())
shapes = st.from_regex(r"(request=|response=)?[0-9;\-a-f ]{0,80}")


@given(offer=offers.filter(any))
def test_an_offer_is_read_as_it_was_written(offer: Offer) -> None:
    assert decode_offer(offer.encode()) == offer


@given(text=st.text() | shapes)
def test_whatever_a_peer_offers_it_is_an_offer_within_its_memory_or_an_error(text: str) -> None:
    try:
        offer = decode_offer(text)
    except InvalidValueError:
        return
    for reference in offer:
        if reference is not None:
            assert reference.start >= HEAD_BYTES
            assert reference.start + reference.length <= reference.size
    assert decode_offer(offer.encode()) == offer


@given(size=st.integers(HEAD_BYTES, 2**40), text=st.text() | shapes)
def test_a_response_is_within_its_memory_or_elsewhere(size: int, text: str) -> None:
    try:
        place = decode_place(text, size)
    except InvalidValueError:
        return
    if place is not None:
        assert HEAD_BYTES <= place[0] <= sum(place) <= size


def test_a_place_is_read_as_it_was_written_and_a_word_is_none() -> None:
    assert decode_place(encode_place(64, 100), 164) == (64, 100)
    assert decode_place(MAPPED, 164) is None
    for start, length in ((63, 10), (64, 101), (165, 0)):
        with pytest.raises(
            InvalidValueError, match=r"^praxis-shared-memory: response of .* within 64 and 164"
        ):
            decode_place(encode_place(start, length), 164)
