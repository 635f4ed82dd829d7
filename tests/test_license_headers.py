# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "check_license_headers.py"

HASH_HEADER = """\
# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0
"""
SLASH_HEADER = HASH_HEADER.replace("#", "//")
HASH_FILES = ["a.py", "a.pyi", "a.sh", "a.toml", "a.yaml", "a.yml", "CITATION.cff", "Makefile"]
SLASH_FILES = ["a.proto", "a.js", "a.mjs", "a.cjs"]


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, files)], capture_output=True, text=True
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_files_with_the_header_pass(tmp_path: Path) -> None:
    files = [write(tmp_path / name, HASH_HEADER + "\nx = 1\n") for name in HASH_FILES]
    files += [write(tmp_path / name, SLASH_HEADER + "\nx\n") for name in SLASH_FILES]
    result = check(*files)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env python3\n" + HASH_HEADER + "x = 1\n",
        "\N{ZERO WIDTH NO-BREAK SPACE}" + HASH_HEADER,
        HASH_HEADER.replace("\n", "\r\n"),
        "# SPDX-FileCopyrightText: 2024 Somebody Else\n" + HASH_HEADER,
        HASH_HEADER.replace("2026", "2026-2031"),
        "# Written by a tool.\n" + HASH_HEADER,
    ],
    ids=["shebang", "byte order mark", "CRLF", "second owner", "years", "comment before it"],
)
def test_a_header_passes_in_each_of_its_forms(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(text.encode())
    assert check(path).returncode == 0


def test_every_offender_is_named_with_the_lines_to_add(tmp_path: Path) -> None:
    good = write(tmp_path / "good.py", HASH_HEADER)
    no_license = write(tmp_path / "no_license.yaml", HASH_HEADER.splitlines()[0] + "\n")
    neither = write(tmp_path / "neither.proto", 'syntax = "proto3";\n')
    result = check(good, no_license, neither)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"{no_license}: add at the top: # SPDX-License-Identifier: Apache-2.0",
        f"{neither}: add at the top: // SPDX-FileCopyrightText: 2026 the praxis-remote authors",
        f"{neither}: add at the top: // SPDX-License-Identifier: Apache-2.0",
    ]


@pytest.mark.parametrize("name", HASH_FILES + SLASH_FILES)
def test_an_empty_file_of_each_kind_fails(tmp_path: Path, name: str) -> None:
    assert check(write(tmp_path / name, "")).returncode == 1


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" + HASH_HEADER,
        "\n" + HASH_HEADER,
        f'"""\n{HASH_HEADER}"""\n',
        SLASH_HEADER,
        HASH_HEADER.replace("Apache-2.0", "MIT"),
        HASH_HEADER.replace("Apache-2.0", "Apache-2.0 OR MIT"),
        HASH_HEADER.replace("2026 the praxis-remote authors", ""),
        HASH_HEADER.replace("2026 ", ""),
    ],
    ids=[
        "after code",
        "after a blank line",
        "in a string",
        "another language's comment",
        "another license",
        "a choice of licenses",
        "nobody",
        "no year",
    ],
)
def test_a_header_in_the_wrong_place_or_with_other_terms_fails(tmp_path: Path, text: str) -> None:
    assert check(write(tmp_path / "a.py", text)).returncode == 1


def test_other_kinds_of_files_are_passed_over(tmp_path: Path) -> None:
    prose = write(tmp_path / "README.md", "# Title\n")
    binary = tmp_path / "a.png"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    assert check(prose, binary, write(tmp_path / "py.typed", "")).returncode == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit needs git")
def test_the_hook_runs_without_a_network_and_finds_the_offender(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(TOOL, tmp_path / "tools")
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    write(tmp_path / "good.py", HASH_HEADER)
    # A git hook that runs the tests points these at the repository around it.
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {
        "PRE_COMMIT_HOME": str(tmp_path / ".git" / "pre-commit"),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    def run_hook() -> subprocess.CompletedProcess[str]:
        assert run("git", "add", ".").returncode == 0
        arguments = ("run", "check-license-headers", "--all-files")
        return run(sys.executable, "-m", "pre_commit", *arguments)

    assert run("git", "init", "--quiet").returncode == 0
    passed = run_hook()
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "Passed" in passed.stdout
    write(tmp_path / "bad.py", "x = 1\n")
    failed = run_hook()
    assert failed.returncode == 1
    assert "bad.py: add at the top: # SPDX-" in failed.stdout
