# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Google's protobuf over the same schema: what is right is what it does.

Its classes are made from the ``.proto`` when first asked for, in a descriptor pool
of their own, so that they never meet another copy of the schema in this process.
The functions that fill and read its messages share no code with the package.

Below it stands the second judge: the typed path, which the direct one has to equal.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import betterproto
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError, Message
from strategies import Request, bits

from praxis_remote import errors, schema
from praxis_remote.codec import (
    PredictCall,
    Segments,
    decode_predict_request,
    encode_predict_request,
)
from praxis_remote.schema import PredictRequest, PredictResponse, include_path
from praxis_remote.serialization import decode_numpy_array, decode_request, encode_request
from praxis_remote.wire import read_message, write_message

MESSAGES = [
    getattr(schema, name)
    for name in schema.__all__
    if isinstance(getattr(schema, name), type)
    and issubclass(getattr(schema, name), betterproto.Message)
]
"""Our class for each message of the schema."""

DTYPES = {"f4": 1, "f8": 2, "i4": 3, "i8": 4, "u1": 5, "b1": 6}


@functools.cache
def pool() -> descriptor_pool.DescriptorPool:
    """Returns the compiled schema."""
    assert api_implementation.Type() == "upb"
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "schema.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{include_path()}"]
        source = "praxis_remote/policy_service.proto"
        subprocess.run([*command, f"--descriptor_set_out={output}", source], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    private = descriptor_pool.DescriptorPool()
    for file in files.file:
        private.Add(file)
    return private


@functools.cache
def describe(name: str) -> Descriptor:
    """Returns what the schema says of a message."""
    found: Descriptor = pool().FindMessageTypeByName(f"praxis_remote.{name}")
    return found


@functools.cache
def google_class(name: str) -> type[Any]:
    """Returns Google's class for a message of the schema."""
    return message_factory.GetMessageClass(describe(name))


def google_parse(cls: type[betterproto.Message], data: bytes) -> Message | None:
    """Returns what Google's parser makes of ``data``; None if it rejects it."""
    message: Message = google_class(cls.__name__)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    return message


def google_bytes(message: Message) -> bytes:
    """Returns a message of Google's in the one order that its parser gives them."""
    return message.SerializeToString(deterministic=True)


def messages_in(message: betterproto.Message) -> Iterator[betterproto.Message]:
    """Yields a message of ours and all that it holds."""
    yield message
    for item in vars(message).values():
        children = item.values() if isinstance(item, dict) else item
        if not isinstance(item, (dict, list)):
            children = (item,)
        for child in children:
            if isinstance(child, betterproto.Message):
                yield from messages_in(child)


def has_wide_map(message: betterproto.Message) -> bool:
    """Tells whether a message of ours may be written in more than one order."""
    values = (value for inner in messages_in(message) for value in vars(inner).values())
    return any(isinstance(value, dict) and len(value) > 1 for value in values)


def has_unknown(message: betterproto.Message) -> bool:
    """Tells whether a message of ours, or one in it, keeps fields that the schema lacks."""
    return any(vars(inner)["_unknown_fields"] for inner in messages_in(message))


def check_like_protobuf(cls: type[betterproto.Message], data: bytes) -> bool:
    """Holds our reader to Google's verdict and meaning; returns the verdict."""
    theirs = google_parse(cls, data)
    try:
        ours = read_message(cls, data)
    except errors.DecodeError:
        assert theirs is None, f"only we reject {data.hex()}"
        return False
    assert theirs is not None, f"only protobuf rejects {data.hex()}"
    written, expected = write_message(ours), google_bytes(theirs)
    if written != expected:
        # An entry that is kept as an unknown field holds maps in upb's own order.
        again = google_parse(cls, written)
        assert again is not None
        assert expected in (google_bytes(again), written) or sorted(written) == sorted(expected)
        assert has_wide_map(ours) or has_unknown(ours), data.hex()
    return True


# ---------------------------------------------------------------- values


def to_google(
    observations: Sequence[Mapping[str, Any]],
    policy_kwargs: Mapping[str, Any] | None,
    episode_ids: Sequence[str] | None,
) -> Any:
    """Returns a request of Google's with the given content."""
    request = google_class("PredictRequest")()
    for observation in observations:
        message = request.observations.add()
        for key, value in observation.items():
            _add_item(message, str(key), value)
    for key, value in (policy_kwargs or {}).items():
        _set_value(request.policy_kwargs[str(key)], value)
    request.episode_ids.extend(episode_ids or ())
    return request


def _add_item(message: Any, key: str, value: Any) -> None:
    if isinstance(value, str):
        message.strings.add(key=key, value=value)
    elif isinstance(value, np.ndarray):
        set_tensor(message.tensors.add(key=key).tensor, value)
    else:
        _set_value(message.scalars.add(key=key).value, value)


def set_tensor(tensor: Any, array: np.ndarray[Any, Any]) -> None:
    """Fills a tensor of Google's."""
    little = array.astype(array.dtype.newbyteorder("<"))
    tensor.data = little.tobytes(order="C")
    tensor.shape.extend(array.shape)
    tensor.dtype = DTYPES[f"{array.dtype.kind}{array.dtype.itemsize}"]


def _set_value(message: Any, value: Any) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, (bool, np.bool_)):
        message.bool_value = bool(value)
    elif isinstance(value, (int, np.integer)):
        message.int_value = int(value)
    elif isinstance(value, (float, np.floating)):
        message.float_value = float(value)
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        for key, item in value.items():
            _set_value(message.struct_value.fields[str(key)], item)
    else:
        message.list_value.SetInParent()
        for item in value:
            _set_value(message.list_value.values.add(), item)


