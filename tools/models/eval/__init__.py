# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures finished clips, with no part of the model that made them."""
