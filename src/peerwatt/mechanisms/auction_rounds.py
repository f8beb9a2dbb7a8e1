"""PETCON's iterative double auction, Algorithm 1: turns until bids stand still, and the proof.

Knows the three steps and the welfare optimum. Knows neither ledger, agents nor who speaks to whom:
it plays both sides with their true curves, so that the result carries its certified gap.

What holds: where bids and asks answer what they lead to, the allocation is the welfare optimum,
for problem A then has the conditions of the welfare problem. What PETCON claims and does not hold:
as printed (theta = 1) the algorithm seldom gets there; a relative rule of standing still is never
met by bids that die down, which shrink by the same part each turn; bids that stand still prove
nothing, hence the gap. No way of damping is proved to converge; `adaptive` did in all markets
tried. See the study `petcon` for its economic claims.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.iterative_auction import (
    ASK_SHARE,
    STEEP_AT_FIRST,
    BidAllocation,
    ask_shares,
    buyer_bids,
    damped,
    equal_shares,
    marginal_values,
    seller_asks,
    solve_allocation,
    steepness,
    theta_of,
)
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import (
    Core,
    PairBuyers,
    PairSellers,
    RangeError,
    ShapeError,
    core_of,
)

Disguise = Callable[[FloatArray], FloatArray]
"""Bids (I, J) into the bids that are said."""
FLOOR_SHARE = 0.1
"""Of the mean bid: what `StopRule.FLOOR` adds to each."""
LONGEST_CYCLE = 8
CYCLE = 1e-3
"""A turn that comes back to an earlier one to within this part of its own step is in a cycle."""


class StopRule(StrEnum):
    """How the change of bids and of asks is measured, each relative to the new ones (RDB, RDS)."""

    FROBENIUS = "frobenius"
    """Root of the sum of squares over that of the new ones."""
    MAX = "max"
    """Of each on its own, the greatest; never met where a bid dies down."""
    MEAN = "mean"
    """Of each on its own, the mean."""
    FLOOR = "floor"
    """Of each with a tenth of their mean added, the greatest: what is bid on little or nothing
    need not stand still in its last digit."""


class Ending(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    CYCLE = "cycle"
    """Bids repeat those of some turns before, and always will."""
    LIMIT = "limit"
    """Neither within the turns that were allowed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuctionTurn:
    """One turn: what bids led to, and the answers. (I, J), and a column more with the grid."""

    number: int
    payments: FloatArray
    """b, coin."""
    unit_prices: FloatArray
    """s with the local fee, coin per kWh at the bus."""
    allocation: BidAllocation
    next_payments: FloatArray
    next_unit_prices: FloatArray

    def change(self, rule: StopRule) -> float:
        """The greater of RDB and RDS."""
        return max(
            relative_change(self.payments, self.next_payments, rule),
            relative_change(self.unit_prices, self.next_unit_prices, rule),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuctionOutcome:
    """The last turn of a run and what it is worth."""

    turn: AuctionTurn
    ending: Ending
    period: int
    """Turns after which a cycle repeats itself; zero if there is none."""
    welfare: float
    """Of the last allocation, coin: utility less sellers' cost, fees and the grid's price."""
    gap: float
    """No allocation within the limits has a welfare greater by more, coin."""
    relative_gap: float
    """Of what the optimum trades, at its prices."""


def run_auction(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms | None = None,
    *,
    grid_efficiency: float = 1.0,
    theta: float | None = None,
    rule: StopRule = StopRule.FROBENIUS,
    epsilon: float = 1e-3,
    most_turns: int = 150,
    first: tuple[FloatArray, FloatArray] | None = None,
    spoken: Disguise | None = None,
) -> AuctionOutcome:
    """Take turns until RDB and RDS are below `epsilon`, a cycle shows, or `most_turns` are over.

    `theta`, `first` and `spoken` as in `auction_turns`. The gap is that of the last allocation from
    the certified bound of `welfare.clear_pairs`, whatever the run came to. Raises as that does.
    """
    if most_turns < 1:
        raise RangeError(f"most_turns must be at least one, not {most_turns}")
    market = _Market(buyers, sellers, grid, grid_efficiency)
    earlier: deque[FloatArray] = deque(maxlen=LONGEST_CYCLE)
    ending, period = Ending.LIMIT, 0
    for turn in market.turns(theta, first, spoken):
        if turn.change(rule) < epsilon:
            ending = Ending.CONVERGED
            break
        period = _period(turn, earlier)
        if period:
            ending = Ending.CYCLE
            break
        if turn.number >= most_turns:
            break
        earlier.append(turn.payments)
    welfare, gap, traded = market.worth(turn.allocation.kwh)
    return AuctionOutcome(
        turn=turn,
        ending=ending,
        period=period,
        welfare=welfare,
        gap=gap,
        relative_gap=gap / traded if traded > 0 else 0.0,
    )


def auction_turns(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms | None = None,
    *,
    grid_efficiency: float = 1.0,
    theta: float | None = None,
    first: tuple[FloatArray, FloatArray] | None = None,
    spoken: Disguise | None = None,
) -> Iterator[AuctionTurn]:
    """Turn after turn of Algorithm 1, without end.

    Of new bids buyers take the share `theta`, above zero and at most one, in logarithms, and of new
    asks sellers, as they are: one is as printed. None is each side's own share, as `theta_of` and
    `ask_shares` say. `first` are the first bids and asks, (I, J) each; without, both sides answer
    `equal_shares`. The grid sells, at retail up to its import limit, as one more seller whose asks
    never change; it buys nothing here. `spoken` is what buyers make of each matrix of new bids
    before they say it, such as `privacy.noise`. Raises `BookError`, and as `solve_allocation` does.
    """
    return _Market(buyers, sellers, grid, grid_efficiency).turns(theta, first, spoken)


def relative_change(before: FloatArray, after: FloatArray, rule: StopRule) -> float:
    """By how much bids or asks (I, J) changed, relative to the new ones; see `StopRule`."""
    change = np.abs(after - before)
    if rule is StopRule.FROBENIUS:
        size = float(np.linalg.norm(after))
        return float(np.linalg.norm(change)) / size if size > 0 else 0.0
    if rule is StopRule.FLOOR:
        after = after + FLOOR_SHARE * after.mean()
    relative = change[after > 0] / after[after > 0]
    if not relative.size:
        return 0.0
    return float(relative.mean() if rule is StopRule.MEAN else relative.max())


def _period(turn: AuctionTurn, earlier: deque[FloatArray]) -> int:
    """After how many turns bids are back where they were; zero if they are not."""
    step = float(np.linalg.norm(turn.next_payments - turn.payments))
    for back, payments in enumerate(reversed(earlier), start=2):
        if np.linalg.norm(turn.next_payments - payments) <= CYCLE * step:
            return back
    return 0


class _Damping:
    """What shares of new bids and asks the sides take, turn after turn, by their own answers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.steep = np.full(shape[0], STEEP_AT_FIRST)
        self.ask_share = np.full(shape, ASK_SHARE)
        self.before: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def shares(
        self, value: FloatArray, kwh: FloatArray, ask_step: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(I,) buyers' and (I, J) sellers': `value` (I,) is what one more kWh is worth, `ask_step`
        by what the new asks exceed the old."""
        energy = np.add.reduce(kwh, axis=1)
        if self.before is not None:
            value_before, energy_before, step_before = self.before
            steep = steepness(value, energy, value_before, energy_before)
            self.steep = np.where(np.isnan(steep), self.steep, steep)
            self.ask_share = ask_shares(self.ask_share, ask_step, step_before)
        self.before = value, energy, ask_step
        return theta_of(self.steep), self.ask_share


class _Market:
    """Both sides with their true curves, and the grid."""

    def __init__(
        self,
        buyers: PairBuyers,
        sellers: PairSellers,
        grid: GridTerms | None,
        grid_efficiency: float,
    ) -> None:
        self.buyers, self.sellers, self.grid_efficiency = buyers, sellers, grid_efficiency
        self.grid = None if grid is None else replace(grid, export_limit_kwh=0.0)
        self.core: Core = core_of(buyers, sellers, self.grid, grid_efficiency, None)
        self.fee = 0.0 if grid is None else grid.local_fee
        self.supply = self.core.room
        if grid is not None:
            self.supply = np.append(self.supply, self.core.import_room)

    def asks(self, kwh: FloatArray) -> FloatArray:
        """(I, J or J + 1) what is asked a kWh at the bus, with the local fee, the grid's last."""
        asks = seller_asks(self.sellers, kwh[:, : len(self.core.room)]) + self.fee
        if self.grid is None:
            return asks
        return np.column_stack([asks, np.full(len(asks), self.grid.retail / self.grid_efficiency)])

    def turns(
        self,
        theta: float | None,
        first: tuple[FloatArray, FloatArray] | None,
        spoken: Disguise | None,
    ) -> Iterator[AuctionTurn]:
        if theta is not None and not 0 < theta <= 1:
            raise RangeError(f"theta must be above zero and at most one, not {theta}")
        shape = len(self.core.least), len(self.supply)
        if first is not None and not first[0].shape == first[1].shape == shape:
            raise ShapeError(f"first has shapes {first[0].shape}, {first[1].shape}, not {shape}")
        return self._turns(theta, first, spoken or np.asarray)

    def _turns(
        self,
        theta: float | None,
        first: tuple[FloatArray, FloatArray] | None,
        spoken: Disguise,
    ) -> Iterator[AuctionTurn]:
        core, start = self.core, None
        if first is None:
            kwh = equal_shares(
                minimum_kwh=core.least, maximum_kwh=core.most, supply_kwh=self.supply
            ).kwh
            first = buyer_bids(self.buyers, kwh), self.asks(kwh)
        payments, unit_prices = first
        damping = _Damping(payments.shape)
        number = 0
        while True:
            number += 1
            start = solve_allocation(
                payments,
                unit_prices,
                minimum_kwh=core.least,
                maximum_kwh=core.most,
                supply_kwh=self.supply,
                start=start,
            )
            bids, asks = buyer_bids(self.buyers, start.kwh), self.asks(start.kwh)
            shares: tuple[FloatArray | float, FloatArray | float] = (theta or 1.0,) * 2
            if theta is None:
                value = marginal_values(self.buyers, start.kwh)
                shares = damping.shares(value, start.kwh, asks - unit_prices)
            turn = AuctionTurn(
                number=number,
                payments=payments,
                unit_prices=unit_prices,
                allocation=start,
                next_payments=spoken(damped(payments, bids, shares[0])),
                next_unit_prices=unit_prices + shares[1] * (asks - unit_prices),
            )
            yield turn
            payments, unit_prices = turn.next_payments, turn.next_unit_prices

    def worth(self, kwh: FloatArray) -> tuple[float, float, float]:
        """(welfare, certified gap, value of what the optimum trades), coin."""
        core, pairs = self.core, kwh[:, : len(self.core.room)]
        extra = np.maximum(np.add.reduce(kwh, axis=1) - core.least, 0.0)
        sold = np.add.reduce(pairs, axis=0)
        welfare = float(core.weight @ np.log1p(extra / core.knee))
        welfare -= float(np.einsum("ij,ij,j->", pairs, pairs, 0.5 / core.pair_slope))
        welfare -= float(core.cost @ sold)
        if self.grid is not None:
            welfare -= self.grid.retail / self.grid_efficiency * float(kwh[:, -1].sum())
        best = clear_pairs(
            self.buyers, self.sellers, self.grid, grid_efficiency=self.grid_efficiency
        )
        gap = max(best.welfare + best.certificate.gap - welfare, 0.0)
        return welfare, gap, best.certificate.traded_value
