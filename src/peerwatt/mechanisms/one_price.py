"""The one-price round: cars' curves and the grid cleared together, in floats.

Knows numpy and the result types; knows neither ledger, agents nor units (kWh and coin per kWh
throughout, but any consistent pair will do).

A buyer i needs `minimum` m at almost any price (it is worth `lost_load` to it) and values
energy beyond it, c, up to X = maximum - minimum, by w ln(1 + c/kappa), with

    kappa = X v_lo / (v_hi - v_lo),    w = kappa v_hi,

so that its marginal value w / (kappa + c) falls exactly from v_hi to v_lo over X. This is the
utility of Li et al. (PETCON) with energy counted in units of kappa. At price p it buys

    D_i(p) = m [p < lost_load] + X clip(v_lo (v_hi - p) / ((v_hi - v_lo) p), 0, 1).

A seller j has marginal cost ask + slope q, hence S_j(p) = clip((p - ask)/slope, 0, maximum); a
slope of zero is one flat block, as is a buyer with v_hi = v_lo. The grid sells at `retail` up
to its import limit and buys at `feed_in` up to its export limit. A local fee lies between what
buyers pay and what sellers get, for energy that goes from car to car; it is inside the merit
order, so a trade that cannot bear it does not happen.

Welfare is concave and every constraint but the one balance is a bound, so its maximum is
attained at one price: supply and demand taken at that price (the first welfare theorem of
quasi-linear exchange). Individually rational at the stated curves, budget balanced up to the
rent of the grid's limits; not truthful: a marginal car gains by misstating its curve.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray, OnePriceClearing, Regime


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyerCurves:
    """Buyers' curves, each array (buyers,); raises `ValueError` naming a wrong field.

    0 <= minimum_kwh <= maximum_kwh and 0 < price_low <= price_high.
    """

    minimum_kwh: FloatArray
    maximum_kwh: FloatArray
    price_high: FloatArray
    price_low: FloatArray

    def __post_init__(self) -> None:
        _freeze_arrays(self)
        _require(self.minimum_kwh >= 0, "minimum_kwh is below zero")
        _require(self.minimum_kwh <= self.maximum_kwh, "minimum_kwh is above maximum_kwh")
        _require(self.price_low > 0, "price_low must be above zero")
        _require(self.price_low <= self.price_high, "price_low is above price_high")


@dataclass(frozen=True, slots=True, kw_only=True)
class SellerCurves:
    """Sellers' curves, each array (sellers,); raises `ValueError` naming a wrong field.

    All are at least zero; `slope` is in coin per kWh^2.
    """

    maximum_kwh: FloatArray
    ask: FloatArray
    slope: FloatArray

    def __post_init__(self) -> None:
        _freeze_arrays(self)
        for name in ("maximum_kwh", "ask", "slope"):
            _require(getattr(self, name) >= 0, f"{name} is below zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridTerms:
    """The grid's two prices and limits for the round; limits may be infinite.

    Raises `ValueError` unless 0 <= feed_in and feed_in + local_fee <= retail (else it would pay
    to buy from the grid in order to sell to it).
    """

    retail: float
    feed_in: float
    import_limit_kwh: float
    export_limit_kwh: float
    local_fee: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            finite = np.isfinite(value) or (field.name.endswith("limit_kwh") and value > 0)
            if not finite or value < 0:
                raise ValueError(f"GridTerms.{field.name} must be a number >= 0, not {value}")
        if self.feed_in + self.local_fee > self.retail:
            raise ValueError(
                f"GridTerms: feed_in {self.feed_in} + local_fee {self.local_fee}"
                f" is above retail {self.retail}"
            )


def clear_one_price(
    buyers: BuyerCurves, sellers: SellerCurves, grid: GridTerms, *, lost_load: float
) -> OnePriceClearing:
    """Maximise welfare in closed form: the least price at which supply covers demand.

    Between two neighbouring kinks of all curves, supply less demand is E + b x + d x/(p0 (p0+x)),
    so the price there is the root of one quadratic: exact to rounding, in O((n + m) log(n + m)).
    At a kink where a curve jumps, those who are indifferent trade as much as they can, in equal
    shares of what each offers. Raises `ValueError` if a price_high exceeds `lost_load` > 0.
    """
    if not (np.isfinite(lost_load) and lost_load > 0):
        raise ValueError(f"lost_load must be a number above zero, not {lost_load}")
    _require(buyers.price_high <= lost_load, f"price_high is above lost_load {lost_load}")
    book = _Book(buyers, sellers, grid, lost_load)
    price, wanted, offered = book.solve()
    import_kwh, export_kwh = float(offered[-1]), float(wanted[-1])
    round_trip = min(import_kwh, export_kwh)
    return _result(
        book,
        price=price,
        bought=wanted[:-1],
        sold=offered[:-1],
        import_kwh=import_kwh - round_trip,
        export_kwh=export_kwh - round_trip,
    )


def clear_uniform(
    buyers: BuyerCurves,
    sellers: SellerCurves,
    grid: GridTerms,
    *,
    lost_load: float,
    steps: int = 10,
) -> OnePriceClearing:
    """Read each curve as `steps` equal blocks and clear them by merit order at one price.

    A block is priced at its far end: a buyer's at its lowest marginal value there, a seller's at
    its highest marginal cost, so that no block trades at a loss; a buyer's last block is worth
    exactly price_low. `welfare` is that of the curves, hence at most that of `clear_one_price`.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    far_end = np.arange(1, steps + 1) / steps
    n, m = len(buyers.maximum_kwh), len(sellers.maximum_kwh)
    low, high = buyers.price_low[:, None], buyers.price_high[:, None]
    value = low / ((1 - far_end) * low / high + far_end)
    elastic = buyers.maximum_kwh - buyers.minimum_kwh
    first = np.zeros((n, steps))
    first[:, 0] = buyers.minimum_kwh
    cost = sellers.ask[:, None] + (sellers.slope * sellers.maximum_kwh)[:, None] * far_end
    blocks = clear_one_price(
        BuyerCurves(
            minimum_kwh=first.ravel(),
            maximum_kwh=(first + elastic[:, None] / steps).ravel(),
            price_high=value.ravel(),
            price_low=value.ravel(),
        ),
        SellerCurves(
            maximum_kwh=np.repeat(sellers.maximum_kwh / steps, steps),
            ask=cost.ravel(),
            slope=np.zeros(m * steps),
        ),
        grid,
        lost_load=lost_load,
    )
    return _result(
        _Book(buyers, sellers, grid, lost_load),
        price=blocks.buyer_price,
        bought=np.minimum(blocks.bought_kwh.reshape(n, steps).sum(axis=1), buyers.maximum_kwh),
        sold=np.minimum(blocks.sold_kwh.reshape(m, steps).sum(axis=1), sellers.maximum_kwh),
        import_kwh=blocks.import_kwh,
        export_kwh=blocks.export_kwh,
    )


