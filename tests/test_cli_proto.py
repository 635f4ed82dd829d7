# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The schema's folder is printed, and a generated copy of it adopted."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import fails, says

from praxis_remote.schema import include_path


def test_proto_prints_the_folder_for_protoc(capsys: pytest.CaptureFixture[str]) -> None:
    assert says(capsys, "proto", "--include") == f"{include_path()}\n"


def test_proto_adopts_a_generated_copy_and_prints_its_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = tmp_path / "generated"
    copy = package / "praxis_remote" / "__init__.py"
    copy.parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    # Adopted before; what is adopted otherwise is the affair of schema.reuse.
    copy.write_text("from praxis_remote.schema import *\n")
    assert says(capsys, "proto", "--adopt", str(package)) == f"{copy}\n"
    said = fails(capsys, 1, "proto", "--adopt", str(tmp_path))
    assert said.startswith(f"{tmp_path / 'praxis_remote' / '__init__.py'}: there is no such file")
