"""The welfare optimum of buyers and sellers of energy, cost counted pair by pair, with its proof.

Knows numpy, the book and the grid's terms. Knows neither ledger nor agents.

PETCON's problem (Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017,
doi:10.1109/TII.2017.2709784, eqs. 1-3): buyers' utility is logarithmic in the energy beyond a
hard minimum, and a seller's cost is quadratic in what it sends to each buyer, so that the optimum
splits trade over many pairs and each buyer has a price p_i, each seller a reserve price t_j:

    d_ji = (p_i - t_j)_+ / (2 l1_j),   p_i = V_i'(D_i) inside the bounds,   t_j = l2_j + scarcity.

The grid is an outside option inside the optimum: it caps p_i and floors t_j, by as much more or
less as its limits are worth. The dual over p alone is minimised by a semismooth Newton method
with the sellers eliminated exactly; results are implicit, O(buyers + sellers), and carry their
`Certificate`. Where cost lies in a seller's total instead, one price clears a round:
`welfare_one_price`.

What holds: the optimum is unique in what is bought and sold; budget balanced when buyers pay p_i
and each seller gets what its buyers pay (`income`), up to the rent of the grid's limits; what a
buyer takes beyond its minimum and all that a seller sends is worth its price to them. What PETCON
claims and does not hold: a buyer's whole utility less its payment can be negative, for it takes
its minimum at any price; and the auctioneer's budget need not balance under PETCON's rewards.
Not truthful: whoever is large enough to move prices gains by misstating.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare_book import (
    Core,
    InfeasibleError,
    PairBuyers,
    PairSellers,
    core_of,
    prices_of,
)
from peerwatt.mechanisms.welfare_certificate import Certificate, Outcome, certify
from peerwatt.mechanisms.welfare_dense import Dense, average_core, refute, refute_at_sight
from peerwatt.mechanisms.welfare_newton import (
    Newton,
    NotConvergedError,
    Point,
    common_price,
    rounding,
)
from peerwatt.mechanisms.welfare_staircase import Staircase

LEAST_KWH = 1e-6
"""Where no limit is greater, one is kept as one of so much would be."""


class TooManyTradesError(ValueError):
    """More pairs trade than were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairsClearing:
    """One round cleared pair by pair. Energies in kWh and prices in coin per kWh, at the bus.

    Of what seller j's energy is worth to i there, e_ij = (r_ij p_i - t_j)_+ y_j is traded, with
    y_j = efficiency_j^2 / (2 l1_j) and r_ij = 1 unless `pair_efficiency` was given; r_ij e_ij
    reaches i, and j sends e_ij / efficiency_j.
    """

    buyer_price: FloatArray
    """(buyers,) p_i."""
    reserve_price: FloatArray
    """(sellers,) t_j: linear cost, local fee, and what j's limit is worth."""
    bought_kwh: FloatArray
    """(buyers,) in all."""
    from_grid_kwh: FloatArray
    """(buyers,) of it."""
    unserved_kwh: FloatArray
    """(buyers,) what is missing of the minimum."""
    sold_kwh: FloatArray
    """(sellers,) to buyers."""
    to_grid_kwh: FloatArray
    """(sellers,)"""
    income: FloatArray
    """(sellers,) coin that its buyers pay at their prices, sum_i p_i r_ij e_ij; of it a local
    fee is due."""
    import_kwh: float
    """At the grid's meter, like `export_kwh`."""
    export_kwh: float
    welfare: float
    """Buyers' utility, soft minima at the value of lost load, less sellers' cost, local fees, and
    grid energy at its prices; in coin."""
    certificate: Certificate
    iterations: int
    buyers: PairBuyers
    sellers: PairSellers
    core: Core
    """The book restated at the bus."""
    base: float
    """A price near most, from which both prices are counted again: what two of them differ by, and
    with it what their pair trades, has digits there that whole prices have no room for."""
    buyer_offset: FloatArray
    """(buyers,) p_i - base."""
    reserve_offset: FloatArray
    """(sellers,) t_j - base."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trades:
    """Pairs that trade, a row each, by seller and then by buyer."""

    seller: NDArray[np.intp]
    buyer: NDArray[np.intp]
    sent_kwh: FloatArray
    """As it leaves the seller."""
    charged_kwh: FloatArray
    """As it reaches the battery."""
    payment: FloatArray
    """Coin, at the buyer's price."""


