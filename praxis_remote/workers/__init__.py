# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One policy in several processes behind one address, each on its own GPU.

The process that was started is the door: it accepts connections, reads which session the
first request is of, and hands the connection itself to that session's worker. From then on
client and worker have nobody between them.
"""
