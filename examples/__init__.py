# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Complete programs that use praxis-remote. Nothing in the package imports them."""
