# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The words of a spec: what each key of an observation, and each policy keyword, may hold.

Nothing here looks at a request.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidValueError, UnsupportedTypeError
from ..flags import as_flag
from ..tensors import DTYPES, SUPPORTED
from ..types import ObservationLike
from ..values import check_text
from .arrivals import as_arrived

__all__ = [
    "Dimension",
    "FlagSpec",
    "Kind",
    "KwargSpec",
    "NumberSpec",
    "ObservationSpec",
    "TensorSpec",
    "TextSpec",
    "ValueSpec",
]

S = TypeVar("S")

Dimension: TypeAlias = int | str | EllipsisType | None
"""One item of a shape: a size, None for any, a name for any that is the same wherever the
observation has it, or, as the first item, ``...`` for any dimensions at all."""

Kind: TypeAlias = Literal["flag", "whole", "number", "text", "list", "mapping", "null"]
"""What a policy keyword argument may hold; a whole number is a number as well."""

_KINDS: tuple[Kind, ...] = get_args(Kind)

_NAMES = tuple(dtype.name for dtype in DTYPES.values())
_MAX_DIMENSIONS = 64

MAX_KEYS = 256
"""Keys of a spec, and policy keywords as well."""

_MAX_NAME = 40


@dataclass(frozen=True, init=False)
class TensorSpec:
    """An array.

    Args:
        dtypes: What it may be of: one dtype or several, as ``np.dtype`` takes them. None: any
            that can be sent.
        shape: Its dimensions: a size; None for any size; a name, such as ``"H"``, for any
            size that is the same wherever an observation has that name; and ``...`` at the
            beginning for any dimensions before those that follow.
        required: Whether the key must be there.

    Raises:
        ValueError: A dtype that cannot be sent, or a shape that cannot be.
        TypeError: A shape that is no tuple.

    Example:
        ```python
        TensorSpec("float32", (7,))
        TensorSpec("uint8", ("H", "W", 3))
        TensorSpec(["float32", "float64"], (..., None, 14), required=False)
        ```
    """

    dtypes: tuple[str, ...]
    shape: tuple[Dimension, ...]
    required: bool

    def __init__(
        self,
        dtypes: npt.DTypeLike | Collection[npt.DTypeLike] | None = None,
        shape: Sequence[Dimension] = (...,),
        *,
        required: bool = True,
    ) -> None:
        _set(self, dtypes=_as_dtypes(dtypes), shape=_as_shape(shape))
        _set(self, required=as_flag(required, "required"))

    def __str__(self) -> str:
        """Returns it as an error would have it, such as ``uint8 (H, W, 3)``."""
        comma = "," if len(self.shape) == 1 and self.shape != (...,) else ""
        shape = ", ".join(map(_spell, self.shape))
        dtypes = "any dtype" if self.dtypes == _NAMES else " or ".join(self.dtypes)
        return f"{dtypes} ({shape}{comma})"


@dataclass(frozen=True)
class TextSpec:
    """A ``str``.

    Args:
        required: Whether the key must be there.
    """

    required: bool = True

    def __post_init__(self) -> None:
        _set(self, required=as_flag(self.required, "required"))

    def __str__(self) -> str:
        """Returns it as an error would have it."""
        return "text"


@dataclass(frozen=True)
class FlagSpec:
    """A ``bool``.

    Args:
        required: Whether the key must be there.
    """

    required: bool = True

    def __post_init__(self) -> None:
        _set(self, required=as_flag(self.required, "required"))

    def __str__(self) -> str:
        """Returns it as an error would have it."""
        return "flag"


@dataclass(frozen=True)
class NumberSpec:
    """An ``int`` or a ``float``, or what arrives as one: a numpy scalar, not an array.

    Args:
        whole: Whether it must be an ``int``.
        required: Whether the key must be there.
    """

    whole: bool = False
    required: bool = True

    def __post_init__(self) -> None:
        _set(
            self,
            whole=as_flag(self.whole, "whole"),
            required=as_flag(self.required, "required"),
        )

    def __str__(self) -> str:
        """Returns it as an error would have it."""
        return "whole number" if self.whole else "number"


ValueSpec: TypeAlias = TensorSpec | TextSpec | FlagSpec | NumberSpec
"""What one key of an observation may hold."""


