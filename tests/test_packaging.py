# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from registry import install

import praxis_remote
from tools.environments import uv

ROOT = Path(__file__).resolve().parents[1]
VERSION = "0.1.2"
DIST_INFO = f"praxis_remote-{VERSION}.dist-info"
PROTO = "praxis_remote/policy_service.proto"

# What an installed wheel has to pass, of those that exist: the data path, and
# what depends on files of the package. The rest tests the same modules at length.
CORE_TESTS = [
    "test_schema.py",
    "test_serialization.py",
    "test_tensors.py",
    "test_values.py",
    "test_codec.py",
    "test_codec_decoder.py",
    "test_codec_encoder.py",
    "test_codec_fields.py",
    "test_codec_kwargs.py",
    "test_codec_leaves.py",
    "test_codec_tags.py",
    "test_codec_tensors.py",
    "test_errors.py",
]

# Goes first in the session that runs them, so that they cannot pass for another
# praxis_remote than the wheel's.
TEST_INSTALLED = f"""\
import importlib.metadata
import os
from pathlib import Path

import praxis_remote
from praxis_remote import schema

VENV = Path(os.environ["WHEEL_VENV"])


def test_the_package_under_test_is_the_wheels():
    assert Path(praxis_remote.__file__).is_relative_to(VENV)
    assert importlib.metadata.version("praxis-remote") == praxis_remote.__version__
    files = importlib.metadata.files("praxis-remote")
    assert any(Path(praxis_remote.__file__).samefile(file.locate()) for file in files)


def test_the_include_path_is_the_wheels():
    assert schema.include_path().is_relative_to(VENV)
    assert (schema.include_path() / "{PROTO}").is_file()
"""


def read_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class Distributions:
    wheel_path: Path
    sdist_path: Path

    @property
    def wheel(self) -> dict[str, bytes]:
        return read_wheel(self.wheel_path)

    @property
    def metadata(self) -> Message:
        return Parser().parsestr(self.wheel[f"{DIST_INFO}/METADATA"].decode())

    @property
    def sdist(self) -> dict[str, bytes]:
        """The files of the source distribution, without their common folder."""
        contents = {}
        with tarfile.open(self.sdist_path) as archive:
            for member in archive.getmembers():
                assert member.isfile(), member.name
                file = archive.extractfile(member)
                assert file is not None
                top, name = member.name.split("/", 1)
                assert top == f"praxis_remote-{VERSION}"
                contents[name] = file.read()
        return contents


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    output = tmp_path_factory.mktemp("dist")
    install([uv(), "build", "--sdist", "--wheel", "--out-dir", output, ROOT])
    return Distributions(
        output / f"praxis_remote-{VERSION}-py3-none-any.whl",
        output / f"praxis_remote-{VERSION}.tar.gz",
    )


def files_of(folder: str, pattern: str = "*.py") -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}


# ---------------------------------------------------------------- without building


def version_in(name: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, f"{name} names no version"
    return match[1]


def test_every_place_that_names_the_version_names_the_same() -> None:
    versions = {
        "pyproject.toml": version_in("pyproject.toml", r'^version = "(.+)"$'),
        "CITATION.cff": version_in("CITATION.cff", r"^version: (.+)$"),
        "CHANGELOG.md": version_in("CHANGELOG.md", r"^## \[([0-9].*?)\]"),
        "praxis_remote": praxis_remote.__version__,
    }
    assert set(versions.values()) == {VERSION}, versions


# ---------------------------------------------------------------- the archives


@pytest.mark.registry
def test_the_wheel_has_the_package_its_schema_its_licenses_and_nothing_else(
    built: Distributions,
) -> None:
    dist_info = ["METADATA", "RECORD", "WHEEL", "entry_points.txt"]
    dist_info += ["licenses/LICENSE", "licenses/NOTICE"]
    assert set(built.wheel) == {
        *files_of("praxis_remote"),
        *files_of("praxis_remote/inspect/static", "*.*"),
        "praxis_remote/py.typed",
        f"praxis_remote/schema/include/{PROTO}",
        *(f"{DIST_INFO}/{name}" for name in dist_info),
    }


@pytest.mark.registry
def test_the_wheels_files_are_the_checkouts(built: Distributions) -> None:
    wheel = built.wheel
    for name in files_of("praxis_remote"):
        assert wheel[name] == (ROOT / name).read_bytes(), name
    for name, source in {
        f"praxis_remote/schema/include/{PROTO}": f"schema/{PROTO}",
        f"{DIST_INFO}/licenses/LICENSE": "LICENSE",
        f"{DIST_INFO}/licenses/NOTICE": "NOTICE",
    }.items():
        assert wheel[name] == (ROOT / source).read_bytes(), name


@pytest.mark.registry
def test_the_metadata_says_what_installers_need(built: Distributions) -> None:
    metadata = built.metadata
    assert metadata["Name"] == "praxis-remote"
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.10")
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    # A looser betterproto resolves to 1.2.5, and a looser grpclib or h2 may move
    # the internals that praxis_remote stands on.
    assert {item for item in requirements if item.marker is None} == {
        Requirement("betterproto==2.0.0b7"),
        Requirement("grpclib>=0.4.9,<0.4.10"),
        Requirement("h2>=4.1,<5"),
        Requirement("numpy>=1.26"),
    }


@pytest.mark.registry
def test_the_only_entry_point_is_the_command(built: Distributions) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(built.wheel[f"{DIST_INFO}/entry_points.txt"].decode())
    assert {name: dict(parser[name]) for name in parser.sections()} == {
        "console_scripts": {"praxis-remote": "praxis_remote.cli:main"}
    }


@pytest.mark.registry
def test_the_sdist_has_what_it_takes_to_build_and_to_test(built: Distributions) -> None:
    sdist = built.sdist
    top = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "CITATION.cff"}
    expected = top | {"praxis_remote/py.typed", f"schema/{PROTO}"}
    expected |= files_of("praxis_remote") | files_of("tests") | files_of("tools")
    assert expected - set(sdist) == set()
    for name in expected:
        assert sdist[name] == (ROOT / name).read_bytes(), name


