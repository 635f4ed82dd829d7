# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A policy is found by its name and made; what goes wrong is told in one line."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from praxis_remote.cli.loading import KwargsRefusedError, LoadError, PolicyCodeError, Target, load
from praxis_remote.errors import InvalidValueError

METHODS = """
    def predict_action(self, observations, *, policy_kwargs=None): ...
    def reset(self): ...
    def model_info(self): return "m"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the module ``user_policy``, importable in this test alone."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "user_policy", raising=False)

    def write(source: str) -> Path:
        path = tmp_path / "user_policy.py"
        path.write_text(textwrap.dedent(source))
        return path

    return write


def target(attribute: str) -> Target:
    return Target("user_policy", attribute)


def line_of(path: Path, text: str) -> str:
    lines = path.read_text().splitlines()
    return f"{path}:{next(n for n, line in enumerate(lines, 1) if text in line)}"


def test_a_target_is_a_module_and_a_name_with_dots() -> None:
    assert Target.parse("my_pkg.my_mod:Outer.Inner") == Target("my_pkg.my_mod", "Outer.Inner")
    assert str(Target.parse("a.b:C")) == "a.b:C"


@pytest.mark.parametrize(
    "text", ["", ":", "mod", "mod:", ":X", "a..b:X", "mod:X.", "mod:X:Y", "1:X"]
)
def test_another_form_of_target_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"write MODULE:NAME") as caught:
        Target.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("my_mod.py:X", "my_mod:X"),
        ("./pkg/my_mod.py:X", "pkg.my_mod:X"),
        ("pkg/my_mod.py", "pkg.my_mod:MyPolicy"),
    ],
)
def test_a_file_as_target_is_answered_with_its_module(text: str, meant: str) -> None:
    with pytest.raises(InvalidValueError, match="names a file") as caught:
        Target.parse(text)
    assert str(caught.value).endswith(f"perhaps {meant}")


def test_a_class_is_called_with_the_arguments(write: Write) -> None:
    write(f"class Outer:\n  class P:\n    def __init__(self, **kw): self.kw = kw{METHODS}")
    policy = load(target("Outer.P"), {"scale": 2.0})
    assert vars(policy) == {"kw": {"scale": 2.0}}


def test_a_function_is_called_with_the_arguments(write: Write) -> None:
    write(f"class P:{METHODS}\ndef make(name):\n  p = P(); p.name = name; return p")
    assert vars(load(target("make"), {"name": "x"})) == {"name": "x"}


def test_an_object_is_taken_as_it_is(write: Write) -> None:
    write(f"class P:{METHODS}\npolicy = P()")
    assert load(target("policy"), {}) is sys.modules["user_policy"].policy


def test_a_policy_that_can_be_called_is_not_called(write: Write) -> None:
    write(f"class P:{METHODS}\n    def __call__(self): raise AssertionError\npolicy = P()")
    assert load(target("policy"), {}) is sys.modules["user_policy"].policy


def test_an_object_takes_no_arguments(write: Write) -> None:
    write(f"class P:{METHODS}\npolicy = P()")
    with pytest.raises(KwargsRefusedError, match=r"P that is made already .* leave out a, b"):
        load(target("policy"), {"a": 1, "b": 2})


def test_a_missing_module_is_named_with_what_to_do() -> None:
    with pytest.raises(LoadError, match="No module named 'nowhere'; run this in the folder") as e:
        load(Target("nowhere.at_all", "X"), {})
    assert not isinstance(e.value, PolicyCodeError)


def test_a_missing_submodule_is_named_with_what_to_do(write: Write) -> None:
    write("")
    with pytest.raises(LoadError, match="'user_policy' is not a package; run this in the folder"):
        load(Target("user_policy.sub", "X"), {})


def test_a_module_that_the_user_s_code_misses_is_told_from_a_missing_target(write: Write) -> None:
    path = write("import os\nimport no_such_torch")
    with pytest.raises(PolicyCodeError, match="No module named 'no_such_torch'") as caught:
        load(target("X"), {})
    assert caught.value.place == f"{path}:2"


def test_a_missing_name_is_answered_with_the_closest_one(write: Write) -> None:
    path = write(f"class MyPolicy:{METHODS}")
    with pytest.raises(LoadError) as caught:
        load(target("MyPolcy"), {})
    assert str(caught.value) == (
        f"user_policy:MyPolcy: the module user_policy ({path}) has no MyPolcy; "
        "did you mean MyPolicy?"
    )
    with pytest.raises(LoadError, match=r"the class MyPolicy has no Inner$"):
        load(target("MyPolicy.Inner"), {})


def test_reading_a_name_may_raise_anything(write: Write) -> None:
    path = write("def __getattr__(name):\n    if name == 'X': raise OSError('lazy')")
    with pytest.raises(PolicyCodeError, match="reading X failed with OSError: lazy") as caught:
        load(target("X"), {})
    assert caught.value.place == f"{path}:2"


@pytest.mark.parametrize("name", ["Bare", "make_none", "number"])
def test_what_lacks_the_methods_is_refused_with_their_names(write: Write, name: str) -> None:
    write("class Bare:\n  def reset(self): ...\ndef make_none(): ...\nnumber = 3")
    with pytest.raises(LoadError, match=r"lacks predict_action, .*model_info; a policy has"):
        load(target(name), {})


def test_methods_may_come_from_getattr(write: Write) -> None:
    write("class Proxy:\n    def __getattr__(self, name): return lambda *args, **kwargs: None")
    assert type(load(target("Proxy"), {})).__name__ == "Proxy"


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({}, r"missing 1 required positional argument: 'path'; .* --kwarg: none$"),
        ({"path": 1, "x": 2}, r"unexpected keyword argument 'x'; .* --kwarg: path, x$"),
    ],
)
def test_arguments_that_do_not_fit_are_not_the_code_s_fault(
    write: Write, kwargs: dict[str, object], reason: str
) -> None:
    write(f"class P:\n    def __init__(self, path): ...{METHODS}")
    with pytest.raises(LoadError, match=reason) as caught:
        load(target("P"), kwargs)
    assert not isinstance(caught.value, PolicyCodeError)


def test_a_constructor_s_exception_is_told_with_its_place_and_kept(write: Write) -> None:
    path = write(f"""
