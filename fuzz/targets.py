# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""All that is fuzzed, by name."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.client import Client
from fuzz.growth import Growth
from fuzz.messages import Messages
from fuzz.server import Server
from fuzz.target import Target
from fuzz.tensors import Tensors

TARGETS: dict[str, Callable[[], Target]] = {
    target.name: target for target in (Messages, Tensors, Growth, Server, Client)
}