@dataclass(frozen=True, init=False)
class KwargSpec:
    """One of ``policy_kwargs``.

    Args:
        kinds: What it may be: ``"flag"``, ``"whole"``, ``"number"``, ``"text"``,
            ``"list"``, ``"mapping"`` or ``"null"``, or several of them.
        required: Whether it must be there.

    Raises:
        ValueError: A kind that there is not, or none.
    """

    kinds: tuple[Kind, ...]
    required: bool

    def __init__(self, kinds: Kind | Collection[Kind], *, required: bool = False) -> None:
        asked: Any = kinds
        several = isinstance(asked, Collection) and not isinstance(asked, str)
        given: list[Any] = list(asked) if several else [asked]
        unknown = [kind for kind in given if kind not in _KINDS]
        if unknown or not given:
            raise InvalidValueError(
                f"kinds: {cut(repr(unknown[0]))}; allowed: {', '.join(_KINDS)}"
                if unknown
                else f"kinds: none; give at least one of {', '.join(_KINDS)}"
            )
        _set(self, kinds=tuple(kind for kind in _KINDS if kind in given))
        _set(self, required=as_flag(required, "required"))

    def __str__(self) -> str:
        """Returns it as an error would have it, such as ``number or null``."""
        return " or ".join("whole number" if kind == "whole" else kind for kind in self.kinds)


@dataclass(frozen=True, init=False)
class ObservationSpec:
    """What a policy expects of each observation, and of ``policy_kwargs``.

    Args:
        keys: What each key of an observation holds.
        extra_keys: Whether there may be other keys.
        policy_kwargs: What each policy keyword argument holds.
        extra_policy_kwargs: Whether there may be others.

    Raises:
        TypeError: Something is none of the above, or a key is no text.
        ValueError: There are more than 256 keys.

    Example:
        ```python
        ObservationSpec(
            {
                "observation.state": TensorSpec("float32", (7,)),
                "observation.images.front": TensorSpec("uint8", ("H", "W", 3)),
                "task": TextSpec(required=False),
            },
            policy_kwargs={"temperature": KwargSpec(["number", "null"])},
        )
        ```
    """

    keys: Mapping[str, ValueSpec]
    extra_keys: bool
    policy_kwargs: Mapping[str, KwargSpec]
    extra_policy_kwargs: bool

    def __init__(
        self,
        keys: Mapping[str, ValueSpec],
        *,
        extra_keys: bool = True,
        policy_kwargs: Mapping[str, KwargSpec] | None = None,
        extra_policy_kwargs: bool = True,
    ) -> None:
        _set(
            self,
            keys=_as_keys(keys, "keys", get_args(ValueSpec)),
            extra_keys=as_flag(extra_keys, "extra_keys"),
            policy_kwargs=_as_keys(policy_kwargs or {}, "policy_kwargs", (KwargSpec,)),
            extra_policy_kwargs=as_flag(extra_policy_kwargs, "extra_policy_kwargs"),
        )

    # Mappings have no hash.
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, observation: ObservationLike) -> ObservationSpec:
        """Returns the spec of observations that are like this one.

        Every key is required, with the dtype and the very shape that it has here. Use
        ``dataclasses.replace`` to change what it says, or take it as a draft.

        Args:
            observation: What a caller of the policy sends.

        Raises:
            TypeError, ValueError: It cannot be sent.
        """
        arrived = as_arrived(observation, "observation")
        return cls({key: _like(value, key) for key, value in arrived.items()})

    def as_dict(self) -> dict[str, Any]:
        """Returns it as JSON would have it; a shape's ``None`` is any size."""
        return {
            "keys": {key: _value_as_dict(value) for key, value in self.keys.items()},
            "extra_keys": self.extra_keys,
            "policy_kwargs": {
                key: {"kinds": list(value.kinds), "required": value.required}
                for key, value in self.policy_kwargs.items()
            },
            "extra_policy_kwargs": self.extra_policy_kwargs,
        }


def kind_of(spec: ValueSpec) -> str:
    """Returns what a key holds, in one word."""
    if isinstance(spec, NumberSpec):
        return "whole" if spec.whole else "number"
    return _KIND_OF_CLASS[type(spec)]


