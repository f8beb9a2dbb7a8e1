"""One price a feeder: the welfare optimum where groups of connections have limits of their own.

Knows the one-price mechanism and its certificate. Knows neither ledger nor agents.

Behind the site's connection stand feeders, radial and one level deep: the net energy of a
feeder's buyers and sellers stays within an import and an export limit, A x <= b. Each feeder is a
market of its own, whose grid is the site's bus: at the bus price it buys and sells there as far
as its limits go, and its own price differs from the bus's where a limit binds (locational
marginal pricing: Schweppe et al., Spot Pricing of Electricity, 1988, ch. 7). The bus price is
that at which feeders, the other orders and the grid meet.

It is exact to rounding: a feeder's own price is the bus's, kept between the price from which on no
more than its import limit need flow in and the one up to which no more than its export limit need
flow out; these, and then the bus price, are found by bisection, and at the price found those to
whom it is all the same share what is left over. Budget balanced up to the rent of the limits;
individually rational at the stated curves; not truthful.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray, OnePriceClearing, Regime
from peerwatt.mechanisms.one_price import (
    BuyerCurves,
    GridTerms,
    SellerCurves,
    welfare_of,
)
from peerwatt.mechanisms.welfare_certificate import Certificate
from peerwatt.mechanisms.welfare_one_price import certify_one_price

IntArray = NDArray[np.intp]
CurvesT = TypeVar("CurvesT", BuyerCurves, SellerCurves)

HALVINGS = 64
"""Of a range of prices, until it holds one number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feeders:
    """K feeders with the limits of their net energy, and who is behind which.

    Raises `ValueError` naming a wrong field.
    """

    import_limit_kwh: FloatArray
    """(K,) may be infinite."""
    export_limit_kwh: FloatArray
    """(K,) may be infinite."""
    buyers: IntArray
    """(buyers,) in 0..K-1, or K for who is at the site's bus."""
    sellers: IntArray
    """(sellers,) likewise."""

    def __post_init__(self) -> None:
        count = len(self.import_limit_kwh)
        for name in ("import_limit_kwh", "export_limit_kwh"):
            limits = np.array(getattr(self, name), dtype=np.float64)
            if limits.shape != (count,):
                raise ValueError(f"Feeders.{name} has shape {limits.shape}, not ({count},)")
            if np.isnan(limits).any() or (limits < 0).any():
                raise ValueError(f"Feeders.{name} holds a value that is not a number >= 0")
            limits.setflags(write=False)
            object.__setattr__(self, name, limits)
        for name in ("buyers", "sellers"):
            places = np.array(getattr(self, name), dtype=np.intp)
            if places.ndim != 1 or ((places < 0) | (places > count)).any():
                raise ValueError(f"Feeders.{name} must be one row of places from 0 to {count}")
            places.setflags(write=False)
            object.__setattr__(self, name, places)

    def net_kwh(self, bought: FloatArray, sold: FloatArray) -> FloatArray:
        """(K + 1,) what flows into each feeder, and to who is at the bus."""
        places = len(self.import_limit_kwh) + 1
        into = np.bincount(self.buyers, bought, places)
        return np.asarray(into - np.bincount(self.sellers, sold, places), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeederClearing:
    """A round cleared at one price a feeder; prices in coin per kWh, energies in kWh."""

    bus_price: float
    feeder_price: FloatArray
    """(K,) what buyers behind each feeder pay; sellers get it less the local fee."""
    bought_kwh: FloatArray
    sold_kwh: FloatArray
    import_kwh: float
    export_kwh: float
    welfare: float
    certificate: Certificate


def clear_one_price_feeders(
    buyers: BuyerCurves,
    sellers: SellerCurves,
    grid: GridTerms,
    feeders: Feeders,
    *,
    lost_load: float,
) -> FeederClearing:
    """Maximise welfare within the limits of connection and feeders; minima are worth `lost_load`,
    and share what there is where a feeder or the connection cannot bring them.

    O(n) for each of some hundred prices asked at. Raises `ValueError` where the arrays do not fit,
    or a price_high exceeds `lost_load` > 0.
    """
    for name, curves in (("buyers", buyers), ("sellers", sellers)):
        if getattr(feeders, name).shape != curves.maximum_kwh.shape:
            raise ValueError(f"Feeders.{name} and the {name}' curves differ in length")
    if not (np.isfinite(lost_load) and lost_load > 0):
        raise ValueError(f"lost_load must be a number above zero, not {lost_load}")
    if (buyers.price_high > lost_load).any():
        raise ValueError(f"price_high is above lost_load {lost_load}")
    return _Site(buyers, sellers, grid, feeders, lost_load).clear()


class _Site:
    """The orders by place, and the grid as the bus sees it: the local fee is moved into asks."""

    def __init__(
        self,
        buyers: BuyerCurves,
        sellers: SellerCurves,
        grid: GridTerms,
        feeders: Feeders,
        lost_load: float,
    ) -> None:
        self.buyers, self.grid, self.feeders = buyers, grid, feeders
        self.sellers = replace(sellers, ask=sellers.ask + grid.local_fee)
        self.at_bus = replace(grid, feed_in=grid.feed_in + grid.local_fee, local_fee=0.0)
        self.lost_load = lost_load
        self.count = len(feeders.import_limit_kwh)
        # Headroom above all that could pass keeps an endless limit finite and never binding.
        many = 1.0 + float(buyers.maximum_kwh.sum()) + float(sellers.maximum_kwh.sum())
        self.most = np.minimum(np.append(feeders.import_limit_kwh, np.inf), many)
        self.least = -np.minimum(np.append(feeders.export_limit_kwh, np.inf), many)
        self.import_room = min(grid.import_limit_kwh, many)
        self.export_room = min(grid.export_limit_kwh, many)

    def wanted(self, own: FloatArray, *, ties: bool) -> FloatArray:
        """(buyers,) bought at the places' prices (K + 1,), with or without what is worth just
        that."""
        price, curve = own[self.feeders.buyers], self.buyers
        low, high = curve.price_low, curve.price_high
        band = high - low
        curved = band > 0
        full = (low > price) | ((low == price) & (curved | ties))
        part = low * (high - price) / (np.where(curved, band, 1.0) * np.maximum(price, low))
        share = np.where(full, 1.0, np.clip(part, 0.0, 1.0))
        needed = (price < self.lost_load) | (ties & (price == self.lost_load))
        span = curve.maximum_kwh - curve.minimum_kwh
        return np.asarray(curve.minimum_kwh * needed + span * share, dtype=np.float64)

    def offered(self, own: FloatArray, *, ties: bool) -> FloatArray:
        """(sellers,) likewise."""
        price, curve = own[self.feeders.sellers], self.sellers
        sloped = curve.slope > 0
        linear = (price - curve.ask) / np.where(sloped, curve.slope, 1.0)
        block = np.where((curve.ask < price) | (ties & (curve.ask == price)), np.inf, 0.0)
        offered = np.clip(np.where(sloped, linear, block), 0.0, curve.maximum_kwh)
        return np.asarray(offered, dtype=np.float64)

    def net(self, own: FloatArray, *, most: bool) -> FloatArray:
        """(K + 1,) the most, or the least, that flows into each place at its price."""
        return self.feeders.net_kwh(self.wanted(own, ties=most), self.offered(own, ties=not most))

    def grid_flows(self, price: float, *, most: bool) -> tuple[float, float]:
        """(import, export) when the most, or the least, flows into the site's places."""
        buys = self.at_bus.feed_in > price or (most and self.at_bus.feed_in == price)
        sells = self.at_bus.retail < price or (not most and self.at_bus.retail == price)
        return self.import_room * sells, self.export_room * buys

    def limited(self, price: float, *, most: bool) -> FloatArray:
        """(K + 1,) what flows into each place at a bus price."""
        flows = self.net(np.full(self.count + 1, price), most=most)
        return np.asarray(np.clip(flows, self.least, self.most), dtype=np.float64)

    def own_at(self, limit: FloatArray) -> FloatArray:
        """(K + 1,) the least price at which no more than its limit need flow into a place."""
        low, high = np.full(len(limit), -self.lost_load), np.full(len(limit), self.lost_load)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = self.net(middle, most=False) <= limit
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(np.maximum(high, 0.0), dtype=np.float64)

    def bus_price(self) -> float:
        """The least price at which supply covers demand on the whole site."""
        low, high = -self.lost_load, self.lost_load
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            import_kwh, export_kwh = self.grid_flows(middle, most=False)
            if self.limited(middle, most=False).sum() + export_kwh <= import_kwh:
                high = middle
            else:
                low = middle
        return max(high, 0.0)

    def clear(self) -> FeederClearing:
        """Prices first; then those to whom it is all the same share what is left over."""
        price = self.bus_price()
        few, many = self.limited(price, most=False), self.limited(price, most=True)
        import_most, export_least = self.grid_flows(price, most=False)
        import_least, export_most = self.grid_flows(price, most=True)
        open_ = float((many - few).sum()) + import_most - import_least + export_most - export_least
        short = import_most - export_least - float(few.sum())
        share = min(max(short / open_, 0.0), 1.0) if open_ > 0 else 0.0
        flows = few + share * (many - few)
        import_kwh = import_most + share * (import_least - import_most)
        export_kwh = export_least + share * (export_most - export_least)
        own = np.clip(price, self.own_at(self.most), self.own_at(self.least))
        own[-1] = price
        bought, sold = self._energies(own, flows)
        both = min(import_kwh, export_kwh)
        return self.result(price, own, bought, sold, (import_kwh - both, export_kwh - both))

    def _energies(self, own: FloatArray, flows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What everybody has where so much flows into each place."""
        few, many = self.net(own, most=False), self.net(own, most=True)
        open_ = many - few
        share = np.clip((flows - few) / np.where(open_ > 0, open_, 1.0), 0.0, 1.0)
        taken, more = self.wanted(own, ties=False), self.wanted(own, ties=True)
        given, less = self.offered(own, ties=True), self.offered(own, ties=False)
        bought = taken + share[self.feeders.buyers] * (more - taken)
        return bought, given + share[self.feeders.sellers] * (less - given)

    def result(
        self,
        price: float,
        own: FloatArray,
        bought: FloatArray,
        sold: FloatArray,
        grid_kwh: tuple[float, float],
    ) -> FeederClearing:
        """The clearing with its proof: each place's against the bus, and the bus's against the
        grid."""
        import_kwh, export_kwh = grid_kwh
        proofs = [self._proof(at, price, float(p), bought, sold) for at, p in enumerate(own)]
        grid_gap = _linear(price - self.at_bus.retail, import_kwh, self.grid.import_limit_kwh)
        spared = self.at_bus.feed_in - price
        grid_gap += _linear(spared, export_kwh, self.grid.export_limit_kwh)
        flows = float(self.feeders.net_kwh(bought, sold).sum())
        balance = abs(flows - import_kwh + export_kwh)
        for array in (bought, sold):
            array.setflags(write=False)
        return FeederClearing(
            bus_price=price,
            feeder_price=own[:-1],
            bought_kwh=bought,
            sold_kwh=sold,
            import_kwh=import_kwh,
            export_kwh=export_kwh,
            welfare=welfare_of(
                self.buyers,
                self.sellers,
                self.at_bus,
                bought=bought,
                sold=sold,
                import_kwh=import_kwh,
                export_kwh=export_kwh,
                lost_load=self.lost_load,
            ),
            certificate=Certificate(
                buyers_gap=sum(proof.buyers_gap for proof in proofs),
                sellers_gap=sum(proof.sellers_gap for proof in proofs),
                grid_gap=float(grid_gap + sum(proof.grid_gap for proof in proofs)),
                traded_value=float(sum(proof.traded_value for proof in proofs)),
                weight=sum(proof.weight for proof in proofs),
                violation_kwh=float(max(balance, *(proof.violation_kwh for proof in proofs))),
            ),
        )

    def _proof(
        self, place: int, bus: float, price: float, bought: FloatArray, sold: FloatArray
    ) -> Certificate:
        """Of a place's part, whose grid is the bus."""
        among_buyers, among_sellers = self.feeders.buyers == place, self.feeders.sellers == place
        taken, given = bought[among_buyers], sold[among_sellers]
        net = float(taken.sum()) - float(given.sum())
        found = OnePriceClearing(
            buyer_price=price,
            seller_price=price,
            regime=Regime.LOCAL,
            bought_kwh=taken,
            sold_kwh=given,
            import_kwh=max(net, 0.0),
            export_kwh=max(-net, 0.0),
            welfare=0.0,
        )
        return certify_one_price(
            _some(self.buyers, among_buyers),
            _some(self.sellers, among_sellers),
            GridTerms(
                retail=bus,
                feed_in=bus,
                import_limit_kwh=float(self.most[place]),
                export_limit_kwh=-float(self.least[place]),
            ),
            found,
            lost_load=self.lost_load,
        )


def _some(curves: CurvesT, among: NDArray[np.bool_]) -> CurvesT:
    """The rows of some."""
    return type(curves)(
        **{field.name: getattr(curves, field.name)[among] for field in fields(curves)}
    )


def _linear(gain: float, used: float, limit: float) -> float:
    """What `gain` per kWh leaves between what is used, its limit and nothing."""
    if gain > 0:
        return gain * (limit - used) if limit > used else 0.0
    return -gain * used
