# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The README as a new user would follow it: every command and every snippet is run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hosts import LOOPBACK, unused_port

from praxis_remote import errors
from praxis_remote.errors import RemoteError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]

POLICY = next(code for code in PYTHON if "class MyPolicy" in code)
SNIPPETS = [code for code in PYTHON if code is not POLICY]
SERVE, SERVE_UNIX = (line for line in COMMANDS if " serve " in line)
UNIX = "/tmp/policy.sock"
HEALTH_UNIX = next(line for line in COMMANDS if f"health unix:{UNIX}" in line)
ADDRESSED = [line for line in COMMANDS if "localhost:50051" in line]
MAKE = [line for line in COMMANDS if line.startswith("make ")]
SCHEMA = [line for line in COMMANDS if "praxis-remote proto" in line]
INSTALL = ["pip install praxis-remote"]

TIMEOUT = 60.0


def environment(folder: Path) -> dict[str, str]:
    """Returns an environment in which this installation's commands come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}


def run(command: list[str] | str, folder: Path) -> str:
    result = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "my_policy.py").write_text(POLICY, encoding="utf-8")
    return folder


@contextmanager
def serving(command: str, address: str, folder: Path) -> Iterator[None]:
    """Runs a command that serves the README's policy."""
    process = subprocess.Popen(
        command.split(), cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"serving MyPolicy on {address}\n"
    yield
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(TIMEOUT) == 0


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[str]:
    """Serves the README's policy with the README's command, on a free port."""
    number = str(unused_port(LOOPBACK))
    with serving(SERVE.replace("50051", number), f"127.0.0.1:{number}", folder):
        yield number


def test_every_command_of_the_readme_is_known_to_a_test() -> None:
    assert set(COMMANDS) == {
        *[*INSTALL, *MAKE, *SCHEMA],
        *[SERVE, *ADDRESSED, SERVE_UNIX, HEALTH_UNIX],
    }


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(code: str, folder: Path, port: str, socket_folder: Path) -> None:
    code = code.replace("50051", port).replace(UNIX, f"{socket_folder}/policy.sock")
    run([sys.executable, "-c", code], folder)


@pytest.mark.parametrize("command", ADDRESSED)
def test_a_command_to_the_server_works(command: str, folder: Path, port: str) -> None:
    run(command.replace("50051", port), folder)


def test_the_unix_socket_of_the_readme_is_served(folder: Path, socket_folder: Path) -> None:
    path = socket_folder / "policy.sock"
    with serving(SERVE_UNIX.replace(UNIX, str(path)), f"unix:{path}", folder):
        assert run(HEALTH_UNIX.replace(UNIX, str(path)), folder) == "MyPolicy with gain 1.0\n"
    assert not path.exists()


def test_the_snippets_print_what_they_say(folder: Path, port: str) -> None:
    code = next(code for code in SNIPPETS if "stub.health_check" in code)
    printed = run([sys.executable, "-c", code.replace("50051", port)], folder)
    assert printed == "MyPolicy with gain 0.5\n"


def test_the_schema_commands_work(folder: Path) -> None:
    (folder / "my_pkg" / "proto").mkdir(parents=True)
    (folder / "my_pkg" / "__init__.py").touch()
    (folder / "my.proto").write_text(
        'syntax = "proto3"; package mine; import "praxis_remote/policy_service.proto";'
        "message Frame { praxis_remote.Tensor image = 1; }",
        encoding="utf-8",
    )
    compile_command, adopt_command = SCHEMA
    assert compile_command.startswith("protoc ")
    # The compiler of the dev extra stands for an installed protoc.
    run(compile_command.replace("protoc", f"{sys.executable} -m grpc_tools.protoc", 1), folder)
    run(adopt_command, folder)
    check = "from my_pkg.proto.mine import Frame; import praxis_remote.schema as s; "
    check += "assert type(Frame().image) is s.Tensor"
    run([sys.executable, "-c", check], folder)


@pytest.mark.parametrize("command", MAKE)
def test_a_make_target_exists(command: str) -> None:
    result = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", re.findall(r"`make (\w[\w-]*)`", README))
def test_a_make_target_that_is_mentioned_exists(name: str) -> None:
    test_a_make_target_exists(f"make {name}")


def test_the_table_of_errors_is_that_of_the_package() -> None:
    rows = re.findall(r"^\| `(\w+Error)` \| *(?:`(\w+)`)? *\| (.*?) \|", README, re.MULTILINE)
    assert len(rows) > 10
    for name, built_in, statuses in rows:
        cls = getattr(errors, name)
        assert issubclass(cls, RemoteError)
        assert cls.status.name in statuses
        if built_in:
            assert built_in in {base.__name__ for base in cls.__mro__}
    # Bytes that are no message never reach a user under this name.
    documented = {name for name, _, _ in rows} | {"DecodeError", "RemoteError"}
    assert documented == {name for name in errors.__all__ if name.endswith("Error")}
