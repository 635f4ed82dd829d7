# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy that is watched is called as ever, and what was received is kept as it came."""

from __future__ import annotations

import json
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from hosts import LOOPBACK

from praxis_remote import PolicyClient, PolicyServer
from praxis_remote.calls import PREDICT
from praxis_remote.codec import encode_predict_request
from praxis_remote.errors import HandlerError
from praxis_remote.inspect import Inspector
from praxis_remote.inspect.copies import MAX_KEYS, KeptArray, KeptScalar, KeptText, keep_observation
from praxis_remote.inspect.descriptions import describe, to_json
from praxis_remote.inspect.episodes import Episode, Episodes
from praxis_remote.inspect.watching import WatchedHandler
from praxis_remote.server import check_handler
from praxis_remote.testing import GatedHandler, RecordingHandler

IMAGE = "observation.images.front"


class Watched:
    """A policy, its watched face, and what was kept."""

    def __init__(self, policy: Any, max_episodes: int = 64, max_bytes: int = 2**28) -> None:
        self.now = 0.0
        self.episodes = Episodes(max_episodes, max_bytes)
        self.handler = WatchedHandler(policy, self.episodes, lambda: self.now)

    def predict(self, *observations: Any, **kwargs: Any) -> Any:
        return self.handler.predict_action(list(observations), policy_kwargs={}, **kwargs)

    def labels(self) -> list[str]:
        return [episode.label for episode in self.episodes.all()]

    def episode(self, label: str) -> Episode:
        (found,) = (each for each in self.episodes.all() if each.label == label)
        return found

    def array(self, label: str, key: str) -> Any:
        kept = self.episode(label).latest.observation[key]
        assert isinstance(kept, KeptArray)
        return kept.data

    def detail(self, label: str) -> Any:
        number = self.episode(label).number
        return json.loads(to_json(describe(self.episodes, number, self.now)))["chosen"]


class OldPolicy:
    """A policy without episodes, with methods that are optional."""

    def predict_action(self, observations: Any, *, policy_kwargs: Any = None) -> Any:
        return np.zeros((len(observations), 2), np.float32)

    def reset(self) -> None: ...

    def model_info(self) -> str:
        return "old"

    def warmup(self) -> str:
        return "warm"


def test_a_policy_without_episode_ids_is_called_without_them() -> None:
    watched = Watched(OldPolicy())
    check_handler(watched.handler)
    assert watched.predict({"x": 1}).shape == (1, 2)
    with pytest.raises(TypeError, match="episode_ids"):
        watched.predict({"x": 1}, episode_ids=("a",))
    watched.handler.reset()


def test_optional_methods_are_the_policy_s_and_missing_ones_stay_missing() -> None:
    handler = Watched(OldPolicy()).handler
    assert handler.warmup() == "warm"
    assert handler.model_info() == "old"
    assert not hasattr(handler, "is_ready")


def test_arguments_come_as_they_are_and_the_action_goes_back_itself() -> None:
    action = np.zeros((1, 3))
    policy = RecordingHandler(lambda _: action)
    observations, kwargs, ids = [{"x": np.zeros(3)}], {"k": [1]}, ("a",)
    watched = Watched(policy)
    assert (
        watched.handler.predict_action(observations, policy_kwargs=kwargs, episode_ids=ids)
        is action
    )
    (prediction,) = policy.predictions
    assert prediction.observations is observations
    assert prediction.policy_kwargs is kwargs
    assert prediction.episode_ids is ids


def test_nothing_refers_to_the_action_or_the_arrays_once_the_policy_has_answered() -> None:
    image, action = np.zeros((64, 64, 3), np.uint8), np.zeros((1, 3))
    watched = Watched(RecordingHandler(lambda _: action))
    before = sys.getrefcount(image), sys.getrefcount(action)
    policy: Any = watched.handler
    policy.predict_action([{IMAGE: image}])
    policy.predictions.clear()
    assert (sys.getrefcount(image), sys.getrefcount(action)) == before


def test_what_the_policy_writes_into_its_arrays_is_not_what_it_received() -> None:
    def scribble(prediction: Any) -> Any:
        for array in prediction.observations[0].values():
            array[...] = 9
        action = np.arange(3.0)[None]
        later.append(action)
        return action

    later: list[Any] = []
    watched = Watched(RecordingHandler(scribble))
    watched.predict(
        {IMAGE: np.ones((4, 4, 3), np.uint8), "s": np.ones(2), "big": np.ones(50_000)},
        episode_ids=("a",),
    )
    later[0][...] = 7
    assert {key: watched.array("a", key).max() for key in (IMAGE, "s", "big")} == {
        IMAGE: 1,
        "s": 1,
        "big": 1,
    }
    assert watched.detail("a")["action"]["rows"] == [[0, 1, 2]]


