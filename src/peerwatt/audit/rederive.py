"""Derives a round's awards and settlements again from its sealed book and readings.

Knows the contracts' arithmetic and the sealed trees; not the state that the ledger was in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import (
    Cleared,
    award,
    book_of,
    clear_book,
    clear_pairs,
    grid_alone,
)
from peerwatt.contracts.pairs import Flaw
from peerwatt.contracts.settlement import settle
from peerwatt.contracts.state import InvariantError
from peerwatt.hosts.replica import Replica
from peerwatt.records.codec import decode, encode
from peerwatt.records.market import Award, BuyOrder, Order, Round, SellOrder
from peerwatt.records.merkle import sealed_root
from peerwatt.records.readings import SignedReading


class Rederived(NamedTuple):
    """How many rounds came out as they stand on the ledger, and which did not."""

    cleared: int
    settled: int
    awards: int
    differing: list[str]


def rederive(chain: Replica) -> Rederived:
    """Every cleared and settled round of the chain, derived again and compared by root."""
    cleared = settled = awards = 0
    differing = []
    for key, each in chain.items("rounds"):
        if each.clearing is None:
            continue
        cleared += 1
        derived = _awards(chain, key, each)
        awards += len(derived)
        root = sealed_root([(a.order_id, encode(a)) for a in derived])
        if root != each.awards_root:
            differing.append(f"awards of the round of {each.site} at {each.slot_start_s}")
        if each.totals is None:
            continue
        settled += 1
        if _settlements_root(chain, key, each) != each.settlements_root:
            differing.append(f"settlement of the round of {each.site} at {each.slot_start_s}")
    return Rederived(cleared, settled, awards, differing)


def _awards(chain: Replica, key: bytes, each: Round) -> list[Award]:
    orders: list[BuyOrder | SellOrder] = [
        decode(data, Order)  # type: ignore[arg-type]
        for _, data in chain.sealed("orders", key)
    ]
    book = book_of(each, orders)
    assert each.clearing is not None
    if each.clearing.sellers_dropped:
        cleared = grid_alone(book)
    elif each.proposed is not None:
        cleared = _proved(chain, key, book, orders)
    else:
        cleared = clear_book(book)
    return award(cleared.book, cleared.outcome, cleared.pricing)


def _proved(
    chain: Replica, key: bytes, book: Book, orders: Sequence[BuyOrder | SellOrder]
) -> Cleared:
    prices = [int.from_bytes(data, "big") for _, data in chain.sealed("prices", key)]
    found = clear_pairs(book, orders, prices)
    if isinstance(found, Flaw):
        raise InvariantError(f"the sealed prices of a round prove nothing: {found.reason.name}")
    return found


def _settlements_root(chain: Replica, key: bytes, each: Round) -> bytes:
    awards = [decode(data, Award) for _, data in chain.sealed("awards", key)]
    readings = {
        port.decode(): decode(data, SignedReading).reading
        for port, data in chain.sealed("readings", key)
    }
    readings.pop("", None)
    assert each.clearing is not None
    pool = settle(
        awards,
        readings,
        each.prices,
        each.clearing,
        each.import_limit_wh,
        each.export_limit_wh,
    )
    return sealed_root([(row.order_id, encode(row)) for row in pool.settled])
