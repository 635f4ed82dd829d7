# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""README and docs/ as a new user would follow them: commands and snippets are run."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import metadata
from pathlib import Path

import pytest
from command import says
from documents import (
    BLOCKS,
    COMMANDS,
    PAGES,
    README,
    ROOT,
    Block,
    Command,
    blocks_of,
    commands_of,
    text_of,
)
from hosts import LOOPBACK, unused_port
from packaging.requirements import Requirement

from praxis_remote import errors
from praxis_remote.cli.program import _parser
from praxis_remote.errors import RemoteError
from praxis_remote.logs import EVENTS, Fields, JsonFormatter

TUTORIAL = "docs/tutorial.md"
SECURE = "docs/how-to/secure.md"
SPECS = "docs/how-to/specs.md"
WATCH = "docs/how-to/watch.md"
ERRORS = "docs/reference/errors.md"

NOT_RUN = {
    README: 1,
    "docs/how-to/container.md": 1,
    "docs/how-to/envoy.md": 2,
    "docs/how-to/kubernetes.md": 1,
    "docs/how-to/migrate.md": 5,
    "docs/how-to/ray.md": 4,
    "docs/how-to/slow.md": 1,
    "docs/how-to/ssh.md": 3,
    "docs/how-to/systemd.md": 1,
    "docs/how-to/watch.md": 3,
    "docs/how-to/workers.md": 1,
    TUTORIAL: 1,
}
"""How many blocks of a page are marked as such that cannot be run here.

What is of this package in a shell block among them is still read by its parser.
"""

LANGUAGES = {"dockerfile", "ini", "json", "proto", "python", "sh", "text", "yaml"}

PYTHON = [block for block in BLOCKS if block.language == "python"]
POLICY = next(block for block in PYTHON if "class MyPolicy" in block.code)
FILES = [block for block in PYTHON if block.title]
SNIPPETS = [block for block in PYTHON if not (block.title or block.not_run or block is POLICY)]


def snippets_of(page: str) -> list[Block]:
    """Returns what is to be run of a page."""
    return [block for block in SNIPPETS if block.page == page]


SHELL = [block for block in BLOCKS if block.language == "sh"]

OURS = [line for line in COMMANDS if line.arguments is not None]
OTHERS = [line for line in COMMANDS if line.arguments is None and not line.block.not_run]
UNIX = "/tmp/policy.sock"
SERVE = next(line for line in OURS if line.block.page == README and "serve" in line.words)
SERVE_UNIX = next(line for line in OURS if line.text.endswith(f"--host unix:{UNIX}"))
SERVE_TUTORIAL = next(
    line for line in OURS if line.block.page == TUTORIAL and "serve" in line.words
)
HEALTH_UNIX = next(
    line for line in OURS if line.text.startswith(f"praxis-remote health unix:{UNIX}")
)
ADDRESSED = [
    line
    for line in OURS
    if re.search(r" (bench|health|predict|reset|spec) (localhost|gpu-box):50051", line.text)
    and not re.search(" --(tls|token)", line.text)
    and not line.block.not_run
]
MAKE = [line for line in OTHERS if line.words[0] == "make"]
CERTIFY = [line for line in OTHERS if line.block.page == SECURE]
SCHEMA = [line for line in OTHERS if line.words[0] == "protoc"]
ADOPT = [line for line in OURS if "--adopt" in line.words]
RUN_IN_TUTORIAL = [
    line for line in OTHERS if line.block.page == TUTORIAL and line.words[0] == "python"
]
INSTALL = [line for line in COMMANDS if line.words[:2] == ["pip", "install"]]

# One process for a page: most of a snippet's time is that of its imports. A traceback
# tells which block it was.
RUN_ALL = """\
import importlib, json, sys
modules, codes = json.loads(sys.argv[1])
for module in modules:
    importlib.import_module(module)
for place, code in codes.items():
    exec(compile(code, place, "exec"), {"__name__": "__main__"})
"""

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


def write_files(page: str, folder: Path) -> None:
    """Saves what a reader of the README and of a page has saved."""
    (folder / "my_policy.py").write_text(POLICY.code, encoding="utf-8")
    for block in FILES:
        if block.page == page:
            (folder / str(block.title)).write_text(block.code, encoding="utf-8")


@contextmanager
def serving(command: list[str], policy: str, address: str, folder: Path) -> Iterator[None]:
    """Runs a command that serves a policy."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"serving {policy} on {address}\n"
    yield
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(TIMEOUT) == 0


Reader = Callable[[str], "tuple[Path, str]"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Returns the folder and the port of a reader of a page, whose server is up."""
    found: dict[str, tuple[Path, str]] = {}

    def read(page: str) -> tuple[Path, str]:
        if page not in found:
            folder = tmp_path_factory.mktemp("reader")
            write_files(page, folder)
            found[page] = folder, ports[page == TUTORIAL]
        return found[page]

    with ExitStack() as stack:
        ports = []
        for page, command, policy in (
            (README, SERVE, "MyPolicy"),
            (TUTORIAL, SERVE_TUTORIAL, "Reach"),
        ):
            port = str(unused_port(LOOPBACK))
            folder = tmp_path_factory.mktemp("server")
            write_files(page, folder)
            text = re.sub(r" --inspect-port \d+", "", command.text).replace("50051", port)
            address = f"127.0.0.1:{port}"
            stack.enter_context(serving(text.split(), policy, address, folder))
            ports.append(port)
        yield read


