"""Pairs behind feeders: PETCON's welfare optimum where groups of connections have limits of their
own, with its proof.

Knows the pairs' book, the feeders and the grid's terms. Knows neither ledger nor agents.

The problem is that of `welfare`, with minima worth lost load, and A x <= b for feeders as in
`feeders`. Energy behind feeder k is dearer by mu_k than at the bus, below zero where no more can
flow out (locational marginal prices: Schweppe et al., Spot Pricing of Electricity, 1988, ch. 7).
Seen from the bus, where a price p behind k is p - mu_k, pairs trade as they do without feeders:

    e_ij = ((p_i - mu_i) - (t_j - mu_j))_+ y_j,

and only those who are at the grid's price, or at lost load, trade anything else. The prices come
from an interior-point method; what they mean is worked out from them anew, and the gap bounded:

    sum_i B_i + sum_j (t_j - l_j) left_j + (P - R) import room left + (F - f) export room left
    + sum_k mu_k+ (import_k - net_k) + mu_k- (export_k + net_k),

P = max(R, max (p - mu)), f = min(F, min (t - mu)), B_i as in `welfare_certificate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.feeder_pairs_interior import Optimum, solve
from peerwatt.mechanisms.feeders import Feeders
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare_book import Core, PairBuyers, PairSellers, core_of
from peerwatt.mechanisms.welfare_certificate import Certificate, TradeSums, concave_gap
from peerwatt.mechanisms.welfare_newton import NotConvergedError
from peerwatt.mechanisms.welfare_staircase import Staircase

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeederPairsClearing:
    """One round cleared pair by pair. Energies in kWh and prices in coin per kWh, at the bus's side
    of everybody's plug; prices are those where an order is, behind its feeder."""

    buyer_price: FloatArray
    """(buyers,) p_i."""
    reserve_price: FloatArray
    """(sellers,) t_j: linear cost, local fee, and what j's limit is worth."""
    feeder_price: FloatArray
    """(K,) mu_k, by how much energy is dearer there than at the bus."""
    grid_price: float
    """P, retail and what the connection's import limit is worth."""
    bought_kwh: FloatArray
    from_grid_kwh: FloatArray
    """(buyers,) of it."""
    unserved_kwh: FloatArray
    """(buyers,) what is missing of the minimum."""
    sold_kwh: FloatArray
    """(sellers,) to buyers."""
    to_grid_kwh: FloatArray
    """(sellers,)"""
    import_kwh: float
    export_kwh: float
    welfare: float
    certificate: Certificate
    iterations: int


class _Prices(NamedTuple):
    """Those at the bus, and what differs behind feeders."""

    buyers: FloatArray
    sellers: FloatArray
    feeders: FloatArray
    """(K + 1,) the bus's last."""
    cap: float
    floor: float
    short: BoolArray
    """(buyers,) who is at lost load."""


class _Flows(NamedTuple):
    trades: TradeSums
    fetched: FloatArray
    handed: FloatArray


def clear_pairs_feeders(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms,
    feeders: Feeders,
    *,
    lost_load: float,
    tolerance: float = 1e-7,
) -> FeederPairsClearing:
    """Maximise PETCON's welfare within the limits of connection and feeders; minima are worth
    `lost_load` per kWh, as much or more than any buyer's marginal value beyond its minimum.

    Raises `BookError` for a book that means nothing, `ValueError` where feeders and book differ in
    length, `NotConvergedError` where the certified gap or an exceeded limit is above `tolerance`
    (of value traded plus weights, and of the greatest amount anybody has). Takes
    O((buyers + sellers)^3) a step.
    """
    core = core_of(buyers, sellers, grid, 1.0, None, lost_load)
    for name, count in (("buyers", len(core.weight)), ("sellers", len(core.room))):
        if getattr(feeders, name).shape != (count,):
            raise ValueError(f"Feeders.{name} and the {name} of the book differ in length")
    found = solve(core, feeders)
    site = _Site(core, feeders)
    prices = site.prices(found)
    flows = site.flows(prices, found)
    result = site.result(prices, flows, found.steps)
    _accept(result.certificate, max(core.most.max(initial=0), core.room.max(initial=0)), tolerance)
    return result


