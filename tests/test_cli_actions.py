# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""An action is printed and written as it was asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import ERROR, Recorder, says

from praxis_remote import cli


def test_the_action_is_printed_readably_with_the_latency_on_stderr(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert cli.main(["predict", address, "--json", "{}"]) == 0
    out, err = capsys.readouterr()
    assert out == "shape (1, 2), dtype float32\n[[1.5, 2. ]]\n"
    assert re.fullmatch(r"\d+\.\d ms, connecting included\n", err)


def test_the_action_is_printed_as_json_on_demand(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    out = says(capsys, "predict", address, "--json", "{}", "--format", "json")
    assert json.loads(out) == {"shape": [1, 2], "dtype": "float32", "data": [[1.5, 2.0]]}


def test_the_action_is_written_to_exactly_the_file_that_was_named(
    capsys: pytest.CaptureFixture[str], address: str, policy: Recorder, tmp_path: Path
) -> None:
    path = tmp_path / "action"
    says(capsys, "predict", address, "--json", "{}", "--output", str(path))
    with path.open("rb") as file:
        written = np.load(file)
    assert written.dtype == np.float32
    assert np.array_equal(written, policy.action)


def test_an_action_that_cannot_be_written_is_still_printed(
    capsys: pytest.CaptureFixture[str], address: str, tmp_path: Path
) -> None:
    assert cli.main(["predict", address, "--json", "{}", "--output", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("shape (1, 2)")
    assert err == f"{ERROR}cannot write {tmp_path}: Is a directory\n"
