# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Finds a policy by its name in the user's code, and makes it.

What the user's code raises on the way is told in one line; the exception itself is
the error's ``__cause__``, for those who want its traceback. Nothing here listens,
prints, or knows on which thread it runs.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import traceback
from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple, cast

from ..errors import InvalidValueError
from ..protocol import PolicyHandler
from ..server import check_handler

__all__ = ["KwargsRefusedError", "LoadError", "PolicyCodeError", "Target", "load"]

_MAX_TEXT = 300


class LoadError(Exception):
    """A target that is no policy.

    Attributes:
        target: What was asked for.
        reason: Why it cannot be served, and what to do.
    """

    def __init__(self, target: Target, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


class KwargsRefusedError(LoadError):
    """Arguments for something that was made already."""


class PolicyCodeError(LoadError):
    """The user's code raised, while it was imported or made the policy.

    Attributes:
        doing: What it was about to do.
        place: ``file:line`` where it raised; None when no line of it ran.
    """

    def __init__(self, target: Target, doing: str, error: BaseException) -> None:
        self.doing = doing
        self.place = _place(error)
        where = "" if self.place is None else f", raised at {self.place}"
        super().__init__(target, f"{doing} failed with {_in_one_line(error)}{where}")


class Target(NamedTuple):
    """Where a policy is found: ``module:attribute``, both with dots if need be."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Returns the target in ``my_pkg.my_mod:MyPolicy``.

        Raises:
            InvalidValueError: The text has another form.
        """
        module, _, attribute = text.partition(":")
        form = "write MODULE:NAME with dots, such as my_pkg.my_mod:MyPolicy"
        if "/" in module or module.endswith(".py"):
            dotted = module.removesuffix(".py").strip("./").replace("/", ".")
            raise InvalidValueError(
                f"{text!r} names a file; {form}, here perhaps {dotted}:{attribute or 'MyPolicy'}"
            )
        names = [*module.split("."), *attribute.split(".")]
        if not all(name.isidentifier() for name in names):
            raise InvalidValueError(f"{text!r} is no target; {form}")
        return cls(module, attribute)


def load(target: Target, kwargs: Mapping[str, object]) -> PolicyHandler:
    """Imports a target and returns the policy that it is or makes.

    A class or a function is called with the arguments; an object with the methods
    of a policy is taken as it is.

    Raises:
        LoadError: There is no such thing, or it is not a policy.
        KwargsRefusedError: It is an object already, and there are arguments for it.
        PolicyCodeError: Its code raised.
    """
    found = _find(target)
    if inspect.isclass(found) or (callable(found) and not _is_policy(found)):
        found = _make(target, found, kwargs)
    elif kwargs:
        raise KwargsRefusedError(
            target,
            f"is a {type(found).__name__} that is made already and takes no arguments; "
            f"leave out {', '.join(kwargs)}, or name a class or a function",
        )
    try:
        check_handler(found)
    except TypeError as error:
        raise LoadError(target, str(error)) from None
    return cast("PolicyHandler", found)


def _is_policy(found: object) -> bool:
    try:
        check_handler(found)
    except TypeError:
        return False
    return True


# ---------------------------------------------------------------- import


def _find(target: Target) -> object:
    try:
        module = importlib.import_module(target.module)
    # A module may raise anything, SystemExit included.
    except BaseException as error:
        if _is_missing(target.module, error):
            raise LoadError(
                target,
                f"{error}; run this in the folder that holds it, or install its package here",
            ) from None
        raise PolicyCodeError(target, f"importing {target.module}", error) from error
    try:
        return reduce(_get, target.attribute.split("."), cast("object", module))
    except _MissingError as error:
        raise LoadError(target, str(error)) from None
    except BaseException as error:
        raise PolicyCodeError(target, f"reading {target.attribute}", error) from error


def _is_missing(module: str, error: BaseException) -> bool:
    """Tells a target that is not there from one that misses something else."""
    return (
        isinstance(error, ModuleNotFoundError)
        and error.name is not None
        and f"{module}.".startswith(f"{error.name}.")
    )


class _MissingError(Exception):
    """A name that its owner lacks."""


def _get(owner: object, name: str) -> object:
    try:
        return cast("object", getattr(owner, name))
    except AttributeError:
        close = difflib.get_close_matches(name, dir(owner), n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        kind = "module" if inspect.ismodule(owner) else "class"
        label = getattr(owner, "__name__", type(owner).__name__)
        file = getattr(owner, "__file__", None)
        origin = f" ({file})" if file else ""
        raise _MissingError(f"the {kind} {label}{origin} has no {name}{meant}") from None


# ---------------------------------------------------------------- construction


def _make(target: Target, factory: object, kwargs: Mapping[str, object]) -> object:
    assert callable(factory)
    try:
        return cast("object", factory(**kwargs))
    except BaseException as error:
        if isinstance(error, TypeError) and _no_line_ran(error):
            given = ", ".join(kwargs) or "none"
            raise LoadError(
                target, f"{_flat(str(error))}; arguments given with --kwarg: {given}"
            ) from None
        raise PolicyCodeError(target, f"calling {target.attribute}", error) from error


def _no_line_ran(error: BaseException) -> bool:
    """Tells whether the call itself was refused: the arguments do not fit."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


# ---------------------------------------------------------------- text


def _in_one_line(error: BaseException) -> str:
    text = _flat(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _flat(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MAX_TEXT else f"{flat[:_MAX_TEXT]}..."


def _place(error: BaseException) -> str | None:
    """Returns where an exception was raised, Python's own import machinery aside."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}"
    places = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen importlib")
    ]
    return places[-1] if places else None
