# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""Many clients, for long, and peers that mean harm: `make soak`, `make hostile`."""
