# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from oracle import check_like_protobuf
from strategies import block, groups, varint

from praxis_remote.schema import Value
from praxis_remote.values import MAX_DEPTH
from praxis_remote.wire.buffers import Malformed
from praxis_remote.wire.unknown import check_depth, skip
from praxis_remote.wire.varints import read_tag


@pytest.mark.parametrize("below", range(97, 102))
@pytest.mark.parametrize("inside", range(5))
def test_groups_count_for_the_depth_limit(below: int, inside: int) -> None:
    data = groups(inside)
    for level in reversed(range(below)):
        data = block(1 if level % 2 else 6, data)
    assert check_like_protobuf(Value, data) == (below + inside <= MAX_DEPTH)


def end_of(field: bytes, tail: bytes = b"") -> int:
    tag, after = read_tag(field, 0, len(field))
    return skip(field + tail, after, len(field + tail), tag, 0)


FIELDS = {
    "varint": b"\x48\x96\x01",
    "fixed64": b"\x49" + bytes(8),
    "length": block(9, b"abc"),
    "empty": block(9, b""),
    "fixed32": b"\x4d" + bytes(4),
    "group": b"\x4b\x08\x01" + block(2, b"\x4c") + b"\x4c",
    "groups": b"\x4b\x53\x4b\x4c\x54\x4c",
    "a number of three bytes": varint(2**20 << 3) + b"\x01",
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_ends_where_it_ends(name: str) -> None:
    field = FIELDS[name]
    for tail in (b"", b"\0", b"\x4c", field):
        assert end_of(field, tail) == len(field)


@pytest.mark.parametrize("name", FIELDS)
def test_every_prefix_of_a_field_is_refused(name: str) -> None:
    field = FIELDS[name]
    tag, after = read_tag(field, 0, len(field))
    for size in range(after, len(field)):
        with pytest.raises(Malformed):
            skip(field, after, size, tag, 0)


@pytest.mark.parametrize(
    ("field", "what"),
    [
        (b"\x4c", "the end of a group 9 that is not open"),
        (b"\x4b\x54", "the end of a group 10 that is not open"),
        (b"\x4e", "wire type 6"),
        (b"\x4b\x4f", "wire type 7"),
        (groups(MAX_DEPTH + 1), f"more than {MAX_DEPTH} messages in one another"),
    ],
)
def test_what_is_no_field_is_refused(field: bytes, what: str) -> None:
    with pytest.raises(Malformed) as caught:
        end_of(field)
    assert caught.value.what == what


def test_the_deepest_message_is_allowed() -> None:
    check_depth(MAX_DEPTH, 5)
    with pytest.raises(Malformed) as caught:
        check_depth(MAX_DEPTH + 1, 5)
    assert caught.value.offset == 5
