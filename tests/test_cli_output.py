# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What a command says is taken, or its loss is told."""

from __future__ import annotations

import os
import subprocess
import sys

from command import ERROR, ROOT, TIMEOUT


def test_output_that_nobody_takes_is_one_line() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "praxis_remote", "proto", "--include"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
        check=False,
    )
    os.close(writer)
    said = f"{ERROR}cannot write to stdout: Broken pipe\n".encode()
    assert (done.returncode, done.stderr) == (1, said)
