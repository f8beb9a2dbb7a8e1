"""Random small markets of every kind, cleared and held to their proofs.

Knows the mechanisms' two ways to clear. Knows neither ledger nor agents: what is looked for here
are books on which a solver errs, or refuses what it should clear.

A market is drawn from one seed: up to twelve buyers and sellers, alike or many orders of magnitude
apart; short of energy, with just enough (a ten-thousandth to spare) or with plenty; bounds that
bind or leave no choice; one side empty; an island or behind a connection of any width; minima hard
or worth so much lost load; and now and then with an efficiency, perhaps zero, for each pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves
from peerwatt.mechanisms.welfare import LEAST_KWH, clear_pairs
from peerwatt.mechanisms.welfare_book import InfeasibleError, PairBuyers, PairSellers
from peerwatt.mechanisms.welfare_certificate import Certificate
from peerwatt.mechanisms.welfare_one_price import certified_one_price

MOST_AGENTS = 12
MOST_GAP = 1e-8
"""Of the value traded, for a certificate; of all at stake, for objectives of two solvers."""
ROUNDING = 1e-3
"""Share of the buyers' weights, and of what soft minima are worth, that counts as value traded:
the sum that is maximised has no more digits."""
FLATTEST = 1e-6
"""The least slope of a cost, of the highest price over the energy in a book: where each pair has an
efficiency, what a price's last digit, 1e-16 of it, makes a pair trade more must be far below what
is proved."""
MOST_EXCESS = 1e-8
"""Of the greatest quantity in a book, by which rounding may exceed a limit."""


class PricePair(NamedTuple):
    """Buyers' prices (buyers,) and sellers' reserve prices (sellers,)."""

    buyers: FloatArray
    sellers: FloatArray


class Cleared(NamedTuple):
    """What is asked of a clearing."""

    welfare: float
    certificate: Certificate
    prices: PricePair | None = None
    """At which pairs were cleared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsMarket:
    """A book for `clear_pairs`."""

    buyers: PairBuyers
    sellers: PairSellers
    grid: GridTerms | None
    grid_efficiency: float
    pair_efficiency: FloatArray | None
    lost_load: float | None

    def clear(self) -> Cleared:
        """Its optimum, or what `clear_pairs` raises."""
        found = clear_pairs(
            self.buyers,
            self.sellers,
            self.grid,
            grid_efficiency=self.grid_efficiency,
            pair_efficiency=self.pair_efficiency,
            lost_load=self.lost_load,
        )
        prices = PricePair(found.buyer_price, found.reserve_price)
        return Cleared(found.welfare, found.certificate, prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePriceMarket:
    """A book for `certified_one_price`."""

    buyers: BuyerCurves
    sellers: SellerCurves
    grid: GridTerms
    lost_load: float | None

    def clear(self) -> Cleared:
        """Its optimum, or what `certified_one_price` raises."""
        found = certified_one_price(self.buyers, self.sellers, self.grid, lost_load=self.lost_load)
        return Cleared(found.clearing.welfare, found.certificate)


Market = PairsMarket | OnePriceMarket
Dual = Callable[[Market, PricePair | None], float]
"""Another solver: the least value of a feasible market's dual, hence its greatest welfare, found
from prices to start at, if any. Any of the dual's values is a bound, wherever it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What became of one market."""

    kind: str
    """`pairs` or `one_price`."""
    infeasible: bool = False
    """Refused, rightly."""
    gap: float = 0.0
    """The certificate's, relative."""
    difference: float = 0.0
    """Of objectives, relative, where another solver was asked."""
    problem: str = ""
    """What is wrong; empty if nothing is."""


def check(seed: int, dual: Dual | None = None) -> Checked:
    """Draw the seed's market, clear it, check its proof, and compare with `dual` if given."""
    market = draw(seed)
    kind = "pairs" if isinstance(market, PairsMarket) else "one_price"
    try:
        cleared = market.clear()
    except InfeasibleError as error:
        return Checked(kind=kind, infeasible=True, problem=_false_refusal(market, error))
    except (ValueError, ArithmeticError) as error:
        return Checked(kind=kind, problem=f"not cleared: {type(error).__name__}: {error}")
    proof, problem, difference = cleared.certificate, "", 0.0
    gap = max(proof.gap, 0.0) / _stake(market, proof, ROUNDING)
    excess = proof.violation_kwh / _greatest(market)
    if not gap <= MOST_GAP:
        problem = f"the certified relative gap is {gap:.3g}"
    elif not excess <= MOST_EXCESS:
        problem = f"a limit is exceeded by {excess:.3g} of the greatest quantity"
    elif dual is not None:
        difference = _difference(market, cleared, dual)
        if not difference <= MOST_GAP:
            problem = f"the dual's objective differs by {difference:.3g}"
    return Checked(kind=kind, gap=gap, difference=difference, problem=problem)


def _difference(market: Market, cleared: Cleared, dual: Dual) -> float:
    """Of objectives, relative. A dual that was left too early, above ours, is begun again at our
    prices; one below ours never is, for it must not be."""
    stake = _stake(market, cleared.certificate)
    above = (dual(market, None) - cleared.welfare) / stake
    if above > MOST_GAP and cleared.prices is not None:
        above = (dual(market, cleared.prices) - cleared.welfare) / stake
    return abs(above)


def draw(seed: int) -> Market:
    """Odd seeds give pairs, even ones one price."""
    rng = np.random.default_rng(seed)
    return random_pairs(rng) if seed % 2 else random_one_price(rng)


def random_pairs(rng: np.random.Generator) -> PairsMarket:
    """A market in PETCON's form."""
    n, m = _sizes(rng)
    efficiency = rng.uniform(0.6, 1, n)
    minimum, span = _bounds(rng, n)
    buyers = PairBuyers(
        weight=10 ** rng.uniform(-1, 1.5) * _spread(rng, n),
        minimum_kwh=minimum,
        maximum_kwh=minimum + span,
        efficiency=efficiency,
        scale_kwh=_one_of(rng, 1.0, 8.0),
    )
    sent = _one_of(rng, 1.0, 0.9)
    needed = float((minimum / efficiency).sum())
    room, steepness = _rooms(rng, m, needed), 10 ** rng.uniform(-3, 0) * _spread(rng, m)
    marginal = buyers.weight * efficiency / np.asarray(buyers.scale_kwh)
    highest = float(marginal.max(initial=0.1))
    sellers = PairSellers(
        maximum_kwh=room / sent,
        quadratic_cost=np.maximum(steepness, FLATTEST * highest / max(needed, 1.0)),
        linear_cost=0.02 * _spread(rng, m),
        efficiency=sent,
    )
    lost_load = None
    if rng.random() < 0.4:
        lost_load = highest * _one_of(rng, 1.0, 1.5, 10.0)
    matrix = None
    if rng.random() < 0.1:
        matrix = rng.uniform(0.3, 1, (n, m)) * (rng.random((n, m)) < 0.8)
    return PairsMarket(
        buyers=buyers,
        sellers=sellers,
        grid=_grid(rng, needed) if rng.random() < 0.6 else None,
        grid_efficiency=_one_of(rng, 1.0, 0.7),
        pair_efficiency=matrix,
        lost_load=lost_load,
    )


def random_one_price(rng: np.random.Generator) -> OnePriceMarket:
    """A market of curves, blocks and ties."""
    n, m = _sizes(rng)
    minimum, span = _bounds(rng, n)
    low = np.round(10 ** rng.uniform(-2, 0) * _spread(rng, n), 2) + 0.01
    high = low * np.take([1.0, 1.5, 100.0], rng.integers(0, 3, n))
    steep = 10 ** rng.uniform(-3, 0) * _spread(rng, m)
    sellers = SellerCurves(
        maximum_kwh=_rooms(rng, m, float(minimum.sum())),
        ask=np.round(rng.uniform(0, 0.5, m), 2),
        slope=np.where(rng.random(m) < 0.3, 0.0, steep),
    )
    lost_load = None
    if rng.random() < 0.5:
        lost_load = float(high.max(initial=0.1)) * _one_of(rng, 1.0, 3.0)
    return OnePriceMarket(
        buyers=BuyerCurves(
            minimum_kwh=minimum, maximum_kwh=minimum + span, price_low=low, price_high=high
        ),
        sellers=sellers,
        grid=_grid(rng, float(minimum.sum())),
        lost_load=lost_load,
    )


def _sizes(rng: np.random.Generator) -> tuple[int, int]:
    """(buyers, sellers), one side empty now and then."""
    n, m = (int(size) for size in rng.integers(1, MOST_AGENTS + 1, 2))
    empty = rng.random()
    return (0, m) if empty < 0.02 else (n, 0) if empty < 0.04 else (n, m)


def _one_of(rng: np.random.Generator, *values: float) -> float:
    return values[int(rng.random() * len(values))]


def _spread(rng: np.random.Generator, count: int) -> FloatArray:
    """Factors: all the same, near one another, or many orders of magnitude apart."""
    factors: FloatArray = np.exp(_one_of(rng, 0.0, 0.3, 1.0, 3.0) * rng.normal(size=count))
    return factors


def _bounds(rng: np.random.Generator, count: int) -> tuple[FloatArray, FloatArray]:
    """(minima, what may come on top): none, for some or for all; nothing on top for some."""
    minimum = rng.uniform(0, 10, count) * (rng.random(count) < _one_of(rng, 0.0, 0.5, 1.0))
    free = _one_of(rng, 0.0, *[0.9] * 5, *[1.0] * 5)
    span = rng.uniform(0, 20, count) * (rng.random(count) < free)
    return minimum, span


def _rooms(rng: np.random.Generator, count: int, needed: float) -> FloatArray:
    """What sellers could bring: too little for the minima, hardly enough, or plenty."""
    room = rng.uniform(0, 1, count) * (rng.random(count) < 0.9)
    times = _one_of(rng, 0.6, 1.0001, 1.1, 1.1, 3.0, 3.0, 3.0, 30.0)
    scaled: FloatArray = room * (max(needed, 1.0) * times / max(float(room.sum()), 1e-3))
    return scaled


def _grid(rng: np.random.Generator, needed: float) -> GridTerms:
    retail = np.round(10 ** rng.uniform(-1.5, 0.5), 3)
    return GridTerms(
        retail=retail,
        feed_in=retail * _one_of(rng, 0.0, 0.4, 0.8),
        import_limit_kwh=_one_of(rng, 0.0, 0.1 * needed, needed, 2.0, math.inf),
        export_limit_kwh=_one_of(rng, 0.0, 3.0, 30.0, math.inf),
        local_fee=retail * _one_of(rng, 0.0, 0.1),
    )


def _greatest(market: Market) -> float:
    most = float(market.buyers.maximum_kwh.max(initial=0.0))
    return max(most, float(market.sellers.maximum_kwh.max(initial=0.0)), LEAST_KWH)


def _false_refusal(market: Market, error: InfeasibleError) -> str:
    """Work the proof out again from the book; empty if it holds."""
    weights, grid, reach = error.weights, market.grid, 1.0
    least, room = market.buyers.minimum_kwh, market.sellers.maximum_kwh
    best = float(weights.max(initial=0.0))
    each: FloatArray = np.full(len(room), best)
    if isinstance(market, PairsMarket):
        least, room = least / market.buyers.efficiency, room * market.sellers.efficiency
        reach = market.grid_efficiency
        if market.pair_efficiency is not None:
            each = (market.pair_efficiency * weights[:, None]).max(axis=0, initial=0.0)
    needed, available = float(weights @ least), float(each @ room)
    if grid is not None and grid.import_limit_kwh > 0:
        available += best * grid.import_limit_kwh * reach
    return "" if needed > available else f"refused without reason: {error}"


def _stake(market: Market, proof: Certificate, share: float = 1.0) -> float:
    """The value traded, and a share of the weights and of what soft minima are worth."""
    minima = (market.lost_load or 0.0) * float(market.buyers.minimum_kwh.sum())
    return proof.traded_value + share * (proof.weight + minima) or 1.0