@pytest.mark.registry
def test_the_sdist_has_nothing_that_was_installed_or_cached(built: Distributions) -> None:
    unwanted = {".envs", ".git", ".venv", "__pycache__", "node_modules", "dist", "build"}
    for name in built.sdist:
        folders = name.split("/")
        assert not unwanted.intersection(folders), name
        assert not any(folder.endswith("_cache") for folder in folders), name


@pytest.mark.registry
def test_the_sdist_builds_the_same_wheel(built: Distributions, tmp_path: Path) -> None:
    install([uv(), "build", "--wheel", "--out-dir", tmp_path, built.sdist_path])
    assert read_wheel(tmp_path / built.wheel_path.name) == built.wheel


# ---------------------------------------------------------------- the installed wheel


def run(command: Sequence[str | Path], cwd: Path, **env: str) -> str:
    # The measuring of an outer run would look for the checkout's files.
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("COV_", "COVERAGE_", "PYTEST_", "PYTHON"))
    }
    result = subprocess.run(
        command, cwd=cwd, env=inherited | env, capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel_venv(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of the wheel, with the dependencies of this one."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    python = venv / "bin" / "python"
    install([uv(), "venv", "--no-project", "--python", sys.executable, venv])
    arguments = ["--offline", "--no-deps", str(built.wheel_path)]
    install([uv(), "pip", "install", "--python", python, *arguments])
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run([python, "-I", "-c", where], venv).strip())
    assert site_packages.is_relative_to(venv)
    # A path named in a .pth file comes after the venv's own packages, and its own
    # .pth files are not read: an editable install of the checkout stays out.
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n")
    return venv


@pytest.mark.registry
def test_the_installed_wheel_passes_the_core_tests_outside_of_the_checkout(
    wheel_venv: Path, tmp_path: Path
) -> None:
    assert not tmp_path.is_relative_to(ROOT)
    # Also the helpers that tests import, and pytest's settings.
    shutil.copytree(
        ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    installed = tmp_path / "tests" / "test_installed.py"
    installed.write_text(TEST_INSTALLED, encoding="utf-8")
    tests = [tmp_path / "tests" / name for name in CORE_TESTS]
    chosen = [installed, *(test for test in tests if test.is_file())]
    # protoc's plugin is a program of the environment around, not of the wheel's.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = ["-q", "-p", "no:cacheprovider", "-m", "not registry and not manual"]
    python = str(wheel_venv / "bin" / "python")
    command = [python, "-I", "-m", "pytest", *options, *map(str, chosen)]
    output = run(command, tmp_path, WHEEL_VENV=str(wheel_venv), PATH=path)
    assert " passed" in output


@pytest.mark.registry
def test_the_installed_command_runs(wheel_venv: Path, tmp_path: Path) -> None:
    command = wheel_venv / "bin" / "praxis-remote"
    assert "praxis-remote" in run([command, "--help"], tmp_path)


@pytest.mark.registry
def test_the_installed_wheel_imports_without_the_checkouts_tools(
    wheel_venv: Path, tmp_path: Path
) -> None:
    """The package needs nothing but what it depends on, protobuf and grpcio least of all."""
    code = (
        "import sys, pkgutil, importlib, praxis_remote\n"
        # It brings grpcio; nothing but one package shall need it.
        "sys.modules['ray'] = None\n"
        "for module in pkgutil.walk_packages(praxis_remote.__path__, 'praxis_remote.'):\n"
        "    if not module.name.endswith(('__main__', 'praxis_remote.ray')):\n"
        "        importlib.import_module(module.name)\n"
        "print([name for name in ('grpc', 'grpc_tools', 'google.protobuf', 'pytest')"
        " if name in sys.modules])\n"
    )
    python = wheel_venv / "bin" / "python"
    assert run([python, "-I", "-c", code], tmp_path).strip() == "[]"
