# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is called, right and wrong, by name: every process makes the same thing of it.

Imports nothing but numpy, so that it runs beside any version of anything.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
TEXT = "käse 🧀 \u0000 \n %41 ' \" \\ \u202e عربى"


# ---------------------------------------------------------------- telling what came


def describe(value: Any) -> Any:
    """Returns a value, with its exact type, as something that JSON can say."""
    if isinstance(value, np.ndarray):
        content = value.astype(value.dtype.newbyteorder("<")).tobytes(order="C")
        return {
            "type": type(value).__name__,
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "content": content.hex() if len(content) < 64 else hashlib.sha256(content).hexdigest(),
        }
    if isinstance(value, Mapping):
        items = sorted([describe(key)["value"], describe(item)] for key, item in value.items())
        return {"type": type(value).__name__, "items": items}
    if isinstance(value, (list, tuple)):
        return {"type": type(value).__name__, "items": [describe(item) for item in value]}
    if isinstance(value, float):
        return {"type": type(value).__name__, "value": value.hex()}
    return {"type": type(value).__name__, "value": value if value is None else str(value)}


# ---------------------------------------------------------------- arrays


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Returns one array for each way in which arrays can be out of the ordinary."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name in DTYPES:
        dtype = np.dtype(name)
        found[name] = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
        found[f"{name}, 0-d"] = np.array(1, dtype)
        found[f"{name}, empty"] = np.empty((0,), dtype)
        found[f"{name}, empty with shape"] = np.empty((3, 0, 2), dtype)
        found[f"{name}, every other"] = np.arange(20).astype(dtype)[::2]
        found[f"{name}, backwards"] = np.arange(7).astype(dtype)[::-1]
        found[f"{name}, Fortran order"] = np.asfortranarray(found[name])
        found[f"{name}, transposed"] = found[name].transpose(2, 0, 1)
        found[f"{name}, broadcast"] = np.broadcast_to(np.array(1, dtype), (3, 4))
        found[f"{name}, read-only"] = found[name].copy()
        found[f"{name}, read-only"].setflags(write=False)
    found["float32, special"] = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    found["float64, special"] = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324], np.float64)
    found["int64, extremes"] = np.array([INT64_MIN, INT64_MAX], np.int64)
    found["int32, extremes"] = np.array([-(2**31), 2**31 - 1], np.int32)
    found["16 dimensions"] = np.arange(2**16, dtype=np.int32).reshape((2,) * 16)
    found["long and flat"] = np.arange(300_000, dtype=np.float32).reshape(1, -1, 1)
    return found