_KIND_OF_CLASS: dict[type[Any], str] = {TensorSpec: "tensor", TextSpec: "text", FlagSpec: "flag"}


def _value_as_dict(spec: ValueSpec) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": kind_of(spec), "required": spec.required}
    if isinstance(spec, TensorSpec):
        shown["dtypes"] = list(spec.dtypes)
        shown["shape"] = ["..." if size is ... else size for size in spec.shape]
    return shown


def _like(value: object, key: str) -> ValueSpec:
    if isinstance(value, str):
        return TextSpec()
    if isinstance(value, bool):
        return FlagSpec()
    if isinstance(value, (int, float)):
        return NumberSpec()
    if not isinstance(value, np.ndarray):
        raise UnsupportedTypeError(f"observation[{key!r}]: {value}, which cannot be sent")
    try:
        return TensorSpec(value.dtype, value.shape)
    except InvalidValueError as error:
        raise UnsupportedTypeError(f"observation[{key!r}]: {error.details()}") from None


def _set(instance: object, **attributes: object) -> None:
    """Fills what is frozen from then on."""
    for name, value in attributes.items():
        object.__setattr__(instance, name, value)


def cut(text: str, most: int = 100) -> str:
    """Returns text of others that is not too long for an error."""
    return text if len(text) <= most else f"{text[:most]}..."


def _spell(size: Dimension) -> str:
    return "..." if size is ... else "any" if size is None else str(size)


def _as_dtypes(given: Any) -> tuple[str, ...]:
    if given is None:
        return _NAMES
    several = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    names = {_as_dtype(each) for each in several}
    if not names:
        raise InvalidValueError(f"dtypes: none; supported: {SUPPORTED}")
    return tuple(name for name in _NAMES if name in names)


def _as_dtype(given: Any) -> str:
    try:
        name = None if given is None else np.dtype(given).newbyteorder("<").name
    except (TypeError, ValueError):
        name = None
    if name not in _NAMES:
        raise InvalidValueError(f"dtypes: {cut(repr(given))}; supported: {SUPPORTED}")
    return cast("str", name)


def _as_shape(given: Any) -> tuple[Dimension, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise UnsupportedTypeError(
            f"shape: {cut(repr(given))}; pass a tuple, such as (7,), and (..., ) for any shape"
        )
    if len(given) > _MAX_DIMENSIONS:
        raise InvalidValueError(
            f"shape: {len(given)} dimensions; at most {_MAX_DIMENSIONS} are allowed"
        )
    return tuple(_as_dimension(size, place) for place, size in enumerate(given))


def _as_dimension(size: Any, place: int) -> Dimension:
    if size is None or (size is ... and place == 0):
        return cast("Dimension", size)
    if isinstance(size, str):
        if 0 < len(size) <= _MAX_NAME and size.isprintable() and size not in ("any", "..."):
            return size
    elif not isinstance(size, (bool, np.bool_)):
        try:
            number = operator.index(size)
        except TypeError:
            number = -1
        if 0 <= number < 2**63:
            return number
    raise InvalidValueError(
        f"shape[{place}]: {cut(repr(size))}; allowed: a size of at least 0, None for any, "
        f"a name of up to {_MAX_NAME} characters, and ... as the first"
    )


def _as_keys(given: Any, name: str, classes: tuple[type[S], ...]) -> dict[str, S]:
    if not isinstance(given, Mapping):
        raise UnsupportedTypeError(f"{name}: {type(given).__name__}; pass a mapping")
    if len(given) > MAX_KEYS:
        raise InvalidValueError(f"{name}: {len(given)} of them; at most {MAX_KEYS} are allowed")
    for key, spec in given.items():
        if not isinstance(key, str):
            raise UnsupportedTypeError(
                f"{name}: {cut(repr(key))} is a {type(key).__name__}; pass a str"
            )
        check_text(key, f"a key of {name}")
        if not isinstance(spec, classes):
            allowed = ", ".join(each.__name__ for each in classes)
            raise UnsupportedTypeError(
                f"{name}[{cut(key)!r}]: {type(spec).__name__}; allowed: {allowed}, made with ()"
            )
    return dict(given)