def clear_pairs(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms | None = None,
    *,
    grid_efficiency: float = 1.0,
    pair_efficiency: FloatArray | None = None,
    lost_load: float | None = None,
    tolerance: float = 1e-8,
) -> PairsClearing:
    """Maximise PETCON's welfare, eq. (3), with the grid inside.

    The grid sells at `retail` and buys at `feed_in` per kWh at its meter; of what it sends, and
    of what is sent to it, `grid_efficiency` arrives. A `local_fee` per kWh at the bus burdens
    trade among cars. `pair_efficiency` (buyers, sellers), at least zero, multiplies the two
    sides' efficiencies where these do not say all; it costs O(buyers^2 sellers) a step where
    O(buyers + sellers) suffices otherwise.

    Minima are hard, unless `lost_load` says what a kWh of them is worth at the bus: as much or
    more than any buyer's marginal value beyond its minimum. Then no buyer's price exceeds it, and
    where it is reached the minima share what there is; what they miss is `unserved_kwh`.

    Raises `BookError` for a book that means nothing, `InfeasibleError` with its proof where the
    minima cannot be met, `NotConvergedError` where the certified gap or a violated limit exceeds
    `tolerance` (of value traded plus weights, and of the greatest limit). Pairs may differ by less
    than a float's digits of their prices tell: these are counted from `base`, and so are trades;
    only where the first guess of it leaves no ten-millionth of the quantities certain is that too
    little. With `pair_efficiency` no base is near all, and a price's 16 digits are what there is.
    """
    core = core_of(buyers, sellers, grid, grid_efficiency, pair_efficiency, lost_load)
    if not core.soft:
        _refuse_infeasible(core)
    newton, point, iterations = _optimum(core)
    prices = _Prices(
        buyers=_absolute_price(core, newton, point),
        reserve=_absolute_reserve(core, newton.market, point.sales),
        base=newton.base,
        buyer_offset=point.price,
        reserve_offset=point.sales.reserve,
    )
    outcome = _certified(core, prices, newton)
    _accept(core, outcome.certificate, tolerance)
    return _result(_Book(buyers, sellers, core, grid_efficiency), prices, outcome, iterations)


def certify_pairs(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms | None = None,
    *,
    buyer_price: FloatArray,
    reserve_price: FloatArray,
    grid_efficiency: float = 1.0,
    pair_efficiency: FloatArray | None = None,
    lost_load: float | None = None,
) -> PairsClearing:
    """What these prices, whoever found them, make everybody trade, and how good that is.

    Prices (buyers,) and (sellers,) at the bus, as in `PairsClearing`; a reserve price below its
    seller's cost counts as that cost, a buyer's above `lost_load` as that. Nothing
    is solved and nothing refused but a book or prices that mean nothing (BookError): where the
    trades break a limit, the certificate says so. Prices are taken as they are, to 16 digits: where
    `clear_pairs` needed its offsets, they prove less here.
    """
    core = core_of(buyers, sellers, grid, grid_efficiency, pair_efficiency, lost_load)
    price = prices_of(buyer_price, "buyer_price", len(core.weight))
    price = np.minimum(price, core.lost_load)
    reserve = np.maximum(prices_of(reserve_price, "reserve_price", len(core.room)), core.cost)
    base = float(price.mean()) if len(price) and core.factors is None else 0.0
    prices = _Prices(price, reserve, base, price - base, reserve - base)
    outcome = _certified(core, prices, _newton_of(core, base))
    return _result(_Book(buyers, sellers, core, grid_efficiency), prices, outcome, 0)


