# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Where and when it was measured, without a name of the machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_RELEASE = Path("/etc/os-release")


def today() -> str:
    """Returns the date, in UTC."""
    return dt.datetime.now(dt.timezone.utc).date().isoformat()


def describe() -> dict[str, str | int]:
    """Returns processor, cores, operating system and kernel."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "os": _system(),
        "kernel": f"{platform.system()} {re.sub('-.*', '', platform.release())}",
        "architecture": platform.machine(),
    }


def _cpu() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return _find(r"^model name\s*: (.+)$", _CPUINFO) or platform.processor() or "unknown"


def _system() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return _find(r'^PRETTY_NAME="?(.+?)"?$', _RELEASE) or platform.system()


def _find(pattern: str, path: Path) -> str | None:
    if not path.exists():
        return None
    match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else None
