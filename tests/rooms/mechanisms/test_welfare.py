"""The pairs auction: what its optimum must satisfy, whoever found it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing, TooManyTradesError, clear_pairs, trades
from peerwatt.mechanisms.welfare_book import InfeasibleError, PairBuyers, PairSellers

Book = tuple[PairBuyers, PairSellers]


def paper_book(
    seed: int, *, buyers: int = 35, sellers: int = 45, tau: float = 10.07, **changed: Any
) -> Book:
    """A draw of PETCON's section VI, states of charge in U[0.2, 0.5] x 24 kWh."""
    rng = np.random.default_rng(seed)
    terms: dict[str, Any] = {
        "weight": tau / (24 * rng.uniform(0.2, 0.5, buyers)),
        "minimum_kwh": rng.uniform(5, 10, buyers),
        "maximum_kwh": rng.uniform(12, 18, buyers),
        "efficiency": 0.8 * 0.9,
        "room_kwh": rng.uniform(10, 20, sellers),
        "quadratic_cost": 0.01,
        "linear_cost": 0.015,
    } | changed
    room = terms.pop("room_kwh")
    costs = {name: terms.pop(name) for name in ("quadratic_cost", "linear_cost")}
    return PairBuyers(**terms), PairSellers(maximum_kwh=room, **costs)


def grid_of(**changed: float) -> GridTerms:
    terms = {"retail": 0.12, "feed_in": 0.05} | changed
    terms = {"import_limit_kwh": math.inf, "export_limit_kwh": math.inf} | terms
    return GridTerms(**terms)


def random_book(rng: np.random.Generator) -> tuple[PairBuyers, PairSellers, GridTerms | None]:
    """Small, and of any kind: fixed demands, nothing for sale, scarce, ample, islanded."""
    n, m = int(rng.integers(1, 9)), int(rng.integers(0, 9))
    spread = rng.choice([0.0, 0.3, 1.0])
    minimum = rng.choice([0, 1], n) * rng.uniform(0, 10, n)
    buyers = PairBuyers(
        weight=10 ** rng.uniform(-1, 1.5) * np.exp(rng.normal(0, spread, n)),
        minimum_kwh=minimum,
        maximum_kwh=minimum + rng.choice([0, 1], n, p=[0.1, 0.9]) * rng.uniform(0, 20, n),
        efficiency=rng.uniform(0.6, 1, n),
        scale_kwh=rng.choice([1.0, 8.0]),
    )
    needed = float((minimum / buyers.efficiency).sum()) + 0.1
    room = rng.uniform(0, 1, m) * rng.choice([0, 1], m, p=[0.1, 0.9])
    if room.sum() > 0:
        room *= needed / room.sum() * rng.choice([1.001, 1.5, 5, 50])
    sellers = PairSellers(
        maximum_kwh=room,
        quadratic_cost=10 ** rng.uniform(-3, 0) * np.exp(rng.normal(0, spread, m)),
        linear_cost=0.02 * np.exp(rng.normal(0, spread, m)),
        efficiency=rng.choice([1.0, 0.9]),
    )
    short = max(needed - float((room * sellers.efficiency).sum()), 0.0)
    if rng.random() < 0.3 and short == 0:
        return buyers, sellers, None
    retail = 10 ** rng.uniform(-2, 1)
    grid = GridTerms(
        retail=retail,
        feed_in=retail * rng.choice([0.0, 0.4, 1.0]),
        import_limit_kwh=short * 1.3 + rng.choice([0.0, 2.0, math.inf]),
        export_limit_kwh=rng.choice([0.0, 3.0, 30.0, math.inf]),
    )
    return buyers, sellers, grid


def flows(clearing: PairsClearing) -> FloatArray:
    """(buyers, sellers) e_ij, written out."""
    gain = clearing.buyer_price[:, None] - clearing.reserve_price
    return np.maximum(gain, 0) * clearing.core.pair_slope


def assert_optimal(clearing: PairsClearing) -> None:
    """The conditions of Karush, Kuhn and Tucker, on the trades written out."""
    core, p, t = clearing.core, clearing.buyer_price, clearing.reserve_price
    energy, bought = flows(clearing), clearing.bought_kwh
    scale = 1e-8 * max(float(core.most.max(initial=0)), float(core.room.max(initial=0)))
    np.testing.assert_allclose(energy.sum(1) + clearing.from_grid_kwh, bought, atol=scale)
    np.testing.assert_allclose(energy.sum(0), clearing.sold_kwh, atol=scale)
    left = core.room - clearing.sold_kwh - clearing.to_grid_kwh
    assert (left >= -scale).all()
    assert (t >= core.cost * (1 - 1e-12)).all()
    assert float((t - core.cost) @ np.maximum(left, 0)) <= 1e-7 * value(clearing)
    marginal = core.value_slope(bought)
    above, below = core.most - bought > scale, bought - core.least > scale
    assert (marginal <= p * (1 + 1e-6))[above].all()
    assert (marginal >= p * (1 - 1e-6))[below].all()
    assert clearing.certificate.gap <= 1e-8 * value(clearing)
    assert clearing.certificate.violation_kwh <= scale


