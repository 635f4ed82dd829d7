# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What MkDocs cannot do by itself: generated parts of pages, and a look at what pages load.

`mkdocs.yml` names this file as a hook.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

from praxis_remote import PolicyServer, logs
from praxis_remote.cli.program import _parser
from praxis_remote.metrics import Metrics
from praxis_remote.testing import RecordingHandler

COMMANDS = "<!-- commands -->"
"""What stands in a page for the help of every command."""

METRICS = "<!-- metrics -->"
"""What stands in a page for the table of all metrics."""

EVENTS = "<!-- events -->"
"""What stands in a page for the table of all events that are logged."""

FILES = re.compile(r"^<!-- files: (\S+) -->$", re.MULTILINE)
"""What stands in a page for every file of a folder."""

_ROOT = Path(__file__).parents[1]

_COLUMNS = "88"

_LANGUAGES = {
    ".env": "ini",
    ".json": "json",
    ".proto": "proto",
    ".py": "python",
    ".service": "ini",
    ".yaml": "yaml",
    ".yml": "yaml",
    "Dockerfile": "dockerfile",
}
"""How a file is coloured, by suffix, or by name for a file without one."""

_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
"""The attribute by which an element loads something."""

_NOT_LOADED = {"canonical", "next", "prev", "edit", "alternate"}
"""Values of a link's ``rel`` that only tell where something is."""

_REMOTE = re.compile(r"(?i)\s*(https?:)?//")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Puts in what a page asks for: commands, metrics, events, the files of a folder."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, commands())
    if METRICS in markdown:
        markdown = markdown.replace(METRICS, metrics())
    if EVENTS in markdown:
        markdown = markdown.replace(EVENTS, events())
    return FILES.sub(lambda match: files(match[1]), markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Refuses a page that would load something from elsewhere."""
    if found := remote_resources(output):
        raise PluginError(f"{page.file.src_uri} loads {', '.join(found)}; keep a copy in docs/")
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """Refuses a style sheet that would load something from elsewhere."""
    for path in Path(config.site_dir).rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        if found := re.findall(r"(?i)(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", text):
            raise PluginError(f"{path.name} loads {', '.join(found)}; keep a copy in docs/")


def commands() -> str:
    """Returns the help of every command as Markdown, a section each."""
    # The commands' own width would be that of whichever terminal builds the site.
    with mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS}):
        return "\n".join(
            f"## {parser.prog}\n\n```text\n{parser.format_help()}```\n" for parser in parsers()
        )


def parsers() -> Iterator[argparse.ArgumentParser]:
    """Yields the parser of the whole command line, then that of each command."""
    whole = _parser()
    yield whole
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def metrics() -> str:
    """Returns every metric with its labels as a table."""
    told = Metrics()
    with PolicyServer(RecordingHandler(), port=0, observers=[told]) as server:
        told.watch(server)
        families = list(told.collect())
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for family in families:
        labels = {name: None for sample in family.samples for name in sample.labels if name != "le"}
        names = ", ".join(f"`{name}`" for name in labels)
        rows.append(f"| `{family.name}` | {family.type} | {names} | {family.documentation} |")
    return "\n".join(rows)


def events() -> str:
    """Returns every event with what it says as a table."""
    rows = [f"| `{name}` | {text.replace('``', '`')} |" for name, text in logs.EVENTS.items()]
    return "\n".join(["| event | what it says |", "|---|---|", *rows])


def files(folder: str) -> str:
    """Returns the text of every file of a folder, of the kinds that have a colour, as Markdown."""
    shown = []
    for path in sorted((_ROOT / folder).rglob("*")):
        if language := _LANGUAGES.get(path.suffix or path.name):
            name, text = path.relative_to(_ROOT).as_posix(), path.read_text(encoding="utf-8")
            shown.append(f'```{language} title="{name}"\n{text.rstrip()}\n```\n')
    if not shown:
        raise PluginError(f"{folder} has no files; name a folder of the repository that has")
    return "\n".join(shown)


def remote_resources(html: str) -> list[str]:
    """Returns the addresses elsewhere from which a page would load something."""
    finder = _Finder()
    finder.feed(html)
    return finder.found


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and _NOT_LOADED & set(values.get("rel", "").split()):
            return
        address = values.get(_LOADED.get(tag, ""), "")
        if _REMOTE.match(address):
            self.found.append(address)
