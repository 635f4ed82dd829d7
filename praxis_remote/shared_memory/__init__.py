# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Messages between processes of one user on one machine, in memory that both have mapped.

The client makes it and names it in the metadata of calls on a UNIX socket; the server
opens it by what the kernel says of who is at the other end. On the socket goes an empty
message in the place of the large one. All else stays as it is, and where one side cannot,
or does not answer, nothing changes.
"""

from .area import LARGE_BYTES
from .borrower import Borrowed, Borrower
from .lender import Lender, Loan
from .memfd import AVAILABLE, peer_of

__all__ = ["AVAILABLE", "LARGE_BYTES", "Borrowed", "Borrower", "Lender", "Loan", "peer_of"]