def value(clearing: PairsClearing) -> float:
    return clearing.certificate.traded_value + clearing.certificate.weight


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tau", [0.1, 3.0, 10.07, 100.0])
def test_paper_draws_are_optimal_and_feasible(seed: int, tau: float) -> None:
    clearing = clear_pairs(*paper_book(seed, tau=tau))
    assert_optimal(clearing)
    assert clearing.certificate.violation_kwh == 0
    assert clearing.certificate.relative_gap <= 1e-8
    assert clearing.iterations <= 8


def test_payment_and_supply_are_those_of_the_calibration() -> None:
    """With tau = 10.07 PETCON's bids come to 2.50 dollars a buyer, and supply saturates.

    They pay for every kWh its marginal value, at a maximum too; the price there is less.
    """
    bid, paid, used = [], [], []
    for seed in range(200):
        clearing = clear_pairs(*paper_book(seed))
        bought = clearing.bought_kwh
        bid.append(float(np.mean(clearing.core.value_slope(bought) * bought)))
        paid.append(float(np.mean(clearing.buyer_price * bought)))
        used.append(float(clearing.sold_kwh.sum() / clearing.core.room.sum()))
    assert np.mean(bid) == pytest.approx(2.50, abs=0.04)
    assert np.mean(paid) == pytest.approx(1.98, abs=0.04)
    assert np.mean(used) > 0.999


@given(st.integers(0, 10**6))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_any_small_market_is_optimal(seed: int) -> None:
    assert_optimal(clear_pairs(*random_book(np.random.default_rng(seed))))


@pytest.mark.parametrize(
    ("name", "spread"),
    [("quadratic_cost", 0.01), ("linear_cost", 0.015), ("weight", 1.0), ("room_kwh", 15.0)],
)
@pytest.mark.parametrize("ratio", [1e1, 1e3])
def test_extreme_ratios(name: str, spread: float, ratio: float) -> None:
    rng = np.random.default_rng(7)
    many = 35 if name == "weight" else 45
    changed: dict[str, Any] = {name: spread * ratio ** rng.uniform(0, 1, many)}
    assert_optimal(clear_pairs(*paper_book(3, **changed)))


@pytest.mark.parametrize("spare", [1e-1, 1e-4, 1e-6])
def test_hardly_feasible(spare: float) -> None:
    buyers, sellers = paper_book(1)
    needed = float((buyers.minimum_kwh / buyers.efficiency).sum())
    room = sellers.maximum_kwh * needed * (1 + spare) / sellers.maximum_kwh.sum()
    clearing = clear_pairs(*paper_book(1, room_kwh=room))
    assert_optimal(clearing)
    assert clearing.certificate.relative_gap <= 1e-8


@pytest.mark.parametrize("gridded", [False, True])
def test_equal_parameters_give_equal_prices(gridded: bool) -> None:
    buyers = PairBuyers(
        weight=np.full(5, 2.0), minimum_kwh=np.full(5, 3.0), maximum_kwh=np.full(5, 9.0)
    )
    sellers = PairSellers(maximum_kwh=np.full(4, 6.0), quadratic_cost=0.01, linear_cost=0.02)
    clearing = clear_pairs(buyers, sellers, grid_of() if gridded else None)
    assert np.ptp(clearing.buyer_price) == pytest.approx(0, abs=1e-14)
    assert np.ptp(clearing.reserve_price) == pytest.approx(0, abs=1e-14)
    assert_optimal(clearing)


def test_order_does_not_matter() -> None:
    buyers, sellers = paper_book(4, quadratic_cost=np.geomspace(1e-3, 1, 45))
    one = clear_pairs(buyers, sellers)
    turn, back = slice(None, None, -1), slice(None, None, -1)
    other = clear_pairs(
        PairBuyers(
            weight=buyers.weight[turn],
            minimum_kwh=buyers.minimum_kwh[turn],
            maximum_kwh=buyers.maximum_kwh[turn],
            efficiency=0.72,
        ),
        PairSellers(
            maximum_kwh=sellers.maximum_kwh[turn],
            quadratic_cost=np.geomspace(1, 1e-3, 45),
            linear_cost=0.015,
        ),
    )
    np.testing.assert_allclose(one.buyer_price, other.buyer_price[back], rtol=1e-10)
    np.testing.assert_allclose(one.sold_kwh, other.sold_kwh[back], rtol=1e-8)
    assert one.welfare == pytest.approx(other.welfare, rel=1e-10)