def test_an_observation_is_seen_while_the_policy_still_works_on_it() -> None:
    policy = GatedHandler()
    watched = Watched(policy)
    thread = threading.Thread(target=lambda: watched.predict({"x": 5}, episode_ids=("a",)))
    thread.start()
    policy.wait_begun()
    detail = watched.detail("a")
    assert (detail["working"], detail["values"][0]["values"]) == (True, [5])
    policy.let_end()
    thread.join()
    assert not watched.detail("a")["working"]


def test_what_the_policy_raises_goes_on_and_is_seen() -> None:
    def fail(_: Any) -> Any:
        raise ValueError("no such <b>task</b>")

    watched = Watched(RecordingHandler(fail))
    with pytest.raises(ValueError, match="no such"):
        watched.predict({"x": 1}, episode_ids=("a",))
    assert watched.detail("a")["error"] == "ValueError: no such <b>task</b>"


class Unlike:
    """Nothing that can be looked at."""

    def items(self) -> Any:
        raise RuntimeError("look away")

    def __len__(self) -> int:
        return 1


def test_what_cannot_be_shown_fails_no_call_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(RecordingHandler(lambda _: object()))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            watched.predict(Unlike())
            watched.predict({"x": 1})
    assert [record.message for record in caplog.records] == [
        "cannot show a call; the policy is not concerned"
    ]


