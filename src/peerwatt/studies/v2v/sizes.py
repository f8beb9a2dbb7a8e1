"""What of the best welfare the first round's auction keeps, by how many orders there are.

Knows the double auctions.
"""

from __future__ import annotations

from peerwatt.market_lab.subjects import book_of
from peerwatt.mechanisms.double_auction import clear_double_auction
from peerwatt.studies.study import Row
from peerwatt.studies.v2v.parameters import V2V

RULES = {"count": "mcafee-paper", "volume": "mcafee", "huang": "huang"}
"""The paper counts orders up to the last pair; the others add up their energy."""


def sizes(v2v: V2V, draw: int) -> list[Row]:
    """A row for each size whose market has any gain from trade."""
    rows: list[Row] = []
    for size in v2v.sizes:
        book = book_of(v2v.orders(draw, size))
        best = clear_double_auction(book, "uniform").welfare
        if best <= 0:
            continue
        kept = {
            rule: clear_double_auction(book, name, seed=draw).welfare / best
            for rule, name in RULES.items()
        }
        rows.append({"draw": draw, "size": size} | kept)
    return rows