def here(text: str, port: str) -> str:
    """Returns code or a command that calls this machine's server."""
    return text.replace("gpu-box", "localhost").replace("50051", port)


# ---------------------------------------------------------------- what is there


def test_every_block_is_of_a_known_kind() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    for page in PAGES:
        fences = re.findall(r"^ *```", text_of(page), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(text_of(page), page)), page


def test_no_more_blocks_than_these_are_not_run() -> None:
    counted = Counter(block.page for block in BLOCKS if block.not_run)
    assert counted == NOT_RUN


def test_every_command_that_is_not_marked_is_run() -> None:
    known = [*INSTALL, *MAKE, *SCHEMA, *CERTIFY, *RUN_IN_TUTORIAL]
    assert {line.text for line in OTHERS} <= {line.text for line in known}


# ---------------------------------------------------------------- Python


@pytest.mark.parametrize("block", [b for b in PYTHON if b.not_run], ids=str)
def test_a_snippet_that_is_not_run_is_at_least_python(block: Block) -> None:
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("page", [page for page in PAGES if snippets_of(page)])
def test_the_files_and_snippets_of_a_page_run(
    page: str, reader: Reader, socket_folder: Path, request: pytest.FixtureRequest
) -> None:
    folder, port = reader(page)
    if any(".pem" in block.code for block in snippets_of(page)):
        request.getfixturevalue("certificates")
    modules = [Path(str(block.title)).stem for block in FILES if block.page == page]
    codes = {
        str(block): here(block.code, port).replace(UNIX, f"{socket_folder}/policy.sock")
        for block in snippets_of(page)
    }
    run([sys.executable, "-c", RUN_ALL, json.dumps([modules, codes])], folder)


def test_the_snippets_print_what_they_say(reader: Reader) -> None:
    folder, port = reader(README)
    code = next(block.code for block in SNIPPETS if "stub.health_check" in block.code)
    assert run([sys.executable, "-c", here(code, port)], folder) == "MyPolicy with gain 0.5\n"


def test_a_wrong_request_is_answered_as_the_page_on_specs_says(reader: Reader) -> None:
    folder, _ = reader(SPECS)
    code = next(b.code for b in SNIPPETS if b.page == SPECS and "wrong = {" in b.code)
    (said,) = (b.code for b in BLOCKS if b.page == SPECS and b.language == "text")
    assert run([sys.executable, "-c", code], folder) == said


