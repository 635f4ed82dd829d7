# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Compiles the schema into the committed betterproto classes.

Run by ``make proto``; with ``--check`` (``make check-proto``) it writes nothing
and fails when the committed file is not what the schema compiles to.

The generator's output needs three mends, each of them checked to be there, so
that a change of the generator fails here and not at a user's:

- it names the only member of ``NullValue`` ``_`` (it strips the enum's own name),
- it types enum members as ``int``, so that mypy rejects ``dtype=DType.DTYPE_BOOL``,
- it passes ``recv_message()``, which may be None, where a message is needed.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "schema"
PROTO = SCHEMA / "praxis_remote" / "policy_service.proto"
GENERATED = ROOT / "praxis_remote" / "schema" / "generated.py"

HEADER = """\
# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""


def run_protoc(output: Path) -> str:
    """Compiles the schema into ``output`` and returns the generated module."""
    plugin = Path(sys.executable).with_name("protoc-gen-python_betterproto")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={SCHEMA}",
            f"--plugin=protoc-gen-python_betterproto={plugin}",
            f"--python_betterproto_out={output}",
            str(PROTO),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return (output / "praxis_remote" / "__init__.py").read_text(encoding="utf-8")


def substitute(pattern: str, replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
    """Replaces every match, of which there must be at least one."""
    mended, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    if count == 0:
        raise SystemExit(f"the generator changed: nothing matches {pattern!r}")
    return mended


def type_enum_members(text: str) -> str:
    """Wraps each enum member's number in a cast to its own enum."""

    def mend(match: re.Match[str]) -> str:
        name, body = match.group(1), match.group(2)
        members = re.sub(
            r"^    (\w+) = (\d+)$", rf'    \1 = cast("{name}", \2)', body, flags=re.MULTILINE
        )
        return f"class {name}(betterproto.Enum):\n{members}"

    enum = r"^class (\w+)\(betterproto\.Enum\):\n((?:(?:    .*)?\n)+)"
    return substitute(r"^    Optional,$", "    Optional,\n    cast,", substitute(enum, mend, text))


def require_request(text: str) -> str:
    """Answers a call that ended without a message instead of passing None on."""
    return substitute(
        r"^        request = await stream\.recv_message\(\)$",
        "        request = await stream.recv_message()\n"
        "        if request is None:\n"
        "            raise grpclib.GRPCError(\n"
        "                grpclib.const.Status.INTERNAL,\n"
        '                "the call ended without a request message",\n'
        "            )",
        text,
    )


def compile_schema() -> str:
    """Returns the module as it shall be committed."""
    with tempfile.TemporaryDirectory() as output:
        text = run_protoc(Path(output))
    text = substitute(r"^    _ = 0$", "    NULL_VALUE = 0", text)
    return HEADER + require_request(type_enum_members(text))


def main() -> int:
    """Writes the module, or with ``--check`` compares it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    text = compile_schema()
    if not check:
        GENERATED.write_text(text, encoding="utf-8")
        return 0
    committed = GENERATED.read_text(encoding="utf-8")
    sys.stdout.writelines(
        difflib.unified_diff(
            committed.splitlines(keepends=True),
            text.splitlines(keepends=True),
            "committed",
            "compiled from the schema",
        )
    )
    if committed != text:
        print(f"{GENERATED.relative_to(ROOT)} is stale: run `make proto`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