@pytest.mark.parametrize(("coins", "kwh"), [(1e6, 1.0), (1.0, 1e3), (1e-3, 1e-3)])
def test_units_do_not_matter(coins: float, kwh: float) -> None:
    buyers, sellers = paper_book(5)
    one = clear_pairs(buyers, sellers, grid_of())
    other = clear_pairs(
        PairBuyers(
            weight=buyers.weight * coins,
            minimum_kwh=buyers.minimum_kwh * kwh,
            maximum_kwh=buyers.maximum_kwh * kwh,
            efficiency=0.72,
            scale_kwh=kwh,
        ),
        PairSellers(
            maximum_kwh=sellers.maximum_kwh * kwh,
            quadratic_cost=0.01 * coins / kwh**2,
            linear_cost=0.015 * coins / kwh,
        ),
        grid_of(retail=0.12 * coins / kwh, feed_in=0.05 * coins / kwh),
    )
    np.testing.assert_allclose(other.buyer_price, one.buyer_price * coins / kwh, rtol=1e-10)
    np.testing.assert_allclose(other.bought_kwh, one.bought_kwh * kwh, rtol=1e-9)
    assert other.welfare == pytest.approx(one.welfare * coins, rel=1e-9)


def test_large_markets_and_few_pairs() -> None:
    """Sellers' costs so unequal that most pairs do not trade: stairs by the hundred."""
    rng = np.random.default_rng(0)
    costs: dict[str, Any] = {
        "quadratic_cost": 0.01 * np.exp(rng.normal(0, 2, 3000)),
        "linear_cost": 0.05 * np.exp(rng.normal(0, 1, 3000)),
        "weight": np.exp(rng.normal(0, 1.5, 2000)),
    }
    clearing = clear_pairs(*paper_book(0, buyers=2000, sellers=3000, **costs))
    assert 0.05 < float((flows(clearing) > 0).mean()) < 0.95
    assert_optimal(clearing)


@pytest.mark.parametrize("size", [100, 10_000, 100_000])
def test_iterations_do_not_grow_with_the_market(size: int) -> None:
    """Thousands of stairs, and a spread of prices that shrinks to a millionth of them."""
    rng = np.random.default_rng(7)
    costs: dict[str, Any] = {
        "quadratic_cost": 0.01 * np.exp(rng.normal(0, 1, size)),
        "linear_cost": 0.015 * np.exp(rng.normal(0, 1, size)),
    }
    clearing = clear_pairs(*paper_book(7, buyers=size, sellers=size, **costs))
    assert clearing.iterations <= 6
    assert clearing.certificate.relative_gap <= 1e-9
    assert clearing.certificate.violation_kwh == 0


def test_the_grid_caps_prices_while_its_room_lasts() -> None:
    book = paper_book(2)
    alone = clear_pairs(*book)
    lowest, highest = alone.buyer_price.min(), alone.buyer_price.max()
    dear = clear_pairs(*book, grid_of(retail=2 * highest, feed_in=0.0))
    np.testing.assert_allclose(dear.buyer_price, alone.buyer_price, rtol=1e-9)
    assert dear.import_kwh == 0
    cheap = clear_pairs(*book, grid_of(retail=0.8 * lowest, feed_in=0.0))
    assert (cheap.buyer_price <= 0.8 * lowest).all()
    assert cheap.import_kwh > 0
    assert cheap.welfare > alone.welfare
    limited = clear_pairs(
        *book,
        grid_of(retail=0.8 * lowest, feed_in=0.0, import_limit_kwh=cheap.import_kwh / 2),
    )
    assert limited.import_kwh == pytest.approx(cheap.import_kwh / 2, rel=1e-9)
    assert 0.8 * lowest < limited.buyer_price.max() < highest
    for clearing in (dear, cheap, limited):
        assert_optimal(clearing)


