# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How far a server is open to those who were not meant, and the warning about it.

Nothing here opens or closes anything.
"""

from __future__ import annotations

import logging

from .address import AnyAddress
from .logs import event
from .tls import ServerContexts

__all__ = ["warn_if_open"]

log = logging.getLogger("praxis_remote.server")

_ANYBODY = (
    "anyone who reaches it can call the policy, reset its episodes and use up the GPU "
    "(--token-file or --tls-client-ca; tokens=, or ServerTLS(client_ca=...))"
)
_READABLE = (
    "observations, actions and tokens can be read and changed on the way "
    "(--tls-cert and --tls-key; tls=ServerTLS(...))"
)


def warn_if_open(address: AnyAddress, tls: ServerContexts | None, *, named: bool) -> None:
    """Says what others can do to a server that other machines can reach.

    Args:
        address: Where it listens.
        tls: Its TLS, if it has any.
        named: Whether callers must show a token.
    """
    if address.local:
        return
    anybody = not (named or (tls is not None and tls.names_clients))
    risks = [*([_ANYBODY] * anybody), *([_READABLE] * (tls is None))]
    if risks:
        text = "OPEN TO THE NETWORK: other machines may reach %s: %s"
        log.warning(text, address, "; ".join(risks), extra=event("open", address=str(address)))
