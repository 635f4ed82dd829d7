# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Nothing that a peer sends can become code: the package has no way to make it such."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import praxis_remote

ROOT = Path(praxis_remote.__file__).parent

MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop"}
CALLS = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {"system", "popen", "loads_pickle"}

# What people give on the command line of their own machine is code on purpose.
LOADS_POLICIES = ROOT / "cli" / "loading.py"


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in MODULES and not node.level:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield node.func.id
            if isinstance(node.func, ast.Attribute) and node.func.attr in ATTRIBUTES:
                yield node.func.attr
            # numpy's own way to pickles.
            yield from (
                "allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle"
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
            )


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "np.load(file, allow_pickle=True)",
        "os.system(command)",
    ],
)
def test_each_way_is_found(source: str) -> None:
    assert list(offences(ast.parse(source)))


def test_no_module_of_the_package_makes_code_of_bytes() -> None:
    files = [path for path in ROOT.rglob("*.py") if path != LOADS_POLICIES]
    assert len(files) > 50
    found = {str(path): list(offences(ast.parse(path.read_text("utf-8")))) for path in files}
    assert {path: names for path, names in found.items() if names} == {}
