# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle

import pytest

from praxis_remote import errors
from praxis_remote.errors import MessageTooLargeError, RemoteError, StatusCode, error_for_status

CLASSES = [
    value
    for name in errors.__all__
    if isinstance(value := getattr(errors, name), type) and issubclass(value, RemoteError)
]

BUILT_INS = {
    "InvalidArgumentError": ValueError,
    "InvalidValueError": ValueError,
    "DecodeError": ValueError,
    "UnsupportedTypeError": TypeError,
    "DeadlineExceededError": TimeoutError,
    "UnavailableError": ConnectionError,
    "MessageTooLargeError": ValueError,
    "HandlerError": RuntimeError,
    "BadResponseError": RuntimeError,
    "UnimplementedError": NotImplementedError,
    "RequestRefusedError": PermissionError,
}


def make(cls: type[RemoteError]) -> RemoteError:
    if issubclass(cls, MessageTooLargeError):
        return cls("request", 11, 10, "host:1")
    return cls("what happened", "host:1")


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_has_code_details_and_address(cls: type[RemoteError]) -> None:
    error = make(cls)
    assert error.code() is cls.status
    assert error.code().name == cls.status.name
    assert error.details()
    assert error.address == "host:1"
    assert error.details() in str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_is_the_built_in_that_people_would_catch(cls: type[RemoteError]) -> None:
    assert isinstance(make(cls), BUILT_INS.get(cls.__name__, Exception))


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_survives_pickling(cls: type[RemoteError]) -> None:
    error = make(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (str(copy), copy.code(), copy.details(), copy.address) == (
        str(error),
        error.code(),
        error.details(),
        error.address,
    )


@pytest.mark.parametrize("cls", CLASSES)
def test_that_it_never_ran_and_how_often_it_was_tried_survives_pickling(
    cls: type[RemoteError],
) -> None:
    error = make(cls)
    assert not error.never_ran
    assert not pickle.loads(pickle.dumps(error)).never_ran
    error.never_ran = True
    error.add_tries(3)
    copy = pickle.loads(pickle.dumps(error))
    assert copy.never_ran
    assert copy.details() == error.details()
    assert copy.details().endswith("; tried 3 times")


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
def test_every_status_of_a_peer_has_an_error_that_keeps_it(code: StatusCode) -> None:
    error = error_for_status(code, "text", "host:1")
    assert error.code() is code
    assert str(error) == f"{code.name}: text (host:1)"


def test_a_message_that_is_too_large_says_what_to_do() -> None:
    error = MessageTooLargeError("request", 11, 10)
    assert str(error) == (
        "RESOURCE_EXHAUSTED: request of 11 bytes is larger than the limit of 10 bytes; "
        "raise max_message_size on both ends, or send less"
    )
