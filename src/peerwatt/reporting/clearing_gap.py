"""How good a clearing is, at most: its certified gap beside what it traded, in words for people.

Knows the two numbers that a ledger certifies of a round. Knows nothing of how they came about.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from peerwatt.units import UCOIN_PER_COIN

PPB = 1_000_000_000


def gap_ppb(gap_ucoin: int, traded_ucoin: int) -> int:
    """A gap in billionths of what was traded, counted as at least one coin; rounded up."""
    return -(-gap_ucoin * PPB // max(traded_ucoin, UCOIN_PER_COIN))


def at_most(ppb: int) -> str:
    """Billionths as a percentage of two digits, rounded up so that a bound stays one: `0.0041%`."""
    if ppb == 0:
        return "0%"
    percent = Decimal(ppb).scaleb(-7)
    step = Decimal(1).scaleb(percent.adjusted() - 1)
    return f"{percent.quantize(step, ROUND_CEILING).normalize():f}%"