def trades(clearing: PairsClearing, *, limit: int = 1_000_000) -> Trades:
    """List the pairs that trade; raises TooManyTradesError above `limit` of them."""
    core, price, reserve = clearing.core, clearing.buyer_offset, clearing.reserve_offset
    if core.factors is None:
        order = np.argsort(price)[::-1]
        counts = len(price) - np.searchsorted(price[order][::-1], reserve, side="right")
        total = int(counts.sum())
    else:
        price, reserve = price + clearing.base, reserve + clearing.base
        mask = core.factors * price[:, None] > reserve
        total = int(np.count_nonzero(mask))
    if total > limit:
        raise TooManyTradesError(f"{total} pairs trade, more than the limit of {limit}")
    if core.factors is None:
        seller = np.repeat(np.arange(len(reserve)), counts)
        rank = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        buyer = order[rank]
        by_pair = np.lexsort((buyer, seller))
        seller, buyer = seller[by_pair], buyer[by_pair]
        factor: FloatArray | float = 1.0
    else:
        seller, buyer = np.nonzero(mask.T)
        factor = core.factors[buyer, seller]
    energy = (factor * price[buyer] - reserve[seller]) * core.pair_slope[seller]
    arrived = factor * energy
    return Trades(
        seller=seller,
        buyer=buyer,
        sent_kwh=energy / np.asarray(clearing.sellers.efficiency)[seller],
        charged_kwh=arrived * np.asarray(clearing.buyers.efficiency)[buyer],
        payment=arrived * clearing.buyer_price[buyer],
    )


def _room_to_spare(core: Core) -> tuple[float, float]:
    """(sum of the minima, all that could arrive)."""
    needed = float(np.add.reduce(core.least))
    return needed, float(np.add.reduce(core.room)) + core.import_room


def _refuse_infeasible(core: Core) -> None:
    if core.factors is not None:
        refute_at_sight(core)
        return
    needed, available = _room_to_spare(core)
    if needed > available:
        weights = (core.least > 0).astype(np.float64)
        raise InfeasibleError(weights, needed_kwh=needed, available_kwh=available)


def _shrink(core: Core) -> float:
    """Share of itself by which each limit is drawn in while solving, so that rounding does not
    exceed it; less where there is hardly room to spare."""
    if core.soft:
        return rounding(core)
    needed, available = _room_to_spare(core)
    spare = max(available - needed, 0.0) / available if available > 0 else 1.0
    return min(rounding(core), 1e-6 * spare)


def _newton_of(core: Core, base: float) -> Newton[Any]:
    market = Staircase(core, base) if core.factors is None else Dense(core, base)
    return Newton[Any](core, market, base)


def _optimum(core: Core) -> tuple[Newton[Any], Point[Any], int]:
    """(the last run, its best point, iterations in all)."""
    tight = core.tightened(_shrink(core))
    newton = _newton_of(tight, common_price(average_core(tight)))
    refuting = None if core.soft or core.factors is None else partial(refute, core)
    point, iterations = newton.solve(*newton.start(), refuting), newton.iterations
    while point.error > newton.enough and core.factors is None:
        traded = float(np.add.reduce(point.sales.bought))
        if not traded > 0:
            break
        # Digits ran out. A price among those at which energy is traded is as near to all of them
        # as they are to each other: counted from it, they have digits left.
        middle = newton.base + float(point.price @ point.sales.bought) / traded
        again = _newton_of(tight, middle)
        better, error = again.solve(*_counted_from(again, newton, point)), point.error
        iterations += again.iterations
        if better.error < error:
            newton, point = again, better
        if not better.error < error / 2:
            break
    return newton, point, iterations


def _counted_from(
    newton: Newton[Any], before: Newton[Any], point: Point[Any]
) -> tuple[FloatArray, float]:
    """(prices, cap) of a point of the run `before`, counted from the base of `newton`."""
    shift = newton.base - before.base
    if point.cap == before.ceiling:
        cap = newton.ceiling
    else:
        cap = newton.retail if point.cap == before.retail else point.cap - shift
    return np.where(point.price == point.cap, cap, point.price - shift), cap


