# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The process that `load` starts; the word on its command line is the pipe to its parent."""

import sys

from .worker import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
