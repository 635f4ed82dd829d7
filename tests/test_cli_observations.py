# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Observations come from .npz files and JSON, and what is none is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Recorder, fails, says


def predicted(policy: Recorder) -> list[dict[str, Any]]:
    observations: list[dict[str, Any]] = policy.calls[-1][0]
    return observations


def test_an_npz_is_one_observation_whose_text_arrays_are_text(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "o.npz"
    np.savez(path, state=np.arange(3, dtype=np.float32), task=np.array("lift"), n=np.array(2))
    says(capsys, "predict", address, "--npz", str(path))
    (observation,) = predicted(policy)
    assert observation["task"] == "lift"
    assert observation["state"].dtype == np.float32
    assert observation["state"].tolist() == [0, 1, 2]
    assert (observation["n"].shape, observation["n"].item()) == ((), 2)


def test_json_has_plain_values_lists_and_arrays_of_a_given_dtype(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder
) -> None:
    says(
        capsys,
        *["predict", address, "--json"],
        """ {"task": "lift", "on": true, "n": 3, "x": 0.5, "ints": [[1, 2]], "floats": [1, 0.5],
        "bools": [true, false], "none": [],
        "image": {"dtype": "uint8", "data": [[0, 255]]}, "f": {"dtype": "float32", "data": 0.1},
        "mask": {"dtype": "bool", "data": [0, 1]}, "e": {"dtype": "uint8", "data": []}}""",
    )
    (observation,) = predicted(policy)
    plain = {key: observation[key] for key in ("task", "on", "n", "x")}
    assert plain == {"task": "lift", "on": True, "n": 3, "x": 0.5}
    arrays = {
        key: (value.dtype.name, value.tolist())
        for key, value in observation.items()
        if key not in plain
    }
    assert arrays == {
        "ints": ("int64", [[1, 2]]),
        "floats": ("float64", [1.0, 0.5]),
        "bools": ("bool", [True, False]),
        "none": ("float64", []),
        "image": ("uint8", [[0, 255]]),
        "f": ("float32", np.float32(0.1).item()),
        "mask": ("bool", [False, True]),
        "e": ("uint8", []),
    }


def test_an_npz_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(name: str) -> str:
        return fails(capsys, 1, "predict", "h", "--npz", str(tmp_path / name))

    np.save(tmp_path / "single.npy", np.zeros(1))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "objects.npz", a=np.array([None]))
    assert "cannot read" in said("missing.npz")
    assert "No such file or directory" in said("missing.npz")
    assert "it holds a single array without a key; write one with numpy.savez" in said("single.npy")
    for name in ("empty.npz", "cut.npz", "objects.npz"):
        assert f"{name} is no .npz file of plain arrays" in said(name)


def test_a_json_file_that_cannot_be_read_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "o.json"
    assert "JSON given as text begins with { or [" in fails(
        capsys, 1, "predict", "h", "--json", str(path)
    )
    path.write_text("nonsense")
    assert f"{path} is no JSON" in fails(capsys, 1, "predict", "h", "--json", str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "--json: a int is no observation; an object is one, a list of objects is a batch"),
        ('{"k": null}', "k: null is no value; leave the key out"),
        ('{"k": [[1], [2, 3]]}', "k: no array can be made of it: "),
        ('{"k": {"a": 1}}', 'an object must be {"dtype": ..., "data": ...}'),
        ('{"k": {"dtype": "float16", "data": [1]}}', "dtype 'float16'; supported: float32, "),
        ('{"k": {"dtype": "uint8", "data": [300]}}', "not every number of data is a uint8"),
        ('{"k": {"dtype": "int32", "data": [1.5]}}', "not every number of data is a int32"),
        ('{"k": {"dtype": "int64", "data": [NaN]}}', "not every number of data is a int64"),
        ('{"k": {"dtype": "float32", "data": ["1"]}}', "data is not made of numbers"),
        ('{"k": ["a"]}', "['k']: dtype str"),
        ("[]", "the batch is empty"),
        ('{"k": 9223372036854775808}', "['k']: 9223372036854775808 is beyond int64"),
    ],
)
def test_json_that_is_no_observation_is_one_line(
    capsys: pytest.CaptureFixture[str], nobody: str, text: str, said: str
) -> None:
    assert said in fails(capsys, 1, "predict", nobody, "--json", text)
