# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The page on reliability says what is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from praxis_remote import Limits
from praxis_remote.episodes import MAX_ID
from praxis_remote.http2 import machine, patience, protocol, receiving, server_stream
from praxis_remote.http2 import server as http2_server
from praxis_remote.inspect import Inspector, copies, door, web
from praxis_remote.limits import DEFAULT_MAX_PENDING
from praxis_remote.metrics import server as scraped

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
TEXT = PAGE.read_text(encoding="utf-8")
DEFAULTS = inspect.signature(Inspector).parameters


def test_every_limit_is_there_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", TEXT, re.MULTILINE))
    assert rows == {field.name: str(int(getattr(Limits(), field.name))) for field in fields(Limits)}


def test_the_fixed_limits_are_those_of_the_code() -> None:
    assert f"`max_pending` ({DEFAULT_MAX_PENDING})" in TEXT
    for what in (
        f"asked without a token | {http2_server._MAX_SMALL // 1024} KiB |",
        f"ends episodes by itself | {MAX_ID} characters |",
        f"calls of a connection at once | {protocol._MAX_STREAMS} |",
        f"of a connection | {server_stream._MAX_STREAMS} |",
        f"a message of such a call | {server_stream._MAX_REQUEST // 1024} KiB |",
        f"{server_stream._MAX_WAITING} bytes, each with {server_stream._EACH} more",
        f"{protocol._MAX_BLOCK // 1024} KiB packed, "
        f"{machine.max_headers(False) // 1024} KiB unpacked",
        f"{machine.max_headers(True) // 1024} KiB of a server's",
        f"{protocol._MAX_FRAME_SIZE // 2**20} MiB of a message, "
        f"{protocol._MAX_BLOCK // 1024} KiB otherwise",
        f"{patience._BURST} at once, {patience._BY_THE_SECOND} a second, "
        f"{patience._BY_THE_CALL} for each answered call",
        f"connections accepted, in one turn | {http2_server._ACCEPTED} |",
        f"slower than {http2_server._SLOW // 1024} KiB a second",
    ):
        assert what in TEXT
    assert receiving._MAX_FRAMES == http2_server._ACCEPTED


def test_the_limits_of_the_pages_beside_the_server_are_those_of_the_code() -> None:
    for what in (
        f"{scraped._MAX_CONNECTIONS} connections, {scraped._MAX_HEAD // 1024} KiB of a request, "
        f"{scraped._PATIENCE:g} s",
        f"{web._MAX_STREAMS} browsers that follow, {door._MAX_VISITS} that have shown",
        f"{DEFAULTS['max_episodes'].default} episodes, "
        f"{DEFAULTS['max_bytes'].default // 2**20} MiB",
        f"{copies.MAX_STEP_BYTES // 2**20} MiB of an observation, {copies.MAX_KEYS} of its keys",
    ):
        assert what in TEXT


def test_every_command_and_file_that_it_names_is_there() -> None:
    root = PAGE.parents[1]
    targets = (root / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (\w+)`", TEXT):
        assert f"\n{target}:" in targets
    for path in re.findall(r"`(tests/[\w./]+)`", TEXT):
        assert (root / path).exists()