def test_each_episode_has_its_part_of_the_batch_and_of_the_action() -> None:
    action = np.arange(6, dtype=np.float32).reshape(2, 3)
    watched = Watched(RecordingHandler(lambda _: action))
    watched.predict({"x": 10}, {"x": 20}, episode_ids=("a", "b"))
    details = [watched.detail(label) for label in "ab"]
    assert [detail["values"][0]["values"] for detail in details] == [[10], [20]]
    assert [detail["action"]["rows"] for detail in details] == [[[0, 1, 2]], [[3, 4, 5]]]
    assert [(detail["index"], detail["batch"]) for detail in details] == [(0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("action", "shape"),
    [
        (np.zeros((3, 7)), [3, 7]),
        (np.float32(3), []),
        ([[1, 2]], [2]),
        (np.zeros((1, 0)), [0]),
        (np.zeros((1, 500, 200)), [500, 200]),
        (np.zeros((1, 2, 3, 4)), [2, 3, 4]),
    ],
    ids=["no batch", "scalar", "list", "empty", "long", "deep"],
)
def test_an_action_of_any_shape_is_described(action: Any, shape: list[int]) -> None:
    watched = Watched(RecordingHandler(lambda _: action))
    watched.predict({"x": 1}, episode_ids=("a",))
    described = watched.detail("a")["action"]
    assert described["shape"] == shape
    assert len(described["rows"]) <= 128


def test_a_camera_or_state_that_stands_still_is_stale_and_one_that_moves_is_not() -> None:
    watched = Watched(RecordingHandler())
    frozen = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    for step in range(4):
        moving = frozen.copy()
        moving[31, 31, 2] = step
        observation = {IMAGE: frozen, "observation.images.b": moving, "observation.state": [1.0]}
        observation["observation.state"] = np.array([1.0, np.nan])
        watched.predict({**observation, "goal": np.ones(3)}, episode_ids=("a",))
    detail = watched.detail("a")
    assert {value["key"]: value["flags"] for value in detail["values"]} == {
        IMAGE: ["stale: the same for 4 steps"],
        "observation.images.b": [],
        "observation.state": ["stale: the same for 4 steps", "1 NaN or infinite"],
        "goal": [],
    }
    assert detail["stale"]
    watched.handler.reset(episode_ids=("a",))
    watched.predict(observation, episode_ids=("a",))
    assert not watched.detail("a")["stale"]


def test_the_course_of_numbers_is_remembered_until_a_reset() -> None:
    watched = Watched(RecordingHandler())
    for step in range(300):
        watched.now = step / 10
        observation = {"s": np.array([step, -step], np.float32), "n": step, "flag": step > 200}
        watched.predict(observation, episode_ids=("a",))
    detail = watched.detail("a")
    course = list(range(180, 300))
    assert [value["traces"] for value in detail["values"]] == [
        [course, [-step for step in course]],
        [course],
        [[float(step > 200) for step in course]],
    ]
    assert detail["steps"] == 300
    assert detail["rate"] == pytest.approx(10)
    watched.handler.reset()
    assert (watched.detail("a")["steps"], watched.detail("a")["rate"]) == (0, None)
    watched.predict({"other": 1}, episode_ids=("a",))
    assert watched.detail("a")["values"][0]["traces"] == [[1]]


def test_beyond_the_number_of_episodes_those_are_forgotten_that_were_seen_longest_ago() -> None:
    watched = Watched(RecordingHandler(), max_episodes=3)
    for label in ("a", "b", "c", "a", "d", "e"):
        watched.predict({"x": 1}, episode_ids=(label,))
    assert watched.labels() == ["a", "d", "e"]


def test_a_batch_beyond_the_number_of_episodes_is_shown_in_part() -> None:
    watched = Watched(RecordingHandler(), max_episodes=3)
    watched.predict(*({"x": 1} for _ in range(9)), episode_ids=tuple("abcdefghi"))
    assert watched.labels() == ["a", "b", "c"]
    assert watched.detail("a")["action"]["shape"] == [1]


def test_beyond_the_bytes_of_all_copies_episodes_are_forgotten() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    watched = Watched(RecordingHandler(), max_bytes=3 * image.nbytes + 1000)
    for step in range(40):
        watched.predict({IMAGE: image + step}, episode_ids=(f"{step % 10}",))
        assert len(watched.labels()) <= 3
    assert len(watched.labels()) == 3


def test_of_one_observation_only_so_much_is_kept() -> None:
    large = np.zeros((640, 640, 3), np.float64)
    kept = keep_observation({f"observation.images.{n}": large for n in range(3)})[0]
    copies = [each.data for each in kept.values() if isinstance(each, KeptArray)]
    assert [data is not None for data in copies] == [True, False, False]
    text, number = keep_observation({"t": "x" * 10**6, "n": 3})[0].values()
    assert isinstance(text, KeptText)
    assert (len(text.text), text.length) == (4000, 10**6)
    assert number == KeptScalar(3)
    assert len(keep_observation(dict.fromkeys(map(str, range(999)), 1))[0]) == MAX_KEYS


def test_long_names_are_cut_and_stay_apart() -> None:
    watched = Watched(RecordingHandler())
    ids = ("x" * 10**6, "x" * 10**6 + "y")
    watched.predict({"k" * 10**6: 1}, {"k": 1}, episode_ids=ids)
    assert len(watched.labels()) == 2
    assert max(map(len, watched.labels())) < 250
    watched.handler.reset(episode_ids=ids[:1])
    assert [episode.steps for episode in watched.episodes.all()] == [0, 1]


def test_nothing_refers_to_a_long_name_once_it_is_seen() -> None:
    class Name(str):
        pass

    name = Name("observation.images." + "k" * 10**6)
    seen = weakref.ref(name)
    kept, _ = keep_observation({name: np.zeros((4, 4, 3), np.uint8)})
    (image,) = kept.values()
    assert isinstance(image, KeptArray)
    assert image.layout is not None
    del name
    assert seen() is None


def test_policy_kwargs_are_copied_as_far_as_they_go() -> None:
    kwargs: Any = {"many": list(range(10**5)), "t": 0.1}
    deepest: Any = {}
    deep = deepest
    for _ in range(40):
        deep["d"] = deep = {}
    watched = Watched(RecordingHandler())

    def shown_of(kwargs: Any) -> Any:
        watched.handler.predict_action([{"x": 1}], policy_kwargs=kwargs, episode_ids=("a",))
        return json.loads(watched.detail("a")["kwargs"])

    assert len(shown_of(kwargs)["many"]) < 300
    shown = shown_of({"deep": deepest, "big": 2**60, "nan": float("nan")})
    assert shown["big"] == str(2**60)
    assert shown["nan"] == "nan"
    assert str(shown["deep"]).count("d") == 16


def predict_in_a_session(server: PolicyServer) -> None:
    with PolicyClient(server.host, server.port, timeout=20, session_id="robot-7") as client:
        client.predict_action([{"x": 1}, {"x": 2}])


def predict_without_one(server: PolicyServer) -> None:
    request = b"".join(encode_predict_request([{"x": 1}, {"x": 2}], None, None))
    with grpc.insecure_channel(server.address) as channel:
        channel.unary_unary(PREDICT.path, bytes, bytes)(request, timeout=20)


@pytest.mark.parametrize(
    ("predict", "name"),
    [(predict_in_a_session, lambda peer: "robot-7"), (predict_without_one, lambda peer: peer)],
    ids=["session", "peer"],
)
def test_without_ids_an_episode_goes_by_its_caller_and_its_place(
    predict: Callable[[PolicyServer], None], name: Callable[[str], str]
) -> None:
    with (
        Inspector() as inspector,
        PolicyServer(inspector.watch(RecordingHandler()), host=LOOPBACK, port=0) as server,
    ):
        predict(server)
        described = describe(inspector.episodes, None, 0.0)
        detail = described["chosen"]
        labels = [row["label"] for row in described["episodes"]]
    caller = name(detail["peer"])
    assert labels == [f"{caller} [0]", f"{caller} [1]"]
    phases = detail["phases"]
    assert list(phases) == ["receive", "decode", "queue", "infer", "total"]
    assert min(phases.values()) > 0


def test_a_served_policy_s_errors_reach_the_caller_as_ever() -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("out of memory")

    with (
        Inspector() as inspector,
        PolicyServer(inspector.watch(RecordingHandler(fail)), port=0) as server,
        PolicyClient("localhost", server.port, timeout=20) as client,
        pytest.raises(HandlerError, match="out of memory"),
    ):
        client.predict_action([{"x": 1}])
