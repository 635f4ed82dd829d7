# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from registry import (
    InstallError,
    cached,
    environment_key,
    give_up,
    install,
    npm_project,
    uv,
    venv_with,
)

KEY = "0123456789ab"
OTHER_KEY = "ba9876543210"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Makes uv and npm believe in no network and empty caches."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))


class Builder:
    """Builds an environment of one file, and counts."""

    def __init__(self) -> None:
        self.built: list[Path] = []

    def __call__(self, path: Path) -> None:
        assert not path.exists()
        path.mkdir()
        (path / "content").touch()
        self.built.append(path)


# ---------------------------------------------------------------- keys


def test_a_key_is_the_same_on_every_run() -> None:
    assert environment_key(["linux"], ["a==1", "b==2"]) == "cf7a3a84998a"


def test_a_key_does_not_depend_on_order_or_repetition() -> None:
    expected = environment_key(["linux"], ["a==1", "b==2"])
    assert environment_key(["linux"], ["b==2", "a==1", "b==2"]) == expected


def test_a_key_depends_on_each_requirement_and_on_the_platform() -> None:
    keys = {
        environment_key(*arguments)
        for arguments in (
            (["linux"], ["a==1", "b==2"]),
            (["linux"], ["a==1", "b==3"]),
            (["linux"], ["a==1"]),
            (["linux"], []),
            (["linux", "a==1"], []),
            (["linux"], ["a==1,b==2"]),
            (["darwin"], ["a==1", "b==2"]),
        )
    }
    assert len(keys) == 7


# ---------------------------------------------------------------- the cache


def test_an_environment_is_built_once_and_then_reused(tmp_path: Path) -> None:
    build = Builder()
    folder = tmp_path / "new" / "envs"
    first = cached(folder, "peer", KEY, build)
    assert first == folder / f"peer-{KEY}"
    assert (first / "content").is_file()
    assert cached(folder, "peer", KEY, build) == first
    assert build.built == [first]


def test_an_interrupted_environment_is_built_anew(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "peer", KEY, interrupted)
    build = Builder()
    path = cached(tmp_path, "peer", KEY, build)
    assert build.built == [path]
    assert not (path / "half").exists()


def test_changed_requirements_remove_the_old_environment_of_that_name_only(tmp_path: Path) -> None:
    build = Builder()
    old = cached(tmp_path, "peer", KEY, build)
    others = [
        cached(tmp_path, "peer-two", KEY, build),
        cached(tmp_path, "node-peer", KEY, build),
        tmp_path / "peer-notes",
    ]
    others[-1].touch()
    new = cached(tmp_path, "peer", OTHER_KEY, build)
    assert new.is_dir()
    assert not old.exists()
    assert all(other.exists() for other in others)


def test_threads_that_ask_at_once_build_once(tmp_path: Path) -> None:
    build = Builder()
    together = Barrier(4)

    def ask() -> Path:
        together.wait()
        return cached(tmp_path, "peer", KEY, build)

    with ThreadPoolExecutor(4) as pool:
        paths = [future.result() for future in [pool.submit(ask) for _ in range(4)]]
    assert len(set(paths)) == len(build.built) == 1


ASK = f"""\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from registry import cached

def build(path: Path) -> None:
    path.mkdir()
    with Path(sys.argv[2], "built").open("a") as log:
        log.write("once\\n")

sys.stdin.read()
print(cached(Path(sys.argv[2]), "peer", "{KEY}", build))
"""


def test_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASK, str(Path(__file__).parent), str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate()[0].strip() for process in processes]
    assert answers == [str(tmp_path / f"peer-{KEY}")] * 3
    assert (tmp_path / "built").read_text() == "once\n"


def test_a_virtual_environment_has_its_requirements_and_not_this_checkout(tmp_path: Path) -> None:
    python = venv_with("bare", [], folder=tmp_path)
    assert python.is_file()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [python.parents[1].name]
    result = subprocess.run(
        [python, "-I", "-c", "import praxis_remote"], capture_output=True, text=True
    )
    assert "No module named 'praxis_remote'" in result.stderr
    assert venv_with("bare", [], folder=tmp_path) == python


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_without_a_registry_a_test_fails_in_ci(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match="which CI must have: the reason"):
        give_up("the reason")


@pytest.mark.parametrize("value", [None, "", "false", "0"])
def test_without_a_registry_a_test_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("CI", raising=False)
    else:
        monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match="no package registry: the reason"):
        give_up("the reason")


@pytest.mark.usefixtures("offline")
def test_the_rule_holds_for_python_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"praxis-remote==0\.1\.1"):
        venv_with("peer", ["praxis-remote==0.1.1"], folder=tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="network was disabled"):
        venv_with("peer", ["praxis-remote==0.1.1"], folder=tmp_path)


@needs_npm
@pytest.mark.usefixtures("offline")
def test_the_rule_holds_for_node_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ENOTCACHED"):
        npm_project("peer", ["@grpc/grpc-js@1.12.2"], folder=tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="ENOTCACHED"):
        npm_project("peer", ["@grpc/grpc-js@1.12.2"], folder=tmp_path)


def test_the_rule_holds_when_npm_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="npm is not installed"):
        npm_project("peer", [], folder=tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        "cause: error sending request for url (https://pypi.org/simple/h2/)\n  cause: dns error",
        "cause: tcp connect error\n  cause: Connection refused (os error 111)",
        "cause: HTTP status server error (503 Service Unavailable)",
        "npm error code EAI_AGAIN",
        "npm error code E503",
    ],
)
def test_an_unreachable_registry_is_recognised_by_what_the_installer_says(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ended with 1"):
        install([sys.executable, "-c", "import sys; sys.exit(sys.argv[1])", answer])


@pytest.mark.parametrize(
    "answer",
    [
        "cause: Because there is no version of h2==99 and you require h2==99, we can conclude",
        "npm error code ETARGET\nnpm error notarget No matching version found for x@99.",
        "npm error code E404",
        "error: Failed to build `x`",
    ],
)
@pytest.mark.parametrize("ci", ["", "true"])
def test_any_other_failure_is_an_error_everywhere(
    monkeypatch: pytest.MonkeyPatch, answer: str, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(InstallError) as caught:
        install([sys.executable, "-c", "import sys; sys.exit(sys.argv[1])", answer])
    assert answer in str(caught.value)


def test_what_the_installer_printed_is_returned(tmp_path: Path) -> None:
    assert install([uv(), "--version"]).startswith("uv ")
    where = install([sys.executable, "-c", "import os; print(os.getcwd())"], cwd=tmp_path)
    assert Path(where.strip()).samefile(tmp_path)


# ---------------------------------------------------------------- with a registry


@pytest.mark.registry
def test_a_python_package_can_be_imported_from_its_environment() -> None:
    python = venv_with("registry-test", ["hpack==4.1.0"])
    code = "import hpack; print(hpack.__version__)"
    assert subprocess.check_output([python, "-I", "-c", code], text=True).strip() == "4.1.0"


@pytest.mark.registry
@needs_npm
def test_a_node_package_can_be_required_from_its_project() -> None:
    folder = npm_project("registry-test", ["ms@2.1.3"])
    code = "console.log(require('ms')('1s'))"
    assert subprocess.check_output(["node", "-e", code], cwd=folder, text=True).strip() == "1000"
