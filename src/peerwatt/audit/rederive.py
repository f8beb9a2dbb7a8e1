"""Derives a round's clearing and settlements again from its sealed book, prices and readings.

Knows the contracts' arithmetic, the sealed trees and, of auctions, the messages that ended them;
not the state that the ledger was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from peerwatt.audit.auctions import Auctions
from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import (
    PRICE_BYTES,
    Cleared,
    award,
    book_of,
    clear_book,
    clear_proposed,
    proposed_prices,
    sealed_prices,
    without_sellers,
)
from peerwatt.contracts.proved import Flaw
from peerwatt.contracts.settlement import settle
from peerwatt.hosts.replica import Replica
from peerwatt.records.codec import decode, encode
from peerwatt.records.market import (
    Award,
    BuyOrder,
    Clearing,
    Order,
    Round,
    SellOrder,
    prices_hash,
)
from peerwatt.records.merkle import sealed_root
from peerwatt.records.readings import SignedReading
from peerwatt.simulation.tables import cleared_by, mechanism_name


class Certified(NamedTuple):
    """A cleared round and how much better another clearing can be at most, worked out again.

    Of a round cleared against the grid alone nothing is certified: `gap_ucoin` is None, as what
    the ledger keeps is the gap of the book without its sellers.
    """

    slot_start_s: int
    mechanism: str
    cleared_by: str
    orders: int
    traded_ucoin: int
    gap_ucoin: int | None


class Rederived(NamedTuple):
    """How many rounds came out as they stand on the ledger, and which did not."""

    settled: int
    awards: int
    certified: list[Certified]
    """Of each cleared round, in the order of their slots."""
    differing: list[str]


def rederive(chain: Replica) -> Rederived:
    """Every cleared and settled round of the chain, derived again and compared."""
    settled = awards = 0
    certified: list[Certified] = []
    differing: list[str] = []
    auctions = Auctions(chain)
    for key, each in chain.items("rounds"):
        if each.clearing is None:
            continue
        where = f"of the round of {each.site} at {each.slot_start_s}"
        cleared = _cleared(chain, key, each, each.clearing, auctions)
        if isinstance(cleared, str):
            proof = "prices" if each.mechanism.priced else "bids"
            differing.append(f"{proof} {where}: {cleared}")
        else:
            derived = award(cleared.book, cleared.outcome, cleared.pricing)
            awards += len(derived)
            certified.append(_certified(chain, each, each.clearing, cleared))
            wrong = _differing(each, each.clearing, cleared, derived)
            differing += [f"{what} {where}{how}" for what, how in wrong]
        if each.totals is None:
            continue
        settled += 1
        if _settlements_root(chain, key, each) != each.settlements_root:
            differing.append(f"settlement {where}")
    return Rederived(settled, awards, certified, differing)


def _cleared(
    chain: Replica, key: bytes, each: Round, clearing: Clearing, auctions: Auctions
) -> Cleared | str:
    """The round's book cleared again, or what is wrong with the proof that it should have."""
    orders: list[BuyOrder | SellOrder] = [
        decode(data, Order)  # type: ignore[arg-type]
        for _, data in chain.sealed("orders", key)
    ]
    book = book_of(each, auctions.present(orders))
    if clearing.sellers_dropped:
        return without_sellers(book, auctions.revised)
    if not each.mechanism.proposed:
        return clear_book(book, auctions.revised)
    if not each.mechanism.priced:
        return auctions.cleared(each, orders)
    return _proved(chain, key, each, book, orders)


def _proved(
    chain: Replica, key: bytes, each: Round, book: Book, orders: Sequence[BuyOrder | SellOrder]
) -> Cleared | str:
    """The clearing that the sealed prices prove, if they are the ones that were proposed."""
    entries = chain.sealed("prices", key)
    feeder_prices = () if each.clearing is None else each.clearing.feeder_prices
    if each.proposed is None:
        return "nobody proposed any"
    listed = [order_id for order_id, _ in entries] == [order.order_id for order in orders]
    whole = all(len(data) == PRICE_BYTES for _, data in entries)
    if not entries or not listed or not whole or len(feeder_prices) != len(book.feeders):
        return "are not those that were proposed"
    prices = proposed_prices(book, orders, entries, feeder_prices)
    if (
        min(prices) < 0
        or prices_hash(prices, feeder_prices) != each.proposed.prices_hash
        or sealed_prices(book, orders, prices, feeder_prices) != list(entries)
    ):
        return "are not those that were proposed"
    if sealed_root(entries) != each.prices_root:
        return "are not those that were sealed"
    found = clear_proposed(book, orders, prices, feeder_prices)
    if isinstance(found, Flaw):
        return f"prove nothing ({found.reason.name})"
    return found


def _differing(
    each: Round, clearing: Clearing, cleared: Cleared, awards: Sequence[Award]
) -> Iterator[tuple[str, str]]:
    """What the ledger says otherwise: the awards, a figure of the clearing, or its proposer."""
    if sealed_root([(a.order_id, encode(a)) for a in awards]) != each.awards_root:
        yield "awards", ""
    dropped = clearing.sellers_dropped
    outcome, proposed = cleared.outcome, None if dropped else each.proposed
    figures = {
        "clearing price": (outcome.price_ucoin_per_kwh, clearing.price_ucoin_per_kwh),
        "buyers' price": (cleared.pricing.buyer_price, clearing.buyer_price_ucoin_per_kwh),
        "energy bought": (sum(outcome.bought_wh), clearing.bought_wh),
        "energy sold": (sum(outcome.sold_wh), clearing.sold_wh),
        "import": (outcome.import_wh, clearing.import_wh),
        "export": (outcome.export_wh, clearing.export_wh),
        "gap": (cleared.gap_ucoin, clearing.gap_ucoin),
        "worth traded": (cleared.traded_ucoin, clearing.traded_ucoin),
    }
    for what, (derived, said) in figures.items():
        if derived != said:
            yield what, f": says {said}, comes to {derived}"
    if proposed is not None and proposed.gap_ucoin != cleared.gap_ucoin:
        yield "proposed gap", f": says {proposed.gap_ucoin}, comes to {cleared.gap_ucoin}"
    if clearing.proposer != (b"" if proposed is None else proposed.proposer):
        yield "proposer", ""


def _certified(chain: Replica, each: Round, clearing: Clearing, cleared: Cleared) -> Certified:
    return Certified(
        slot_start_s=each.slot_start_s,
        mechanism=mechanism_name(each.mechanism),
        cleared_by=cleared_by(chain, clearing),
        orders=each.order_count,
        traded_ucoin=cleared.traded_ucoin,
        gap_ucoin=None if clearing.sellers_dropped else cleared.gap_ucoin,
    )


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
