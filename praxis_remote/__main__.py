# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Makes ``python -m praxis_remote`` the same as the installed script."""

import sys

from .cli import main

# Guarded, because multiprocessing imports this module anew in the policy's workers.
if __name__ == "__main__":
    sys.exit(main())
