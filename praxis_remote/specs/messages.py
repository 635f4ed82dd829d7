# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Specs as messages, both ways. What a server sends is taken as strictly as what a policy says."""

from __future__ import annotations

from typing import cast

from ..errors import InvalidValueError, RemoteError
from ..schema.generated_specs import KeySpec, SpecKind, SpecResponse
from .spec import (
    MAX_KEYS,
    Dimension,
    FlagSpec,
    Kind,
    KwargSpec,
    NumberSpec,
    ObservationSpec,
    TensorSpec,
    TextSpec,
    ValueSpec,
    cut,
    kind_of,
)

__all__ = ["MAX_ITEMS", "decode_spec", "encode_spec"]

MAX_ITEMS = 50_000
"""Of a message. The largest spec that is allowed has two thirds as many."""

_KINDS: dict[str, SpecKind] = {
    "tensor": SpecKind.TENSOR,
    "text": SpecKind.TEXT,
    "flag": SpecKind.FLAG,
    "number": SpecKind.NUMBER,
    "whole": SpecKind.WHOLE,
    "null": SpecKind.NULL,
    "list": SpecKind.LIST,
    "mapping": SpecKind.MAPPING,
}
_NAMES = {int(number): name for name, number in _KINDS.items()}

_ANY = -1


def encode_spec(spec: ObservationSpec | None) -> SpecResponse:
    """Returns the message of a spec, or of there being none."""
    if spec is None:
        return SpecResponse()
    return SpecResponse(
        published=True,
        observation=[_encode_value(key, value) for key, value in spec.keys.items()],
        observation_closed=not spec.extra_keys,
        policy_kwargs=[
            KeySpec(key=key, required=value.required, kinds=[_KINDS[kind] for kind in value.kinds])
            for key, value in spec.policy_kwargs.items()
        ],
        policy_kwargs_closed=not spec.extra_policy_kwargs,
    )


def _encode_value(key: str, spec: ValueSpec) -> KeySpec:
    message = KeySpec(key=key, required=spec.required, kinds=[_KINDS[kind_of(spec)]])
    if isinstance(spec, TensorSpec):
        message.dtypes = list(spec.dtypes)
        message.any_leading = spec.shape[:1] == (...,)
        sizes = [size for size in spec.shape if size is not ...]
        message.shape = [size if isinstance(size, int) else _ANY for size in sizes]
        names = [size if isinstance(size, str) else "" for size in sizes]
        message.names = names if any(names) else []
    return message


def decode_spec(message: SpecResponse) -> ObservationSpec | None:
    """Returns the spec that a message holds, or None if it says that there is none.

    Raises:
        InvalidValueError: It holds what no spec can say, or what this version does not know.
    """
    if not message.published:
        return None
    return ObservationSpec(
        {key: _decode_value(item, name) for key, item, name in _items(message, "observation")},
        extra_keys=not message.observation_closed,
        policy_kwargs={
            key: _decode_kwarg(item, name) for key, item, name in _items(message, "policy_kwargs")
        },
        extra_policy_kwargs=not message.policy_kwargs_closed,
    )


def _items(message: SpecResponse, field: str) -> list[tuple[str, KeySpec, str]]:
    items: list[KeySpec] = getattr(message, field)
    if len(items) > MAX_KEYS:
        raise InvalidValueError(f"{field}: {len(items)} keys; at most {MAX_KEYS} are allowed")
    found = [(item.key, item, f"{field}[{index}]") for index, item in enumerate(items)]
    if len({key for key, _, _ in found}) < len(found):
        raise InvalidValueError(f"{field}: a key is there twice")
    return found


def _decode_kinds(message: KeySpec, name: str) -> list[str]:
    unknown = [int(kind) for kind in message.kinds if int(kind) not in _NAMES]
    if unknown:
        raise InvalidValueError(
            f"{name}: kind {unknown[0]}, which this version of praxis-remote does not know"
        )
    return [_NAMES[int(kind)] for kind in message.kinds]


def _decode_value(message: KeySpec, name: str) -> ValueSpec:
    kinds = _decode_kinds(message, name)
    required = message.required
    if kinds == ["tensor"]:
        try:
            return TensorSpec(message.dtypes, _decode_shape(message), required=required)
        except RemoteError as error:
            raise InvalidValueError(f"{name}: {error.details()}") from None
    if kinds == ["text"]:
        return TextSpec(required)
    if kinds == ["flag"]:
        return FlagSpec(required)
    if kinds in (["number"], ["whole"]):
        return NumberSpec(kinds == ["whole"], required)
    raise InvalidValueError(
        f"{name}: kinds {kinds[:9]}; a key of an observation has one, of tensor, text, flag, "
        "number and whole"
    )


def _decode_shape(message: KeySpec) -> tuple[Dimension, ...]:
    leading: tuple[Dimension, ...] = (...,) if message.any_leading else ()
    sizes, names = message.shape, message.names or [""] * len(message.shape)
    if len(names) != len(sizes):
        raise InvalidValueError(f"shape: {len(names)} names for {len(sizes)} sizes")
    return (*leading, *map(_decode_size, sizes, names))


def _decode_size(size: int, name: str) -> Dimension:
    if name and size != _ANY:
        raise InvalidValueError(f"shape: {size} has the name {cut(name)!r}; -1 is needed")
    return name or (None if size == _ANY else size)


def _decode_kwarg(message: KeySpec, name: str) -> KwargSpec:
    kinds = _decode_kinds(message, name)
    try:
        return KwargSpec(cast("list[Kind]", kinds), required=message.required)
    except RemoteError as error:
        raise InvalidValueError(f"{name}: {error.details()}") from None