def test_the_grid_floors_reserves_while_its_room_lasts() -> None:
    book = paper_book(2, tau=1.0)
    alone = clear_pairs(*book)
    assert alone.sold_kwh.sum() < 0.9 * alone.core.room.sum()
    high = float(alone.buyer_price.max())
    selling = clear_pairs(*book, grid_of(retail=9.0, feed_in=high))
    assert (selling.reserve_price >= high).all()
    limited = clear_pairs(
        *book, grid_of(retail=9.0, feed_in=high, export_limit_kwh=selling.export_kwh / 3)
    )
    assert limited.export_kwh == pytest.approx(selling.export_kwh / 3, rel=1e-9)
    assert limited.reserve_price.min() < high
    assert alone.welfare < limited.welfare < selling.welfare
    for clearing in (selling, limited):
        assert_optimal(clearing)


def test_losses_on_the_way_to_the_grid() -> None:
    """Retail and feed-in hold at the grid's meter: the bus sees them with the loss."""
    book = paper_book(2)
    clearing = clear_pairs(*book, grid_of(retail=0.035, feed_in=0.0), grid_efficiency=0.7)
    assert clearing.buyer_price.max() == pytest.approx(0.05)
    assert clearing.import_kwh * 0.7 == pytest.approx(clearing.from_grid_kwh.sum())


@pytest.mark.parametrize("dense", [False, True])
def test_trades_list_what_the_sums_say(dense: bool) -> None:
    rng = np.random.default_rng(1)
    book = paper_book(0, quadratic_cost=0.01 * np.exp(rng.normal(0, 3, 45)))
    matrix = rng.uniform(0.3, 1, (35, 45)) if dense else None
    clearing = clear_pairs(*book, grid_of(), pair_efficiency=matrix)
    listed = trades(clearing)
    by_seller = np.bincount(listed.seller, listed.sent_kwh, 45)
    np.testing.assert_allclose(by_seller, clearing.sold_kwh, rtol=1e-9)
    charged = np.bincount(listed.buyer, listed.charged_kwh, 35)
    local = (clearing.bought_kwh - clearing.from_grid_kwh) * 0.72
    np.testing.assert_allclose(charged, local, rtol=1e-9)
    paid = np.bincount(listed.seller, listed.payment, 45)
    np.testing.assert_allclose(paid, clearing.income, rtol=1e-9)
    pairs = listed.seller * 35 + listed.buyer
    assert (np.diff(pairs) > 0).all()
    with pytest.raises(TooManyTradesError, match=f"{len(pairs)} pairs .* limit of 10"):
        trades(clearing, limit=10)


def test_no_sellers() -> None:
    buyers = PairBuyers(
        weight=np.array([1.0, 2.0]), minimum_kwh=np.zeros(2), maximum_kwh=np.full(2, 5.0)
    )
    nobody = PairSellers(maximum_kwh=np.zeros(0), quadratic_cost=1.0, linear_cost=0.0)
    idle = clear_pairs(buyers, nobody)
    assert idle.welfare == 0
    assert (idle.bought_kwh == 0).all()
    assert idle.certificate.gap == 0
    assert len(trades(idle).seller) == 0
    # All that they want at retail, w / p - 1; and half of it through half the room.
    served = clear_pairs(buyers, nobody, grid_of(retail=0.5, feed_in=0.0))
    np.testing.assert_allclose(served.bought_kwh, [1.0, 3.0], rtol=1e-12)
    scarce = clear_pairs(buyers, nobody, grid_of(retail=0.5, feed_in=0.0, import_limit_kwh=2.0))
    np.testing.assert_allclose(scarce.buyer_price, 0.75, rtol=1e-9)
    needy = PairBuyers(weight=np.ones(1), minimum_kwh=np.ones(1), maximum_kwh=np.ones(1))
    with pytest.raises(InfeasibleError):
        clear_pairs(needy, nobody)


def test_no_buyers() -> None:
    nobody = PairBuyers(weight=np.zeros(0), minimum_kwh=np.zeros(0), maximum_kwh=np.zeros(0))
    sellers = PairSellers(
        maximum_kwh=np.array([4.0, 6.0]), quadratic_cost=0.01, linear_cost=np.array([0.02, 0.04])
    )
    assert clear_pairs(nobody, sellers).welfare == 0
    out = clear_pairs(nobody, sellers, grid_of(export_limit_kwh=7.0))
    np.testing.assert_allclose(out.to_grid_kwh, [4.0, 3.0], rtol=1e-9)
    assert out.welfare == pytest.approx(4 * 0.03 + 3 * 0.01)
    assert out.certificate.relative_gap <= 1e-9


def test_results_cannot_be_changed() -> None:
    clearing = clear_pairs(*paper_book(0))
    with pytest.raises(ValueError, match="read-only"):
        clearing.buyer_price[0] = 0.0