class _Book:
    """The curves of one round as functions of the buyers' price.

    The grid is the last buyer and the last seller of each array of quantities.
    """

    def __init__(
        self, buyers: BuyerCurves, sellers: SellerCurves, grid: GridTerms, lost_load: float
    ) -> None:
        self.buyers, self.sellers, self.grid, self.lost_load = buyers, sellers, grid, lost_load
        self.elastic = buyers.maximum_kwh - buyers.minimum_kwh
        self.band = buyers.price_high - buyers.price_low
        self.curved = self.band > 0
        # Sellers' prices are moved up by the fee once, so that ties compare exactly.
        self.ask = sellers.ask + grid.local_fee
        self.full_price = self.ask + sellers.slope * sellers.maximum_kwh
        self.feed_in = grid.feed_in + grid.local_fee
        self.import_limit = min(grid.import_limit_kwh, _MANY + float(buyers.maximum_kwh.sum()))
        self.export_limit = min(grid.export_limit_kwh, _MANY + float(sellers.maximum_kwh.sum()))
        self.safe_band = np.where(self.curved, self.band, 1.0)
        self.safe_slope = np.where(sellers.slope > 0, sellers.slope, 1.0)

    def demand(self, price: float, *, ties: bool) -> FloatArray:
        """(buyers + 1,) bought at `price`, with or without what is worth exactly `price`."""
        low, high = self.buyers.price_low, self.buyers.price_high
        full = (low > price) | ((low == price) & (self.curved | ties))
        part = np.clip(low * (high - price) / (self.safe_band * np.maximum(price, low)), 0.0, 1.0)
        needed = self.buyers.minimum_kwh * _above(self.lost_load, price, ties)
        bought = needed + self.elastic * np.where(full, 1.0, part)
        return np.append(bought, self.export_limit * _above(self.feed_in, price, ties))

    def supply(self, price: float, *, ties: bool) -> FloatArray:
        """(sellers + 1,) offered at `price`, with or without what costs exactly `price`."""
        maximum = self.sellers.maximum_kwh
        linear = np.clip((price - self.ask) / self.safe_slope, 0.0, maximum)
        block = np.where((self.ask < price) | ((self.ask == price) & ties), maximum, 0.0)
        offered = np.where(self.sellers.slope > 0, linear, block)
        return np.append(offered, self.import_limit * _above(price, self.grid.retail, ties))

    def solve(self) -> tuple[float, FloatArray, FloatArray]:
        """(price, demand, supply), the last two in balance."""
        low, high = self.buyers.price_low, self.buyers.price_high
        ends = [0.0, self.feed_in, self.grid.retail, self.lost_load]
        kinks = np.unique(np.concatenate([ends, low, high, self.ask, self.full_price]))
        below, at = -1, len(kinks) - 1
        while at - below > 1:
            middle = (below + at) // 2
            if self._excess_above(kinks[middle]) >= 0:
                at = middle
            else:
                below = middle
        kink = float(kinks[at])
        most, least = self.demand(kink, ties=True), self.supply(kink, ties=False)
        price = kink
        if least.sum() > most.sum():
            price = self._between(float(kinks[below]), kink)
        # Where only rounding lies between the two, the root is the kink itself.
        if price == kink:
            return kink, *self._share(kink, most, least)
        return price, self.demand(price, ties=False), self.supply(price, ties=False)

    def _excess_above(self, price: float) -> float:
        """Supply less demand just above `price`."""
        supply, demand = self.supply(price, ties=True), self.demand(price, ties=False)
        return float(supply.sum() - demand.sum())

    def _between(self, left: float, right: float) -> float:
        """The price strictly between two neighbouring kinks at which supply meets demand."""
        middle = (left + right) / 2
        moves = (self.ask < middle) & (middle < self.full_price)
        bends = (self.buyers.price_low < middle) & (middle < self.buyers.price_high)
        b = float((1 / self.safe_slope[moves]).sum())
        scale = self.elastic[bends] * self.buyers.price_low[bends] / self.band[bends]
        d = float((scale * self.buyers.price_high[bends]).sum())
        short = -self._excess_above(left)
        # b x^2 + linear x - short left = 0; the form of the root that does not cancel.
        linear = b * left - short + (d / left if d > 0 else 0.0)
        root = float(np.sqrt(linear * linear + 4 * b * short * left))
        if linear <= 0 and b == 0:
            # Nothing moves, so that what seems short is rounding: any price in between clears.
            return float(np.nextafter(left, right))
        step = 2 * short * left / (linear + root) if linear > 0 else (root - linear) / (2 * b)
        return min(max(left + step, left), right)

    def _share(
        self, price: float, most: FloatArray, least: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Demand and supply at a price where a curve jumps, the indifferent cut alike."""
        firm, open_ = self.demand(price, ties=False), self.supply(price, ties=True)
        traded = min(most.sum(), open_.sum())
        return _part_way(firm, most, traded), _part_way(least, open_, traded)


_MANY = 1.0
"""Headroom that keeps an infinite grid limit finite and never binding."""


def _above(value: float, price: float, ties: bool) -> bool:
    return value > price or (ties and value == price)


def _part_way(firm: FloatArray, most: FloatArray, total: float) -> FloatArray:
    """`firm` plus the same share of each `most - firm`, so as to sum to `total`."""
    room = float((most - firm).sum())
    share = (total - float(firm.sum())) / room if room > 0 else 0.0
    return firm + (most - firm) * min(max(share, 0.0), 1.0)


def _result(
    book: _Book,
    *,
    price: float,
    bought: FloatArray,
    sold: FloatArray,
    import_kwh: float,
    export_kwh: float,
) -> OnePriceClearing:
    welfare = _welfare(book, bought, sold, import_kwh, export_kwh)
    for array in (bought, sold):
        array.setflags(write=False)
    return OnePriceClearing(
        buyer_price=price,
        seller_price=price - book.grid.local_fee,
        regime=_regime(book, price, bought, sold, import_kwh, export_kwh),
        bought_kwh=bought,
        sold_kwh=sold,
        import_kwh=import_kwh,
        export_kwh=export_kwh,
        welfare=welfare,
    )


def welfare_of(
    buyers: BuyerCurves,
    sellers: SellerCurves,
    grid: GridTerms,
    *,
    bought: FloatArray,
    sold: FloatArray,
    import_kwh: float,
    export_kwh: float,
    lost_load: float,
) -> float:
    """The welfare of any quantities, (buyers,), (sellers,) and the grid's, in coin."""
    book = _Book(buyers, sellers, grid, lost_load)
    return _welfare(book, bought, sold, import_kwh, export_kwh)


def _welfare(
    book: _Book, bought: FloatArray, sold: FloatArray, import_kwh: float, export_kwh: float
) -> float:
    grid, sellers = book.grid, book.sellers
    paid_out = float((sellers.ask * sold + sellers.slope * sold * sold / 2).sum())
    local_kwh = float(sold.sum()) - export_kwh
    return (
        _value(book, bought)
        - paid_out
        - grid.retail * import_kwh
        + grid.feed_in * export_kwh
        - grid.local_fee * local_kwh
    )


def _value(book: _Book, bought: FloatArray) -> float:
    """What the energy is worth to the buyers: minima at lost load, the rest by its logarithm."""
    needed = np.minimum(bought, book.buyers.minimum_kwh)
    extra = bought - needed
    high, low = book.buyers.price_high, book.buyers.price_low
    kappa = book.elastic * low / book.safe_band
    bends = book.curved & (kappa > 0)
    logs = kappa * high * np.log1p(extra / np.where(bends, kappa, 1.0))
    return float((book.lost_load * needed + np.where(bends, logs, high * extra)).sum())


def _regime(
    book: _Book,
    price: float,
    bought: FloatArray,
    sold: FloatArray,
    import_kwh: float,
    export_kwh: float,
) -> Regime:
    if bought.sum() == 0 and sold.sum() == 0:
        return Regime.IDLE
    if price >= book.lost_load and (bought < book.buyers.minimum_kwh).any():
        return Regime.SHORT
    if import_kwh > 0:
        full = import_kwh >= book.grid.import_limit_kwh
        return Regime.IMPORT_FULL if full else Regime.IMPORT
    if export_kwh > 0:
        full = export_kwh >= book.grid.export_limit_kwh
        return Regime.EXPORT_FULL if full else Regime.EXPORT
    return Regime.LOCAL


def _freeze_arrays(curves: BuyerCurves | SellerCurves) -> None:
    """Copy each field into a read-only float array of one common length."""
    kind = type(curves).__name__
    first = fields(curves)[0].name
    for field in fields(curves):
        array = np.array(getattr(curves, field.name), dtype=np.float64)
        if array.ndim != 1:
            raise ValueError(f"{kind}.{field.name} must be one row of numbers, not {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{kind}.{field.name} holds a value that is not finite")
        array.setflags(write=False)
        object.__setattr__(curves, field.name, array)
        expected = getattr(curves, first).shape
        if array.shape != expected:
            raise ValueError(f"{kind}.{field.name} has shape {array.shape}, {first} has {expected}")


def _require(holds: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], message: str) -> None:
    if not holds.all():
        raise ValueError(f"{message} (row {int(np.flatnonzero(~holds)[0])})")
