"""The one-price round with its proof, and with minima that may be hard.

Knows the one-price mechanism and the certificate. It solves nothing itself: where a seller's
cost grows with its total, one price clears the round, and `one_price.clear_one_price` finds it
in closed form; a second solver of the same market would only be a second place for mistakes.
`certify_one_price` takes any clearing, whoever found it, and bounds what a better one could add.

With p the buyers' price, s = p less the local fee, and C' = ask + slope sold, the gap is at most

    sum_i B_i + (L - p)_+ missing minima + (p - L)_+ minima met
    + sum_j min((s - C')^2 / (2 slope), (s - C')_+ (maximum - sold) + (C' - s)_+ sold)
    + (p - retail)_+ (import limit - import) + (retail - p)_+ import
    + (feed-in + fee - p)_+ (export limit - export) + (p - feed-in - fee)_+ export,

B_i as in `welfare_certificate`, L the value of lost load; with hard minima their two terms go,
and a missing one is a violated limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray, OnePriceClearing
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price
from peerwatt.mechanisms.welfare_book import InfeasibleError
from peerwatt.mechanisms.welfare_certificate import Certificate, concave_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedOnePrice:
    """A clearing at one price and the proof of it."""

    clearing: OnePriceClearing
    certificate: Certificate


def certified_one_price(
    buyers: BuyerCurves,
    sellers: SellerCurves,
    grid: GridTerms,
    *,
    lost_load: float | None = None,
) -> CertifiedOnePrice:
    """Clear at one price and prove it.

    Without `lost_load` the minima are hard, whatever they cost: raises InfeasibleError, with
    its proof, where sellers and grid cannot cover them, and they add nothing to welfare. With
    it, see `clear_one_price`.
    """
    if lost_load is None:
        needed = float(buyers.minimum_kwh.sum())
        available = float(sellers.maximum_kwh.sum()) + grid.import_limit_kwh
        if needed > available:
            weights = (buyers.minimum_kwh > 0).astype(np.float64)
            raise InfeasibleError(weights, needed_kwh=needed, available_kwh=available)
    value = _above_all(buyers, sellers, grid) if lost_load is None else lost_load
    clearing = clear_one_price(buyers, sellers, grid, lost_load=value)
    if lost_load is None:
        hard = clearing.welfare - value * float(buyers.minimum_kwh.sum())
        clearing = replace(clearing, welfare=hard)
    return CertifiedOnePrice(
        clearing=clearing,
        certificate=certify_one_price(buyers, sellers, grid, clearing, lost_load=lost_load),
    )


def certify_one_price(
    buyers: BuyerCurves,
    sellers: SellerCurves,
    grid: GridTerms,
    clearing: OnePriceClearing,
    *,
    lost_load: float | None,
) -> Certificate:
    """Bound what any clearing of the book could add to this one's welfare, by its own price."""
    price = clearing.buyer_price
    bought, sold = clearing.bought_kwh, clearing.sold_kwh
    met = np.minimum(bought, buyers.minimum_kwh)
    missing = buyers.minimum_kwh - met
    weight, gaps = _buyers(buyers, price, bought - met)
    buyers_gap = float(gaps.sum())
    if lost_load is not None:
        buyers_gap += max(lost_load - price, 0.0) * float(missing.sum())
        buyers_gap += max(price - lost_load, 0.0) * float(met.sum())
    balance = float(bought.sum()) + clearing.export_kwh - float(sold.sum()) - clearing.import_kwh
    exceeded = [
        abs(balance),
        np.max(bought - buyers.maximum_kwh, initial=0.0),
        np.max(sold - sellers.maximum_kwh, initial=0.0),
        -np.min(sold, initial=0.0),
        -min(clearing.import_kwh, clearing.export_kwh, 0.0),
        clearing.import_kwh - grid.import_limit_kwh,
        clearing.export_kwh - grid.export_limit_kwh,
    ]
    if lost_load is None:
        exceeded.append(np.max(missing, initial=0.0))
    import_gap = _linear(price - grid.retail, clearing.import_kwh, grid.import_limit_kwh)
    spare = grid.feed_in + grid.local_fee - price
    export_gap = _linear(spare, clearing.export_kwh, grid.export_limit_kwh)
    return Certificate(
        buyers_gap=buyers_gap,
        sellers_gap=float(_sellers(sellers, price - grid.local_fee, sold).sum()),
        grid_gap=import_gap + export_gap,
        traded_value=price * (float(bought.sum()) + clearing.export_kwh),
        weight=weight,
        violation_kwh=float(max(exceeded)),
    )


def _buyers(buyers: BuyerCurves, price: float, extra: FloatArray) -> tuple[float, FloatArray]:
    """(sum of weights, what each could gain at the price beyond its minimum).

    A flat curve is worth price_low per kWh all along; its weight is all that it is worth.
    """
    low, high = buyers.price_low, buyers.price_high
    span = buyers.maximum_kwh - buyers.minimum_kwh
    left = span - extra
    curved = (high > low) & (span > 0)
    scale = np.where(curved, span * low / np.where(curved, high - low, 1.0), 1.0)
    weight = np.where(curved, scale * high, low * span)
    flat = np.maximum(low - price, 0.0) * left + np.maximum(price - low, 0.0) * extra
    marginal = scale * high / (scale + extra)
    gaps = np.where(curved, concave_gap(price, marginal, weight, extra, left), flat)
    return float(weight.sum()), np.maximum(gaps, 0.0)


def _sellers(sellers: SellerCurves, price: float, sold: FloatArray) -> FloatArray:
    missed = price - (sellers.ask + sellers.slope * sold)
    at_bound = np.where(missed > 0, missed * (sellers.maximum_kwh - sold), -missed * sold)
    sloped = sellers.slope > 0
    inside = missed * missed / (2 * np.where(sloped, sellers.slope, 1.0))
    return np.maximum(np.where(sloped, np.minimum(inside, at_bound), at_bound), 0.0)


def _linear(gain: float, used: float, limit: float) -> float:
    """What `gain` per kWh leaves on the table between what is used, its limit and nothing."""
    if gain > 0:
        return gain * (limit - used) if limit > used else 0.0
    return -gain * used


def _above_all(buyers: BuyerCurves, sellers: SellerCurves, grid: GridTerms) -> float:
    """A price above every other of the book: at it, minima are as good as hard."""
    full = sellers.ask + sellers.slope * sellers.maximum_kwh + grid.local_fee
    return 1.0 + 2.0 * float(
        max(grid.retail, np.max(buyers.price_high, initial=0.0), np.max(full, initial=0.0))
    )
