# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the command lines of the benchmarks take."""

from __future__ import annotations

import argparse
import math

from benchmarks.payloads import check_name


# The parser shows these two names to people.
def positive_number(text: str) -> int:
    """Returns the number, if it is one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def positive_seconds(text: str) -> float:
    """Reads a time that has an end."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not positive, or has no end")
    return seconds


def payload_name(text: str) -> str:
    """Returns the name, if it is one of a payload."""
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