def big_endian_arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Returns what only newer versions take."""
    return {name: np.arange(5).astype(np.dtype(name).newbyteorder(">")) for name in DTYPES[:4]}


def pictures(count: int, *shape: int) -> list[np.ndarray[Any, Any]]:
    """Returns that many different pictures."""
    size = math.prod(shape)
    return [
        (np.arange(size, dtype=np.uint32) * (2 * index + 7) >> 3).astype(np.uint8).reshape(shape)
        for index in range(count)
    ]


# ---------------------------------------------------------------- right calls


class Text(str, enum.Enum):
    """Text that says something else when it is asked for its str()."""

    GRIP = "close the gripper"


STATE = np.arange(8, dtype=np.float32)
ONE = {"observation.state": STATE}


def _one(**observation: Any) -> dict[str, Any]:
    return {"observations": [observation]}


def _kwargs(**policy_kwargs: Any) -> dict[str, Any]:
    return {"observations": [ONE], "policy_kwargs": policy_kwargs}


def _batch(size: int, *shape: int) -> dict[str, Any]:
    flat = pictures(2 * size, *shape)
    return {
        "observations": [
            {
                "observation.state": STATE + index,
                "observation.images.front": flat[2 * index],
                "observation.images.wrist": flat[2 * index + 1],
                "task": f"task {index}",
            }
            for index in range(size)
        ],
        "episode_ids": [f"episode-{index}" for index in range(size)],
    }


CALLS: dict[str, Callable[[], dict[str, Any]]] = {
    "arrays": lambda: {"observations": [arrays()]},
    "big-endian arrays": lambda: {"observations": [big_endian_arrays()]},
    "an empty observation": lambda: _one(),
    "text": lambda: _one(task="pick", empty="", odd=TEXT, long="ä" * 100_000),
    "text of an enum": lambda: _one(task=Text.GRIP),
    "numbers": lambda: _one(
        yes=True, no=False, zero=0, one=1, low=INT64_MIN, high=INT64_MAX, whole=2.0, third=1 / 3
    ),
    "special numbers": lambda: _one(
        nan=math.nan, inf=math.inf, minus=-math.inf, minus_zero=-0.0, tiny=5e-324
    ),
    "numpy numbers": lambda: _one(
        f16=np.float16(0.1), f32=np.float32(0.1), f64=np.float64(0.1), i8=np.int8(-3),
        u16=np.uint16(9), i64=np.int64(INT64_MIN), u64=np.uint64(7), yes=np.bool_(True)
    ),
    "lists that become arrays": lambda: _one(
        floats=[0.5, 1.5], ints=[[1, 2], [3, 4]], bools=(True, False), empty=[]
    ),
    "odd keys": lambda: _one(**{"": 1, "ключ": 2, "🤖": "x", "a b\n\t": 3, "x" * 1000: STATE}),
    "keys that are no text": lambda: {"observations": [{7: 1, 1.5: "x", None: STATE, True: 2}]},
    "other mappings": lambda: {
        "observations": (OrderedDict(a=1), {"a": 2}),
        "policy_kwargs": OrderedDict(b=OrderedDict(c=1)),
    },
    "different keys": lambda: {"observations": [{"a": 1}, {"b": "x"}, {}, {"c": STATE}]},
    "no kwargs": lambda: {"observations": [ONE]},
    "kwargs None": lambda: {"observations": [ONE], "policy_kwargs": None},
    "empty kwargs": lambda: {"observations": [ONE], "policy_kwargs": {}},
    "kwargs": lambda: _kwargs(
        none=None, yes=True, no=False, zero=0, low=INT64_MIN, high=INT64_MAX, half=0.5,
        nan=math.nan, inf=math.inf, text=TEXT, empty=""
    ),
    "numpy kwargs": lambda: _kwargs(
        f32=np.float32(0.1), f64=np.float64(0.1), i32=np.int32(-1), u8=np.uint8(255),
        yes=np.bool_(False)
    ),
    "nested kwargs": lambda: _kwargs(
        empty_list=[], empty_struct={}, mixed=[1, 2.0, "x", None, True, [], {}],
        tuples=((1, 2), (3,)), range=range(3),
        deep={"a": {"b": [{"c": [[{"d": None}]]}]}}, **{"": {"": {"": 0}}}
    ),
    "49 lists in one another": lambda: _kwargs(deep=_nested_lists(48)),
    "33 mappings in one another": lambda: _kwargs(deep=_nested_mappings(32)),
    "episode ids": lambda: {"observations": [ONE, ONE, ONE], "episode_ids": ["a", "", TEXT]},
    "episode ids in a tuple": lambda: {"observations": [ONE], "episode_ids": ("a",)},
    "the same episode twice": lambda: {"observations": [ONE, ONE], "episode_ids": ["a", "a"]},
    "numbers as episode ids": lambda: {"observations": [ONE, ONE], "episode_ids": [7, 8]},
    "episode ids None": lambda: {"observations": [ONE], "episode_ids": None},
    "a batch of 16 with two cameras": lambda: _batch(16, 224, 224, 3),
    "200 observations": lambda: {
        "observations": [{"observation.state": STATE + index, "i": index} for index in range(200)]
    },
    "a request of 40 MB": lambda: _batch(5, 1154, 1154, 3),
}  # fmt: skip
"""Arguments of `predict_action`."""


def _nested_lists(depth: int) -> Any:
    return [_nested_lists(depth - 1)] if depth else []


def _nested_mappings(depth: int) -> Any:
    return {"a": _nested_mappings(depth - 1)} if depth else {}


PARTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "state": {"state": STATE},
    "state as a list": {"state": [0.5, 1.5]},
    "task": {"task_description": TEXT},
    "number as task": {"task_description": 7},
    "everything": {
        "state": STATE,
        "images": {"front": pictures(1, 8, 8, 3)[0], "observation.depth": np.ones((2, 2))},
        "task_description": "pick",
        "policy_kwargs": {"steps": 3},
        "episode_id": "a",
    },
}
"""Arguments of `predict_action_from_parts`."""

RESETS: dict[str, dict[str, Any]] = {
    "all": {},
    "None": {"episode_ids": None},
    "empty list": {"episode_ids": []},
    "one": {"episode_ids": ["a"]},
    "several": {"episode_ids": ("a", "", TEXT, "a")},
    "numbers": {"episode_ids": [7]},
}
"""Arguments of `reset`."""


# ---------------------------------------------------------------- what policies do


def _array(name: str) -> Any:
    return arrays()[name]


def _raise(error: BaseException) -> Any:
    raise error


class OwnError(Exception):
    """An error that no library knows."""


ACTIONS: dict[str, Callable[[], Any]] = {
    **{f"array: {name}": functools.partial(_array, name) for name in arrays()},
    "big-endian": lambda: big_endian_arrays()["float32"],
    "ordinary": lambda: np.arange(14, dtype=np.float32).reshape(2, 7),
    "5 MB": lambda: np.arange(1_250_000, dtype=np.float32),
    "40 MB": lambda: np.arange(10_000_000, dtype=np.float32).reshape(10, -1),
    "over the limit": lambda: np.zeros(65 * 2**20, np.uint8),
    "list of floats": lambda: [[0.5, 1.5]],
    "float": lambda: 0.5,
    "int": lambda: 7,
    "bool": lambda: True,
    "None": lambda: None,
    "text": lambda: "left",
    "mapping": lambda: {"action": [1.0]},
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "float16": lambda: np.zeros(2, np.float16),
    "uint16": lambda: np.zeros(2, np.uint16),
    "complex": lambda: np.zeros(2, np.complex128),
    "object": lambda: np.array([None, {}], object),
    "raises TypeError": lambda: _raise(TypeError("no such camera: ü\n100%")),
    "raises ValueError": lambda: _raise(ValueError("the state has 7 numbers")),
    "raises a kind of ValueError": lambda: "\ud800".encode(),
    "raises KeyError": lambda: _raise(KeyError("task")),
    "raises RuntimeError": lambda: _raise(RuntimeError("out of memory: ü\n100%")),
    "raises NotImplementedError": lambda: _raise(NotImplementedError("later")),
    "raises its own": lambda: _raise(OwnError("broken")),
    "raises without a text": lambda: _raise(RuntimeError()),
    "raises ValueError without a text": lambda: _raise(ValueError()),
    "raises TimeoutError": lambda: _raise(TimeoutError("the camera is late")),
    "raises ConnectionError": lambda: _raise(ConnectionError("the camera is gone")),
    "raises with a long text": lambda: _raise(RuntimeError("x" * 20_000)),
    "raises AssertionError": lambda: _raise(AssertionError("impossible")),
    "raises SystemExit": lambda: _raise(SystemExit(3)),
    "raises KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
}  # fmt: skip
"""What `predict_action`, or `reset`, returns or raises."""


class Policy:
    """A policy that keeps what it gets and does what it is told."""

    def __init__(self) -> None:
        self.does: Callable[[], Any] = ACTIONS["ordinary"]
        self.seen: list[Any] = []
        # For calls that shall take as long as the test wants.
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def _work(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        self.seen.append([method, describe(arguments), describe(keywords)])
        self.begun.release()
        if not self.go_on.wait(60):
            raise RuntimeError("the test forgot this policy")
        return self.does()

    def predict_action(
        self, observations: Any, *, policy_kwargs: Any = "absent", episode_ids: Any = None
    ) -> Any:
        return self._work(
            "predict_action", observations, policy_kwargs=policy_kwargs, episode_ids=episode_ids
        )

    def reset(self, episode_ids: Any = None) -> None:
        self._work("reset", episode_ids=episode_ids)

    def model_info(self) -> Any:
        return "interop 🤖"


class PolicyWithoutEpisodes(Policy):
    """A policy that knows nothing of episodes."""

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:  # type: ignore[override]  # what it is about
        return self._work("predict_action", observations, policy_kwargs=policy_kwargs)

    def reset(self) -> None:  # type: ignore[override]  # what it is about
        self._work("reset")


class PolicyWithoutInfo(Policy):
    """A policy that fails to say what it is."""

    def model_info(self) -> Any:
        raise RuntimeError("no checkpoint")


class PolicyWithOddInfo(Policy):
    """A policy that says what it is in something other than text."""

    def model_info(self) -> Any:
        return {"name": "odd"}


POLICIES: dict[str, type[Policy]] = {
    "ordinary": Policy,
    "without episodes": PolicyWithoutEpisodes,
    "without info": PolicyWithoutInfo,
    "with odd info": PolicyWithOddInfo,
}


# ---------------------------------------------------------------- wrong calls


class WithItems:
    """A mapping in all but its type, as other libraries have them."""

    def items(self) -> Any:
        return ONE.items()


def _predict(*observations: Any, **keywords: Any) -> Callable[[Any], Any]:
    return lambda client: client.predict_action(list(observations), **keywords)


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "observation: float16": _predict({"a": np.zeros(2, np.float16)}),
    "observation: uint16": _predict({"a": np.zeros(2, np.uint16)}),
    "observation: complex": _predict({"a": np.zeros(2, np.complex64)}),
    "observation: object array": _predict({"a": np.array([None, {}], object)}),
    "observation: array of text": _predict({"a": np.array(["x"])}),
    "observation: datetime": _predict({"a": np.array([0], "datetime64[s]")}),
    "observation: None": _predict({"a": None}),
    "observation: bytes": _predict({"a": b"x"}),
    "observation: mapping": _predict({"a": {"b": 1}}),
    "observation: set": _predict({"a": {1, 2}}),
    "observation: ragged list": _predict({"a": [[1], [1, 2]]}),
    "observation: object": _predict({"a": object()}),
    "observation: int beyond int64": _predict({"a": 2**63}),
    "observation: int below int64": _predict({"a": -(2**63) - 1}),
    "observation: uint64 beyond int64": _predict({"a": np.uint64(2**63)}),
    "observation: colliding keys": _predict({1: 0, "1": 0}),
    "observation: surrogate in a key": _predict({"\ud800": 0}),
    "observation: surrogate in text": _predict({"a": "\ud800"}),
    "observations: none": _predict(),
    "observations: a mapping": lambda client: client.predict_action(ONE),
    "observations: an array": lambda client: client.predict_action(np.zeros((2, 3))),
    "observations: None": lambda client: client.predict_action(None),
    "observations: a generator": lambda client: client.predict_action(item for item in [ONE]),
    "observations: values of a mapping": lambda client: client.predict_action(
        {"arm": ONE}.values()
    ),
    "observations: an array of mappings": lambda client: client.predict_action(
        np.array([ONE, ONE], object)
    ),
    "observations: something with items()": _predict(WithItems()),
    "observations: numbers": _predict(1, 2),
    "observations: text": lambda client: client.predict_action("ab"),
    "kwargs: set": _predict(ONE, policy_kwargs={"a": {1}}),
    "kwargs: bytes": _predict(ONE, policy_kwargs={"a": b"x"}),
    "kwargs: array": _predict(ONE, policy_kwargs={"a": np.zeros(2)}),
    "kwargs: complex": _predict(ONE, policy_kwargs={"a": 1j}),
    "kwargs: object in a list": _predict(ONE, policy_kwargs={"a": [object()]}),
    "kwargs: int beyond int64": _predict(ONE, policy_kwargs={"a": [{"b": 2**63}]}),
    "kwargs: colliding keys": _predict(ONE, policy_kwargs={1: 0, "1": 0}),
    "kwargs: colliding keys within": _predict(ONE, policy_kwargs={"a": [{1: 0, "1": 0}]}),
    "kwargs: a list": _predict(ONE, policy_kwargs=[("a", 1)]),
    "kwargs: text": _predict(ONE, policy_kwargs="ab"),
    "kwargs: surrogate": _predict(ONE, policy_kwargs={"a": "\ud800"}),
    "kwargs: 50 lists": lambda client: client.predict_action(
        [ONE], policy_kwargs={"a": _nested_lists(49)}
    ),
    "kwargs: 34 mappings": lambda client: client.predict_action(
        [ONE], policy_kwargs={"a": _nested_mappings(33)}
    ),
    "kwargs: endless": lambda client: client.predict_action([ONE], policy_kwargs=_endless()),
    "episode ids: too few": _predict(ONE, ONE, episode_ids=["a"]),
    "episode ids: too many": _predict(ONE, episode_ids=["a", "b"]),
    "episode ids: empty list": _predict(ONE, episode_ids=[]),
    "episode ids: one text": _predict(ONE, episode_ids="a"),
    "episode ids: one text as long as the batch": _predict(ONE, ONE, episode_ids="ab"),
    "episode ids: surrogate": _predict(ONE, episode_ids=["\ud800"]),
    "episode ids: number": _predict(ONE, episode_ids=3),
    "reset: one text": lambda client: client.reset(episode_ids="ab"),
    "reset: number": lambda client: client.reset(episode_ids=3),
    "parts: text as state": lambda client: client.predict_action_from_parts(state="x"),
    "parts: float16 image": lambda client: client.predict_action_from_parts(
        images={"front": np.zeros(2, np.float16)}
    ),
    "parts: colliding images": lambda client: client.predict_action_from_parts(
        images={"a": np.zeros(2), "observation.images.a": np.zeros(2)}
    ),
    "timeout: 0": _predict(ONE, timeout=0),
    "timeout: negative": _predict(ONE, timeout=-1),
    "timeout: nan": _predict(ONE, timeout=math.nan),
    "timeout: infinite": _predict(ONE, timeout=math.inf),
    "timeout: text": _predict(ONE, timeout="x"),
    "request over the limit": lambda client: client.predict_action(
        [{"a": np.zeros(65 * 2**20, np.uint8)}]
    ),
}
"""Calls that a client gets wrong."""


def _endless() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    return loop
