# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Gives the reference the docstrings that ``_documented_by`` copies at run time.

The reference is read from the source, not from imported modules; `mkdocs.yml` names
this file as an extension of its reader.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_DECORATOR = re.compile(r"_documented_by\(([\w.]+)\)")


class DocumentedBy(griffe.Extension):
    """Copies the docstring of the method that a decorator names."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Looks at every class of the package, when all of it has been read."""
        for module in _modules(pkg):
            for cls in module.classes.values():
                if not cls.is_alias:
                    _document(cls)


def _modules(module: griffe.Module) -> list[griffe.Module]:
    found = [module]
    for child in module.modules.values():
        if not child.is_alias:
            found += _modules(child)
    return found


def _document(cls: griffe.Class) -> None:
    for function in cls.functions.values():
        for decorator in () if function.is_alias else function.decorators:
            if match := _DECORATOR.fullmatch(str(decorator.value)):
                owner, name = match[1].rsplit(".", 1)
                original = cls.module[owner]
                target = original.final_target if original.is_alias else original
                function.docstring = target[name].docstring
