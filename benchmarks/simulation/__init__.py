# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""How throughput and latency grow with replicas: a discrete-event simulation.

Times of service are measured (`measuring`), what they add up to is simulated (`engine`),
and both are held against what real processes do (`validation`). In the order of the data:
`measuring` and `validation` -> `costs` -> `scenario` -> `engine` -> `study` -> `page`, `plot`.
"""