class _Site:
    """A book and its feeders: what prices mean, and what proves them."""

    def __init__(self, core: Core, feeders: Feeders) -> None:
        self.core, self.feeders = core, feeders
        # In pairs of value and multiplier the smaller, so measured, is zero.
        self.energy = float(max(core.most.max(initial=0), core.room.max(initial=0), 1e-9))

    def _rules(self, values: FloatArray, multipliers: FloatArray) -> BoolArray:
        """Where of a value and its multiplier the latter is noise."""
        return values / self.energy > multipliers / self.core.lost_load

    def prices(self, found: Optimum) -> _Prices:
        """The optimum's, those who are at a price that somebody sets at it to the last digit."""
        core, most = self.core, found.worth_most
        loose = self._rules(found.value.flow, found.worth_least.flow)
        loose &= self._rules(found.room.flow, most.flow)
        dearer = np.append(np.where(loose, 0.0, found.dearer), 0.0)
        cap, floor = core.retail, core.feed_in
        if core.import_room > 0 and not self._rules(*_both(found, "import_left")).all():
            cap += max(found.import_rent, 0.0)
        if core.export_room > 0 and not self._rules(*_both(found, "export_left")).all():
            floor -= max(found.export_rent, 0.0)
        short = self._rules(found.room.met, most.met)
        fetches = self._rules(*_both(found, "fetched"))
        hands, resting = self._rules(*_both(found, "handed")), self._rules(*_both(found, "left"))
        for place in np.unique(self.feeders.buyers[short & fetches]):
            # They are at lost load and at the grid's price: the one fixes the other.
            if dearer[place]:
                dearer[place] = core.lost_load - cap
            else:
                cap = core.lost_load
        for at in np.flatnonzero(hands & resting):
            place = self.feeders.sellers[at]
            if dearer[place]:
                dearer[place] = core.cost[at] - floor
            elif floor < core.feed_in:
                floor = float(core.cost[at])
        at_buyers, at_sellers = dearer[self.feeders.buyers], dearer[self.feeders.sellers]
        price = np.minimum(found.price, core.lost_load - at_buyers)
        price = np.where(short, core.lost_load - at_buyers, price)
        # Who takes nothing at any price, or all, is asked for none.
        price = np.where(fetches, cap, np.maximum(price, -at_buyers))
        least = core.cost - at_sellers
        reserve = np.where(resting, least, np.maximum(found.reserve, least))
        return _Prices(price, np.where(hands, floor, reserve), dearer, cap, floor, short)

    def flows(self, prices: _Prices, found: Optimum) -> _Flows:
        """What the prices make everybody trade; with the grid those who are at its price, and to
        whom it is all the same as much as in the optimum."""
        core = self.core
        base = float(prices.buyers.mean()) if len(prices.buyers) else 0.0
        trades = Staircase(core, base).sums(prices.buyers - base, prices.sellers - base)
        own = prices.buyers + prices.feeders[self.feeders.buyers]
        level = np.clip(own, core.weight / (core.most - core.least + core.knee), np.inf)
        level = np.minimum(level, core.weight / core.knee)
        wanted = core.least + core.knee * ((core.weight / core.knee - level) / level)
        open_ = np.where(prices.short, found.value.fetched, wanted - trades.bought)
        at_cap = (prices.buyers >= prices.cap) & (core.import_room > 0)
        fetched = np.where(at_cap, np.maximum(open_, 0.0), 0.0)
        at_floor = (prices.sellers <= prices.floor) & (core.export_room > 0)
        left = np.maximum(core.room - trades.sold, 0.0)
        handed = np.where(at_floor, np.minimum(found.value.handed, left), 0.0)
        return _Flows(trades, fetched, handed)

    def result(self, prices: _Prices, flows: _Flows, iterations: int) -> FeederPairsClearing:
        """The clearing with its proof."""
        core, trades = self.core, flows.trades
        own = prices.buyers + prices.feeders[self.feeders.buyers]
        reserve = prices.sellers + prices.feeders[self.feeders.sellers]
        bought, given = trades.bought + flows.fetched, trades.sold + flows.handed
        met = np.minimum(bought, core.least)
        extra = np.maximum(bought - core.least, 0.0)
        # Half of what lies between the prices of a pair is its quadratic cost.
        bus, asked = prices.buyers, prices.sellers
        cost = float(bus @ trades.bought - asked @ trades.sold) / 2 + float(core.cost @ given)
        import_kwh, export_kwh = float(flows.fetched.sum()), float(flows.handed.sum())
        cost += core.retail * import_kwh if import_kwh else 0.0
        cost -= core.feed_in * export_kwh if export_kwh else 0.0
        worth = core.lost_load * float(met.sum()) + float(core.weight @ np.log1p(extra / core.knee))
        return FeederPairsClearing(
            buyer_price=_fixed(own),
            reserve_price=_fixed(reserve),
            feeder_price=_fixed(prices.feeders[:-1]),
            grid_price=prices.cap,
            bought_kwh=_fixed(bought),
            from_grid_kwh=_fixed(flows.fetched),
            unserved_kwh=_fixed(core.least - met),
            sold_kwh=_fixed(trades.sold),
            to_grid_kwh=_fixed(flows.handed),
            import_kwh=import_kwh,
            export_kwh=export_kwh,
            welfare=worth - cost,
            certificate=self._certificate(prices, flows),
            iterations=iterations,
        )

    def _certificate(self, prices: _Prices, flows: _Flows) -> Certificate:
        core, trades = self.core, flows.trades
        own = prices.buyers + prices.feeders[self.feeders.buyers]
        reserve = prices.sellers + prices.feeders[self.feeders.sellers]
        bought, given = trades.bought + flows.fetched, trades.sold + flows.handed
        missing = np.maximum(core.least - bought, 0.0)
        extra = bought + missing - core.least
        below_most = core.most - bought - missing
        marginal = core.weight / (extra + core.knee)
        curves = concave_gap(own, marginal, core.weight, extra, below_most)
        left = core.room - given
        import_left = core.import_room - float(flows.fetched.sum())
        export_left = core.export_room - float(flows.handed.sum())
        net = self.feeders.net_kwh(bought, given)[:-1]
        into, out = self.feeders.import_limit_kwh - net, self.feeders.export_limit_kwh + net
        dearer, value, grid_gap = prices.feeders[:-1], float(own @ bought), 0.0
        grid_gap += float(dearer[dearer > 0] @ into[dearer > 0])
        grid_gap -= float(dearer[dearer < 0] @ out[dearer < 0])
        if core.import_room > 0:
            grid_gap += float((prices.cap - prices.buyers) @ flows.fetched)
            grid_gap += (prices.cap - core.retail) * import_left
        if core.export_room > 0:
            grid_gap += float((prices.sellers - prices.floor) @ flows.handed)
            grid_gap += (core.feed_in - prices.floor) * export_left
            value += float(prices.sellers @ flows.handed)
        grid_left = np.array([import_left, export_left])
        left_over = np.concatenate([below_most + missing, left, into, out, grid_left])
        return Certificate(
            buyers_gap=float((curves + (core.lost_load - own) * missing).sum()),
            sellers_gap=float((reserve - core.cost) @ np.maximum(left, 0.0)),
            grid_gap=float(grid_gap),
            traded_value=value,
            weight=float(core.weight.sum()),
            violation_kwh=-float(np.min(left_over, initial=0.0)),
        )


def _both(found: Optimum, name: str) -> tuple[FloatArray, FloatArray]:
    """The values of a variable, and the multipliers of their lower bounds."""
    return getattr(found.value, name), getattr(found.worth_least, name)


def _fixed(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array


def _accept(certificate: Certificate, greatest: float, tolerance: float) -> None:
    scale = certificate.traded_value + certificate.weight
    if not certificate.gap <= tolerance * scale:
        raise NotConvergedError(
            f"certified gap {certificate.gap:.3g} coin exceeds {tolerance:.3g} of {scale:.6g}"
        )
    if certificate.violation_kwh > tolerance * greatest:
        raise NotConvergedError(
            f"a limit is exceeded by {certificate.violation_kwh:.3g} kWh, more than"
            f" {tolerance:.3g} of {greatest:.6g}"
        )