# ---------------------------------------------------------------- the shell


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_block_is_what_a_shell_reads(block: Block) -> None:
    result = subprocess.run(["sh", "-n"], input=block.code, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("line", OURS, ids=str)
def test_a_command_of_ours_is_one_that_the_program_takes(line: Command) -> None:
    assert line.arguments is not None
    _parser().parse_args(line.arguments)


@pytest.mark.parametrize("line", ADDRESSED, ids=str)
def test_a_command_to_the_server_works(
    line: Command,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, port = reader(line.block.page)
    monkeypatch.chdir(folder)
    # In this process, since most of a command's time is that of its imports.
    assert line.arguments is not None
    assert says(capsys, *(here(word, port) for word in line.arguments))


def test_the_unix_socket_of_the_readme_is_served(reader: Reader, socket_folder: Path) -> None:
    folder, _ = reader(README)
    path = socket_folder / "policy.sock"
    command = SERVE_UNIX.text.replace(UNIX, str(path)).split()
    with serving(command, "MyPolicy", f"unix:{path}", folder):
        health = HEALTH_UNIX.text.replace(UNIX, str(path))
        assert run(health, folder) == "MyPolicy with gain 1.0\n"
    assert not path.exists()


def test_the_tutorials_loop_reaches_its_target_and_its_tests_pass(reader: Reader) -> None:
    folder, port = reader(TUTORIAL)
    loop = folder / "loop.py"
    loop.write_text(here(loop.read_text(encoding="utf-8"), port), encoding="utf-8")
    printed = [run(line.text, folder) for line in RUN_IN_TUTORIAL]
    said = re.findall(r"^prints `(.*)`", text_of(TUTORIAL), re.MULTILINE)
    assert printed[0] == f"{said[0]}\n"
    assert " passed" in printed[1]


def test_the_tutorials_server_complains_as_it_says(reader: Reader) -> None:
    folder, port = reader(TUTORIAL)
    code = next(b.code for b in SNIPPETS if b.page == TUTORIAL and "where is the target" in b.code)
    said = re.search(r"complaint, `(.*)`:", text_of(TUTORIAL))
    assert said is not None
    assert run([sys.executable, "-c", here(code, port)], folder) == f"{said[1]}\n"


def test_the_tutorials_loop_ends_without_a_server_as_it_says(reader: Reader) -> None:
    folder, _ = reader(TUTORIAL)
    code = next(b.code for b in PYTHON if b.page == TUTORIAL and b.title == "loop.py")
    alone = here(code, str(unused_port(LOOPBACK))).replace("timeout=30", "timeout=0.05")
    words = [sys.executable, "-c", alone]
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    # What it saw last is not to be known here, where it has less time than a reader.
    said = re.search(r"^praxis_remote\.errors\..*?(?=; last: )", text_of(TUTORIAL), re.MULTILINE)
    assert said is not None
    assert done.stderr.splitlines()[-1].startswith(said[0].replace("30 s", "0.05 s"))


@pytest.mark.parametrize("line", INSTALL, ids=str)
def test_what_is_to_be_installed_are_extras_that_there_are(line: Command) -> None:
    wanted = [Requirement(word) for word in line.words[2:]]
    [ours] = [requirement for requirement in wanted if requirement.name == "praxis-remote"]
    assert ours.extras <= set(metadata("praxis-remote").get_all("Provides-Extra") or ())


@pytest.fixture(scope="module")
def certificates(reader: Reader) -> None:
    """Makes the certificates of the page on security, with its own commands."""
    folder, _ = reader(SECURE)
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    for line in CERTIFY:
        run(line.text, folder)


def test_the_schema_commands_work(tmp_path: Path) -> None:
    (tmp_path / "my_pkg" / "proto").mkdir(parents=True)
    (tmp_path / "my_pkg" / "__init__.py").touch()
    (tmp_path / "my.proto").write_text(
        'syntax = "proto3"; package mine; import "praxis_remote/policy_service.proto";'
        "message Frame { praxis_remote.Tensor image = 1; }",
        encoding="utf-8",
    )
    # The same in the README and in the reference.
    [compile_command] = {line.text for line in SCHEMA}
    [adopt_command] = {line.text for line in ADOPT}
    # The compiler of the dev extra stands for an installed protoc.
    protoc = f"{shlex.quote(sys.executable)} -m grpc_tools.protoc"
    run(compile_command.replace("protoc", protoc, 1), tmp_path)
    run(adopt_command, tmp_path)
    check = "from my_pkg.proto.mine import Frame; import praxis_remote.schema as s; "
    check += "assert type(Frame().image) is s.Tensor"
    run([sys.executable, "-c", check], tmp_path)


MENTIONED = {name for page in PAGES for name in re.findall(r"`make (\w[\w-]*)`", text_of(page))}


@pytest.mark.parametrize("target", sorted({line.words[1] for line in MAKE} | MENTIONED))
def test_a_make_target_that_is_mentioned_exists(target: str) -> None:
    result = subprocess.run(
        ["make", target, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


# ---------------------------------------------------------------- tables


def test_the_line_of_json_that_is_shown_is_one_of_ours() -> None:
    (shown,) = (json.loads(block.code) for block in BLOCKS if block.language == "json")
    record = logging.makeLogRecord(shown)
    record.levelname, record.name, record.msg = shown["level"], shown["logger"], shown["message"]
    written = json.loads(JsonFormatter().format(record))
    assert {**written, "time": None} == {**shown, "time": None}
    assert len(written["time"]) == len(shown["time"])
    assert shown["event"] in EVENTS
    assert set(shown) <= {"time", "level", "logger", "message", "event", *Fields.__annotations__}


def test_the_fields_of_a_line_of_json_are_those_of_the_code() -> None:
    _, _, table = text_of(WATCH).partition("| field |")
    rows = re.findall(r"^\| (`.*?) \|", table.partition("\n\n")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    always = {"time", "level", "logger", "message", "event", "traceback", "stack"}
    assert named == always | set(Fields.__annotations__)


def test_the_panels_that_are_told_of_are_those_of_the_dashboard() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/praxis-remote.json").read_text(encoding="utf-8"))
    _, _, table = text_of(WATCH).partition("| question | panel |")
    rows = re.findall(r"^\| [^|]+\? \| (.+) \|$", table.partition("\n\n")[0], re.MULTILINE)
    assert {name for row in rows for name in row.split("; ")} == {
        panel["title"] for panel in dashboard["panels"]
    }


def test_the_table_of_errors_is_that_of_the_package() -> None:
    pattern = r"^\| `(\w+Error)` \| *(?:`(\w+)`)? *\| (.*?) \|"
    rows = re.findall(pattern, text_of(ERRORS), re.MULTILINE)
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


# ---------------------------------------------------------------- how it reads pages


def test_blocks_are_found_with_what_is_said_of_them() -> None:
    text = (
        'a\n```python title="a.py"\nx = 1\n```\n'
        '=== "Tab"\n\n    <!-- not run: no disk -->\n'
        "    ```sh\n    cd a \\\n      b\n    # c\n    d\n    ```\n"
    )
    first, second = blocks_of(text, "page")
    assert first == Block("page", 3, "python", "a.py", None, "x = 1\n")
    assert (second.not_run, second.line) == ("no disk", 9)
    assert [line.text for line in commands_of(second)] == ["cd a b", "d"]
