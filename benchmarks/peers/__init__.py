# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""One module for each way to call a policy, and what they have in common.

They run in environments of their own, through `run`. A module has

- ``PACKAGES``: the names of the distributions whose versions matter,
- ``serve(policy, unix=...)``: serves on a thread, and returns the address,
- ``connect(address)``: returns a `client.Client`,

and imports nothing but its packages, numpy, `benchmarks.payloads` and its neighbours.
"""
