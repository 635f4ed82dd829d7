# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Environments with packages from PyPI and npm, for tests against published peers.

`venv_with` and `npm_project` install once into the checkout's ``.envs`` and then
return what stands there. Tests that call them, or `install`, are marked
``registry``.

The one rule for a registry that cannot be reached is `give_up`: in CI the test
fails, elsewhere it is skipped. A package that does not exist, or does not
install, fails everywhere: it must never hide as a skip.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ENVS = Path(__file__).resolve().parents[1] / ".envs"

# Written last: an environment without it was interrupted, and is built anew.
_COMPLETE = "complete.json"
_TIMEOUT = 240.0

# How uv and npm say that there was no answer, rather than a bad one.
_UNREACHABLE = re.compile(
    r"error sending request|dns error|tcp connect error|operation timed out|tunnel error"
    r"|network was disabled|HTTP status server error"
    r"|\b(?:ENOTCACHED|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ENETUNREACH|ETIMEDOUT"
    r"|ERR_SOCKET_TIMEOUT|E50[0-9])\b"
)


class InstallError(Exception):
    """The registry answered, but what was asked for did not install."""


# ---------------------------------------------------------------- for tests


def venv_with(name: str, requirements: Sequence[str], *, folder: Path = ENVS) -> Path:
    """Returns the Python of a virtual environment that has the requirements.

    It has nothing else, this checkout included: run it with ``-I``, which keeps
    the working folder and ``PYTHONPATH`` out as well.

    Args:
        name: Whom it is for. A name has one set of requirements at a time; when
            they change, the environment of the old ones is removed.
        requirements: What to install. Pin versions: what is installed stays.
        folder: Where to keep it.
    """

    def build(path: Path) -> None:
        python = path / "bin" / "python"
        install([uv(), "venv", "--no-project", "--python", sys.executable, path])
        if requirements:
            install([uv(), "pip", "install", "--python", python, *requirements])

    # A venv is of one interpreter, and of no use once that has moved or gone.
    interpreter = [sys.base_prefix, platform.python_version(), platform.machine()]
    stem = f"{name}-{sys.implementation.cache_tag}"
    path = cached(folder, stem, environment_key(interpreter, requirements), build)
    return path / "bin" / "python"


def npm_project(name: str, packages: Sequence[str], *, folder: Path = ENVS) -> Path:
    """Returns a folder whose ``node_modules`` has the packages.

    Run a script from elsewhere with ``NODE_PATH`` set to its ``node_modules``.
    Packages' own install scripts are not run.

    Args:
        name: Whom it is for, as `venv_with` has it.
        packages: What to install, such as ``"@grpc/grpc-js@1.12.2"``.
        folder: Where to keep it.
    """
    npm = shutil.which("npm")
    if npm is None:
        give_up("npm is not installed")

    def build(path: Path) -> None:
        path.mkdir()
        (path / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        options = ["--ignore-scripts", "--no-audit", "--no-fund"]
        install([npm, "install", *options, *packages], cwd=path)

    return cached(folder, f"node-{name}", environment_key([platform.machine()], packages), build)


def install(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """Runs a command that asks a registry, and returns what it printed.

    Raises:
        InstallError: It failed for another reason than an unreachable registry.
    """
    words = [str(word) for word in command]
    try:
        result = subprocess.run(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        give_up(f"`{' '.join(words)}` took longer than {_TIMEOUT:.0f} s")
    if result.returncode == 0:
        return result.stdout
    report = f"`{' '.join(words)}` ended with {result.returncode}:\n{result.stdout}"
    if _UNREACHABLE.search(result.stdout):
        give_up(report)
    raise InstallError(report)


def uv() -> Path:
    """Returns the uv of the ``dev`` extra."""
    path = Path(sys.executable).with_name("uv")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install the `dev` extra")
    return path


def give_up(reason: str) -> NoReturn:
    """Ends a test that cannot get its packages: fails it in CI, else skips it."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"no package registry, which CI must have: {reason}", pytrace=False)
    pytest.skip(f"no package registry: {reason}")


# ---------------------------------------------------------------- the cache


def environment_key(platform_parts: Sequence[str], requirements: Sequence[str]) -> str:
    """Returns 12 hex digits that stand for a platform and a set of requirements."""
    content = json.dumps([list(platform_parts), sorted(set(requirements))])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def cached(folder: Path, stem: str, key: str, build: Callable[[Path], None]) -> Path:
    """Returns ``folder/stem-key``, built if it is not there, and removes other keys.

    Processes and threads that ask at the same time wait for the one that builds.

    Args:
        folder: Made when it is missing.
        stem: What the environments of one name have in common.
        key: What tells them apart.
        build: Makes the folder, which does not exist when it is called.
    """
    path = folder / f"{stem}-{key}"
    with _locked(folder / f"{stem}.lock"):
        if not (path / _COMPLETE).is_file():
            _remove(path)
            build(path)
            (path / _COMPLETE).write_text("{}\n", encoding="utf-8")
        for other in folder.iterdir():
            if other != path and re.fullmatch(re.escape(stem) + "-[0-9a-f]{12}", other.name):
                _remove(other)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock that the system takes back when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    """Removes an environment, its mark first, so that no half of one looks whole."""
    (path / _COMPLETE).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)