class P:
    def __init__(self):
        self.load()
    def load(self):
        raise TypeError("size mismatch\\n  for a: 3\\n  for b: 4")  # here
{METHODS}""")
    with pytest.raises(PolicyCodeError) as caught:
        load(target("P"), {})
    place = line_of(path, "# here")
    assert str(caught.value) == (
        "user_policy:P: calling P failed with TypeError: size mismatch for a: 3 for b: 4, "
        f"raised at {place}"
    )
    assert isinstance(caught.value.__cause__, TypeError)
    assert caught.value.doing == "calling P"


def test_a_long_text_is_cut(write: Write) -> None:
    write("raise RuntimeError('x' * 5000)")
    with pytest.raises(PolicyCodeError, match=r"RuntimeError: x{300}\.\.\., raised at"):
        load(target("P"), {})


def test_code_that_calls_exit_does_not_exit(write: Write) -> None:
    path = write("import sys\nsys.exit()")
    with pytest.raises(PolicyCodeError, match="importing user_policy failed with SystemExit,") as e:
        load(target("P"), {})
    assert e.value.place == f"{path}:2"


def test_a_syntax_error_is_placed_where_it_is_written(write: Write) -> None:
    path = write("x = 1\ndef (:\n")
    with pytest.raises(PolicyCodeError, match="SyntaxError: invalid syntax") as caught:
        load(target("P"), {})
    assert caught.value.place == f"{path}:2"


def test_an_exception_of_compiled_code_has_no_place(write: Write) -> None:
    write("from os import getcwd as P, strerror as make")
    with pytest.raises(LoadError, match="takes no keyword arguments"):
        load(target("P"), {"x": 1})
    error = PolicyCodeError(target("P"), "calling P", ValueError("no frame"))
    assert error.place is None
    assert str(error) == "user_policy:P: calling P failed with ValueError: no frame"
