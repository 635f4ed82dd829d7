# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the site's pages are made of, besides what MkDocs does."""

from __future__ import annotations

import os
from pathlib import Path

import griffe
import pytest
from mkdocs.exceptions import PluginError

from praxis_remote import AsyncPolicyClient
from praxis_remote.cli.program import _COMMANDS
from praxis_remote.logs import EVENTS
from tools import documented_by, site

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_of_the_command_line_has_the_help_of_every_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = site.commands()
    for parser in site.parsers():
        assert f"\n## {parser.prog}\n" in f"\n{text}"
    assert text.count("\n## ") == len(_COMMANDS)
    assert "--max-message-size BYTES" in text
    assert os.environ["COLUMNS"] == "30"
    assert max(map(len, text.splitlines())) > 80


def test_the_page_of_the_logs_has_every_event() -> None:
    rows = site.events().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(EVENTS)
    assert "``" not in site.events()


def test_the_page_of_the_metrics_has_each_with_its_labels() -> None:
    rows = site.metrics().splitlines()[2:]
    assert "| `praxis_remote_calls` | counter | `method`, `status` |" in "\n".join(rows)
    assert all(row.startswith("| `praxis_remote_") for row in rows)
    assert len(rows) > 10


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/a.css">',
        '<img alt="a" src="HTTP://example/a.png">',
        '<link rel="preconnect" href="https://fonts.example">',
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(html: str) -> None:
    [address] = site.remote_resources(f"<p>{html}</p>")
    assert address in html


@pytest.mark.parametrize(
    "html",
    [
        '<script src="assets/a.js"></script>',
        '<link rel="canonical" href="https://example/">',
        '<a href="https://example/">there</a>',
        '<img alt="a" src="data:image/png;base64,AA">',
    ],
)
def test_what_a_page_only_names_or_has_itself_passes(html: str) -> None:
    assert site.remote_resources(html) == []


def test_a_folder_without_files_is_an_error_that_names_it() -> None:
    with pytest.raises(PluginError, match="docs/nothing has no files"):
        site.files("docs/nothing")


def test_the_files_of_a_folder_are_shown_whole() -> None:
    text = site.files("schema/praxis_remote")
    proto = (ROOT / "schema/praxis_remote/policy_service.proto").read_text(encoding="utf-8")
    assert 'title="schema/praxis_remote/policy_service.proto"' in text
    assert proto.rstrip() in text


def test_the_reference_has_the_docstrings_that_are_copied_at_run_time() -> None:
    package = griffe.load(
        "praxis_remote",
        search_paths=[ROOT],
        extensions=griffe.load_extensions(documented_by.DocumentedBy),
    )
    docstring = package["client.PolicyClient.predict_action"].docstring
    assert docstring is not None
    assert AsyncPolicyClient.predict_action.__doc__ is not None
    assert docstring.value.split() == AsyncPolicyClient.predict_action.__doc__.split()
