"""When things happen around a slot, in seconds. Knows nothing else."""

from __future__ import annotations

ORDER_LEAD_S = 120
"""Agents order this long before the slot."""
GATE_LEAD_S = 60
"""The book closes this long before the slot."""
REVEAL_LEAD_S = 45
"""Sealed orders are shown until this long before the slot."""
CLEAR_LEAD_S = 30
"""It must be cleared this long before the slot."""
REPORT_LAG_S = 30
"""The meters' readings are reported this long after the slot."""
SETTLE_LAG_S = 600
"""A round settles at the latest this long after its slot."""
DISPUTE_WINDOW_S = 7 * 86_400
"""How long after that a driver may object."""
