# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A short run of what `make fuzz` does for long, and proof that it finds what is there to find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import block

from fuzz import __main__ as program
from fuzz import corpus
from fuzz.conversation import Conversation, pack, unpack
from fuzz.fields import kind_of, parse, write
from fuzz.frames import PREFACE, SETTINGS, Frame
from fuzz.growth import Growth
from fuzz.messages import Messages
from fuzz.messages import pack as message_case
from fuzz.run import Session
from fuzz.server import Server
from fuzz.target import Finding
from fuzz.targets import TARGETS
from fuzz.tensors import Tensors
from praxis_remote import tensors
from praxis_remote.http2 import Listener
from praxis_remote.http2.streams import Processor
from praxis_remote.wire import reader, unknown

INPUTS = {"messages": 800, "tensors": 300, "growth": 80, "server": 40, "client": 40}


@pytest.fixture
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    target = TARGETS[request.param]()
    yield Session(target, seed=1, crashes=tmp_path)
    target.close()


@pytest.mark.parametrize("session", TARGETS, indirect=True)
def test_the_corpus_and_the_first_cases_of_a_seed_fail_nowhere(session: Session) -> None:
    session.read_corpus()
    assert session.inputs > 3
    session.run(lambda count: count == INPUTS[session.target.name])
    assert [str(failure) for failure in session.failures] == []
    assert len(session.outcomes) > 5


# ---------------------------------------------------------------- finding what is planted


def found(target: Any, seed: int, inputs: int, folder: Path) -> Session:
    """Runs until something is found."""
    session = Session(target, seed=seed, crashes=folder)
    session.read_corpus()
    session.run(lambda count: bool(session.failures) or count == inputs)
    target.close()
    return session


def forget_to_merge(self: Any, item: Any, table: Any) -> Any:
    message, attributes = table.blank.new()
    if item.repeated:
        self._top.attributes[item.name].append(message)
    elif not item.mapped:
        if item.group is not None:
            self._select(item, item.group)
        self._top.attributes[item.name] = message
    return attributes


@pytest.mark.parametrize(
    ("place", "name", "planted"),
    [
        (unknown, "check_depth", lambda depth, position: None),
        (reader, "check_depth", lambda depth, position: None),
        (reader._Reader, "_attributes_for", forget_to_merge),
        (reader, "skip", lambda buffer, position, end, tag, depth: end),
    ],
    ids=["depth of groups", "depth of messages", "merging", "ends of unknown fields"],
)
def test_a_reader_that_forgets_a_rule_is_found(
    place: Any, name: str, planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, planted)
    assert found(Messages(), 1, 5000, tmp_path).failures


def test_bools_that_are_not_checked_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "_check_bools", lambda data, name: None)
    assert found(Tensors(), 1, 2000, tmp_path).failures


def test_work_that_grows_faster_than_its_input_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = reader._Reader._keep_unknown

    def copy_all(self: Any, content: Any) -> None:
        keep(self, content)
        self._buffer[:]  # as adding to bytes does

    monkeypatch.setattr(reader._Reader, "_keep_unknown", copy_all)
    session = found(Growth(), 1, 500, tmp_path)
    assert "taken" in session.failures[0].text


def test_a_call_that_is_not_forgotten_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    forget = Listener.forget

    def keep(self: Listener, call: Any) -> None:
        kept.append(call)
        forget(self, call)

    target = Server()
    monkeypatch.setattr(Listener, "forget", keep)
    with pytest.raises(Finding, match=r"left behind: [1-9]"):
        target.check(next(corpus.read("server"))[1])
    kept.clear()
    target.close()


def test_an_error_that_nobody_foresaw_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Processor, event: Any) -> None:
        raise RuntimeError("planted")

    target = Server()
    with monkeypatch.context() as patch:
        patch.setattr(Processor, "process_remote_settings_changed", fail)
        settings = Frame(SETTINGS, 0, 0, bytes([0, 3, 0, 0, 0, 9])).write()
        with pytest.raises(Finding, match="planted"):
            target.check(pack(Conversation([PREFACE + settings])))
    target.restart()
    assert target.check(pack(Conversation([PREFACE])))
    target.close()


def test_a_wrong_answer_to_somebody_else_is_found() -> None:
    target = Server()
    target._server._service._handler.predict_action = (  # type: ignore[method-assign]
        lambda observations, **_: np.zeros((2, 2))
    )
    with pytest.raises(Finding, match="the good client got"):
        target.check(pack(Conversation([PREFACE])))
    target.restart()
    target.close()


# ---------------------------------------------------------------- the harness itself


def test_a_seed_makes_the_same_cases_in_every_run(tmp_path: Path) -> None:
    class Noting(Messages):
        def __init__(self) -> None:
            super().__init__()
            self.cases: list[bytes] = []

        def check(self, case: bytes) -> str:
            self.cases.append(case)
            return super().check(case)

    runs = []
    for seed in (1, 1, 2):
        target = Noting()
        Session(target, seed=seed, crashes=tmp_path).run(lambda count: count == 100)
        runs.append(target.cases)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_failing_case_is_made_small_kept_and_says_how_to_replay_it(tmp_path: Path) -> None:
    class Picky(Messages):
        def check(self, case: bytes) -> str:
            if case.count(b"\xff") > 2:
                raise Finding("three of them")
            return "fine"

    seeds = tmp_path / "seeds"
    corpus.write("messages", "long", message_case("Value", b"ab\xffcd\xff" * 5), seeds)
    session = Session(Picky(), corpus=seeds, crashes=tmp_path / "crashes")
    session.read_corpus()
    (failure,) = session.failures
    assert failure.path.parent == tmp_path / "crashes" / "messages"
    assert failure.path.read_bytes() == b"\xff\xff\xff"
    assert "three of them" in str(failure)
    assert f"--replay {failure.path}" in str(failure)
    assert "long.case" in str(failure)


def test_a_kept_case_is_replayed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = corpus.write_crash("messages", message_case("Value", b"\x10\x01"), tmp_path)
    assert program.main(["--replay", str(path)]) == 0
    assert "Value True" in capsys.readouterr().out


def test_the_program_fuzzes_what_it_is_told_and_reports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert program.main(["tensors", "messages", "--seconds", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tensors", "messages"]
    assert all("0 failures" in line for line in lines)


def test_a_target_that_is_not_there_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["tensor"])
    assert "unknown: tensor; there are messages, tensors" in capsys.readouterr().err


def test_messages_are_taken_apart_and_written_as_they_were() -> None:
    for _, case in corpus.read("messages"):
        name, _, data = case.partition(b"\n")
        fields = parse(data, kind_of(name.decode()))
        assert fields is None or write(fields) == data
    assert parse(block(1, b"a")[:-1], None) is None


def test_a_conversation_is_written_and_read() -> None:
    said = Conversation([b"\0a", None, b"\xff"], b"reset")
    assert unpack(pack(said)) == said
    assert unpack(b"?\nzz\n00\n") == Conversation([b"\0"], b"health")


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in corpus.CORPUS.rglob("*.case")]
    assert len(sizes) > 50
    assert sum(sizes) < 500_000