def from_google(
    request: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any], tuple[str, ...] | None]:
    """Returns the content of a request of Google's."""
    observations = []
    for message in request.observations:
        observation: dict[str, Any] = {}
        for item in message.tensors:
            observation[item.key] = get_tensor(item.tensor)
        for item in message.strings:
            observation[item.key] = item.value
        for item in message.scalars:
            observation[item.key] = _get_value(item.value)
        observations.append(observation)
    policy_kwargs = {key: _get_value(value) for key, value in request.policy_kwargs.items()}
    return observations, policy_kwargs, tuple(request.episode_ids) or None


def get_tensor(tensor: Any) -> np.ndarray[Any, Any]:
    """Returns a tensor of Google's as an array."""
    names = {number: name for name, number in DTYPES.items()}
    array = np.frombuffer(bytearray(tensor.data), dtype="<" + names[tensor.dtype])
    return array.reshape(tuple(tensor.shape))


def _get_value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "null_value":
        return None
    if kind == "list_value":
        return [_get_value(item) for item in message.list_value.values]
    if kind == "struct_value":
        return {key: _get_value(item) for key, item in message.struct_value.fields.items()}
    return getattr(message, kind)


# ---------------------------------------------------------------- the typed path


def joined(segments: Segments) -> bytearray:
    """Returns a message as it arrives."""
    return bytearray(b"".join(segments))


def encoded(request: Request) -> bytearray:
    """Returns a request's bytes as the direct path writes them."""
    return joined(encode_predict_request(*request))


def typed_bytes(request: Request) -> bytes:
    """Returns a request's bytes as the typed path writes them."""
    return write_message(
        encode_request(
            request.observations,
            policy_kwargs=request.policy_kwargs,
            episode_ids=request.episode_ids,
        )
    )


def typed_decode(data: bytes) -> PredictCall:
    """Returns what the typed path reads from a request's bytes."""
    return PredictCall(*decode_request(read_message(PredictRequest, data)))


def typed_response(data: bytes) -> np.ndarray[Any, Any]:
    """Returns what the typed path reads from a response's bytes."""
    return decode_numpy_array(read_message(PredictResponse, data).action, "action")


def expected(request: Request) -> Any:
    """What the handler is to get, in the form of `bits`."""
    kwargs = bits(request.policy_kwargs or {})
    return [bits(item) for item in request.observations], kwargs, tuple(request.episode_ids or ())


def got(call: PredictCall | tuple[Any, Any, Any]) -> Any:
    """Returns what the handler gets, in the form of `bits`."""
    return [bits(item) for item in call[0]], bits(call[1]), tuple(call[2] or ())


def outcome(decode: Callable[[Any], Any], data: Any, form: Callable[[Any], Any]) -> Any:
    """Returns what decoding gives, or which error with which text."""
    try:
        return form(decode(data))
    except ValueError as error:
        return type(error), str(error)


def check_same_as_typed(data: bytes) -> bool:
    """Holds the direct path to the typed one; tells whether the bytes were taken."""
    ours = outcome(decode_predict_request, bytearray(data), got)
    assert ours == outcome(typed_decode, data, got), data.hex()
    if isinstance(ours[0], list):
        call = decode_predict_request(bytearray(data))
        reference = typed_decode(data)
        assert [list(item) for item in call[0]] == [list(item) for item in reference[0]]
        return True
    return False
