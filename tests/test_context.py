# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import time

import pytest

from praxis_remote.calls import Deadline
from praxis_remote.context import CurrentRequests, RequestContext, current_request, current_requests


def test_outside_of_a_request_there_is_none_and_the_error_says_where_there_is() -> None:
    with pytest.raises(LookupError, match="inside predict_action and reset"):
        current_request()
    with pytest.raises(LookupError, match=r"current_requests\(\) work only inside"):
        current_requests()


def test_within_a_request_it_is_the_innermost() -> None:
    outer, inner = RequestContext((), "a:1"), RequestContext((("k", "v"),), "b:2")
    with CurrentRequests([outer]):
        with CurrentRequests([inner]):
            assert current_request() is inner
        assert current_request() is outer
    with pytest.raises(LookupError):
        current_request()


def test_the_remaining_time_is_never_negative_and_none_without_a_deadline() -> None:
    assert RequestContext((), "a:1").remaining() is None
    assert RequestContext((), "a:1", Deadline(time.monotonic() - 5)).remaining() == 0
    later = RequestContext((), "a:1", Deadline(time.monotonic() + 50)).remaining()
    assert later is not None
    assert 0 < later <= 50