def _absolute_price(core: Core, newton: Newton[Any], point: Point[Any]) -> FloatArray:
    """Buyers' prices no longer counted from the base; those at the grid's price, or at that of
    lost load, are at it to the last digit, and who takes nothing at any price is asked for none."""
    if point.cap == newton.ceiling:
        cap = core.lost_load
    else:
        cap = core.retail if point.cap == newton.retail else newton.base + point.cap
    price = np.where(point.price == point.cap, cap, newton.base + point.price)
    return np.maximum(price, 0.0)


def _absolute_reserve(core: Core, market: Any, sales: Any) -> FloatArray:
    """Likewise for sellers, at their cost or at the price at which the grid takes what is left."""
    reserve = np.where(sales.reserve == market.cost, core.cost, market.base + sales.reserve)
    reserve = np.maximum(reserve, core.cost)
    if core.export_room <= 0:
        return reserve
    floor = core.feed_in if sales.floor == market.feed_in else market.base + sales.floor
    resting = market.cost == sales.floor
    if resting.any():
        floor = float(core.cost[resting][0])
    return np.where(sales.reserve == sales.floor, floor, reserve)


class _Prices(NamedTuple):
    """As handed out and, to more digits, as they are counted from the base."""

    buyers: FloatArray
    reserve: FloatArray
    base: float
    buyer_offset: FloatArray
    reserve_offset: FloatArray


def _certified(core: Core, prices: _Prices, newton: Newton[Any]) -> Outcome:
    wanted = newton.wanted(prices.buyers)[0]
    sums = newton.market.sums(prices.buyer_offset, prices.reserve_offset)
    return certify(core, prices.buyers, prices.reserve, wanted, sums)


def _accept(core: Core, certificate: Certificate, tolerance: float) -> None:
    scale = certificate.traded_value + certificate.weight
    if not certificate.gap <= tolerance * scale:
        raise NotConvergedError(
            f"certified gap {certificate.gap:.3g} coin exceeds {tolerance:.3g} of {scale:.6g}"
        )
    exceeded = certificate.violation_kwh
    if exceeded > 0:
        greatest = max(np.max(core.most, initial=LEAST_KWH), np.max(core.room, initial=0.0))
        if exceeded > tolerance * greatest:
            raise NotConvergedError(
                f"a limit is exceeded by {exceeded:.3g} kWh, more than {tolerance:.3g}"
                f" of {greatest:.6g}"
            )


class _Book(NamedTuple):
    buyers: PairBuyers
    sellers: PairSellers
    core: Core
    grid_efficiency: float


def _result(book: _Book, prices: _Prices, outcome: Outcome, iterations: int) -> PairsClearing:
    sums = outcome.trades
    bought = sums.bought + outcome.from_grid
    unserved = np.maximum(book.core.least - bought, 0.0)
    given = (prices.buyers, prices.reserve, prices.buyer_offset, prices.reserve_offset)
    for array in (*given, bought, unserved, *sums, outcome.from_grid, outcome.to_grid):
        array.setflags(write=False)
    return PairsClearing(
        buyer_price=prices.buyers,
        reserve_price=prices.reserve,
        bought_kwh=bought,
        from_grid_kwh=outcome.from_grid,
        unserved_kwh=unserved,
        sold_kwh=sums.sold,
        to_grid_kwh=outcome.to_grid,
        income=sums.income,
        import_kwh=float(np.add.reduce(outcome.from_grid)) / book.grid_efficiency,
        export_kwh=float(np.add.reduce(outcome.to_grid)) * book.grid_efficiency,
        welfare=outcome.welfare,
        certificate=outcome.certificate,
        iterations=iterations,
        buyers=book.buyers,
        sellers=book.sellers,
        core=book.core,
        base=prices.base,
        buyer_offset=prices.buyer_offset,
        reserve_offset=prices.reserve_offset,
    )
