"""Mechanisms as an audit sees them: what each says it wants goes in, energy and money come out.

Knows markets of one price and one quantity an owner, and how each mechanism is fed with them.
Knows nothing of truth: that is the auditor's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Band, Book, Orders
from peerwatt.mechanisms.double_auction import MECHANISMS
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price
from peerwatt.mechanisms.v2v import clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell


class Market(NamedTuple):
    """Owners of one order each, as they are or as they say they are."""

    value: FloatArray
    """(buyers,) coin per kWh."""
    need_kwh: FloatArray
    """(buyers,) above zero."""
    cost: FloatArray
    """(sellers,)"""
    have_kwh: FloatArray
    """(sellers,) above zero."""
    band: Band


class Outcome(NamedTuple):
    """What each owner trades with others, and for how much."""

    bought_kwh: FloatArray
    paid: FloatArray
    sold_kwh: FloatArray
    earned: FloatArray


Clear = Callable[[Market, int], Outcome]
"""What was said, and the seed of lots, to what comes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A mechanism to be audited and what it claims."""

    name: str
    clear: Clear
    truthful_in_price: bool = False
    truthful_in_quantity: bool = False
    never_short: bool = True
    """Whether buyers' money always covers sellers'."""
    one_size: bool = False
    """Whether it takes only orders of one size, so that nobody can lie about it."""


def subject_of(name: str) -> Subject:
    """A mechanism by name; raises ValueError for one that names no prices or is none."""
    if name in _OTHERS:
        return _OTHERS[name]
    if name not in MECHANISMS:
        raise ValueError(f"mechanism {name!r} is none of {', '.join(SUBJECTS)}, all")
    what = MECHANISMS[name]

    def clear(said: Market, seed: int) -> Outcome:
        found = what.clear(book_of(said), seed=seed)
        return Outcome(found.bought_kwh, found.paid, found.sold_kwh, found.earned)

    return Subject(
        name=name,
        clear=clear,
        truthful_in_price=what.truthful_in_price,
        truthful_in_quantity=what.truthful_in_quantity,
        never_short=what.budget != "deficit",
        one_size=what.one_size,
    )


def book_of(said: Market) -> Book:
    """The market as limit orders."""
    return Book(
        bids=Orders(price=said.value, kwh=said.need_kwh),
        asks=Orders(price=said.cost, kwh=said.have_kwh),
        band=said.band,
    )


def random_market(seed: int, *, one_size: bool = False, most: int = 6) -> Market:
    """Two to `most` owners a side, prices anywhere between the grid's, sizes of 1 to 10 kWh."""
    rng = np.random.default_rng(seed)
    band = Band(feed_in=0.05, retail=0.35)
    n, m = (int(count) for count in rng.integers(2, most + 1, 2))
    prices = [rng.uniform(band.feed_in, band.retail, count) for count in (n, m)]
    sizes = [np.ones(count) if one_size else rng.uniform(1, 10, count) for count in (n, m)]
    return Market(prices[0], sizes[0], prices[1], sizes[1], band)


def saying(market: Market, buyer: bool, row: int, price: float | None, kwh: float | None) -> Market:
    """The same market in which one owner says another price, another quantity, or both."""
    names = ("value", "need_kwh") if buyer else ("cost", "have_kwh")
    changed = {}
    for name, said in zip(names, (price, kwh), strict=True):
        if said is not None:
            values = getattr(market, name).copy()
            values[row] = said
            changed[name] = values
    return market._replace(**changed)


def _one_price(said: Market, seed: int) -> Outcome:
    """The ledger's own round on flat curves, with a grid that can neither sell nor buy."""
    found = clear_one_price(
        BuyerCurves(
            minimum_kwh=np.zeros(len(said.value)),
            maximum_kwh=said.need_kwh,
            price_high=said.value,
            price_low=said.value,
        ),
        SellerCurves(maximum_kwh=said.have_kwh, ask=said.cost, slope=np.zeros(len(said.cost))),
        GridTerms(
            retail=said.band.retail,
            feed_in=said.band.feed_in,
            import_limit_kwh=0.0,
            export_limit_kwh=0.0,
        ),
        lost_load=said.band.retail,
    )
    return Outcome(
        found.bought_kwh,
        found.buyer_price * found.bought_kwh,
        found.sold_kwh,
        found.seller_price * found.sold_kwh,
    )


def _v2v(paper: bool) -> Clear:
    """Cars of one willingness and one cost, who all sign the second round. What they then trade
    with the grid they could have traded without a market: it does not count."""

    def clear(said: Market, seed: int) -> Outcome:
        found = clear_v2v(
            CarsThatBuy(
                bid=said.value,
                weight=3.0,
                minimum_kwh=0.2 * said.need_kwh,
                maximum_kwh=said.need_kwh,
            ),
            CarsThatSell(
                ask=said.cost, maximum_kwh=said.have_kwh, quadratic_cost=0.02, linear_cost=0.05
            ),
            said.band,
            paper=paper,
            seed=seed,
        )
        money = [np.zeros(len(said.value)), np.zeros(len(said.cost))]
        for each in (found.first, found.second):
            money[0] += np.where(each.bought_kwh > 0, each.buyer_price * each.bought_kwh, 0.0)
            money[1] += np.where(each.sold_kwh > 0, each.seller_price * each.sold_kwh, 0.0)
        return Outcome(
            found.first.bought_kwh + found.second.bought_kwh,
            money[0],
            found.first.sold_kwh + found.second.sold_kwh,
            money[1],
        )

    return clear


_OTHERS = {
    "one-price": Subject(name="one-price", clear=_one_price),
    "v2v": Subject(name="v2v", clear=_v2v(False)),
}
_OTHERS["v2v-paper"] = replace(_OTHERS["v2v"], name="v2v-paper", clear=_v2v(True))

SUBJECTS = (*MECHANISMS, *_OTHERS)
"""All that can be audited. `pairs` asks for no prices that one could lie about."""
