# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Measurements that anyone can repeat. Nothing in the package imports them."""
