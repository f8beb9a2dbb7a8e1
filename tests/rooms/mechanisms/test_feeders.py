"""One price a feeder: against a convex solver, by its own proof, and where nothing can be met."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from peerwatt.mechanisms.feeders import FeederClearing, Feeders, clear_one_price_feeders
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price

LOST_LOAD = 0.5
Market = tuple[BuyerCurves, SellerCurves, GridTerms, Feeders]


def random_market(rng: np.random.Generator, *, flat: bool) -> Market:
    """Limits of nothing, little and no end, of connection and feeders; flat curves that tie."""
    buyers, sellers, feeders = rng.integers(1, 9), rng.integers(0, 6), rng.integers(1, 4)
    least = rng.uniform(0, 2, buyers) * (rng.random(buyers) < 0.5)
    high = rng.uniform(0.1, LOST_LOAD, buyers)
    low = high * rng.uniform(0.2, 0.99, buyers)
    if flat:
        high = np.where(rng.random(buyers) < 0.5, np.round(high, 1), high)
        low = np.where(rng.random(buyers) < 0.4, high, np.minimum(low, high))
    slope = rng.uniform(0.001, 0.05, sellers) * (rng.random(sellers) < (0.5 if flat else 1.0))
    return (
        BuyerCurves(
            minimum_kwh=least,
            maximum_kwh=least + rng.uniform(0, 3, buyers),
            price_high=high,
            price_low=low,
        ),
        SellerCurves(
            maximum_kwh=rng.uniform(0, 5, sellers),
            ask=np.round(rng.uniform(0, 0.3, sellers), 1 if flat else 4),
            slope=slope,
        ),
        GridTerms(
            retail=0.3,
            feed_in=0.08,
            import_limit_kwh=rng.choice([0.0, 2.0, 6.0, 30.0]),
            export_limit_kwh=rng.choice([0.0, 1.0, 30.0]),
            local_fee=rng.choice([0.0, 0.02]),
        ),
        Feeders(
            import_limit_kwh=rng.choice([0.0, 1.0, 3.0, np.inf], feeders),
            export_limit_kwh=rng.choice([0.0, 1.0, 3.0, np.inf], feeders),
            buyers=rng.integers(0, feeders + 1, buyers),
            sellers=rng.integers(0, feeders + 1, sellers),
        ),
    )


def cleared(market: Market) -> FeederClearing:
    return clear_one_price_feeders(*market, lost_load=LOST_LOAD)


def best_welfare(market: Market) -> float:
    """By Clarabel, from the definition."""
    buyers, sellers, grid, feeders = market
    met, extra = cp.Variable(len(buyers.minimum_kwh)), cp.Variable(len(buyers.minimum_kwh))
    sold, trade = cp.Variable(len(sellers.maximum_kwh)), cp.Variable(2)
    span = buyers.maximum_kwh - buyers.minimum_kwh
    fall = buyers.price_high - buyers.price_low
    worth = LOST_LOAD * cp.sum(met)
    for at in range(len(span)):
        scale = span[at] * buyers.price_low[at] / fall[at] if fall[at] > 0 else 0.0
        if scale > 0:
            worth += scale * buyers.price_high[at] * cp.log(1 + extra[at] / scale)
        else:
            worth += buyers.price_high[at] * extra[at]
    limits = [
        met >= 0, met <= buyers.minimum_kwh, extra >= 0, extra <= span, trade >= 0,
        trade <= [min(grid.import_limit_kwh, 99), min(grid.export_limit_kwh, 99)],
    ]  # fmt: skip
    cost = grid.retail * trade[0] - (grid.feed_in + grid.local_fee) * trade[1]
    flows = cp.sum(met + extra)
    if len(sellers.maximum_kwh):
        limits += [sold >= 0, sold <= sellers.maximum_kwh]
        cost += (sellers.ask + grid.local_fee) @ sold + sellers.slope / 2 @ cp.square(sold)
        flows -= cp.sum(sold)
    limits.append(flows == trade[0] - trade[1])
    rooms = zip(feeders.import_limit_kwh, feeders.export_limit_kwh, strict=True)
    for place, (most, least) in enumerate(rooms):
        net = cp.sum(cp.multiply((feeders.buyers == place) * 1.0, met + extra))
        if len(sellers.maximum_kwh):
            net -= cp.sum(cp.multiply((feeders.sellers == place) * 1.0, sold))
        limits += [net <= min(most, 99), net >= -min(least, 99)]
    problem = cp.Problem(cp.Maximize(worth - cost), limits)
    return float(problem.solve(solver="CLARABEL"))


@pytest.mark.parametrize("flat", [False, True])
def test_every_market_is_cleared_with_a_proof(flat: bool) -> None:
    rng = np.random.default_rng(5)
    bound = 0
    for _ in range(120):
        market = random_market(rng, flat=flat)
        found = cleared(market)
        proof, feeders = found.certificate, market[3]
        assert abs(proof.gap) <= 1e-11 * max(proof.traded_value, 1.0)
        assert proof.violation_kwh <= 1e-9
        net = feeders.net_kwh(found.bought_kwh, found.sold_kwh)[:-1]
        assert (net <= feeders.import_limit_kwh + 1e-9).all()
        assert (net >= -feeders.export_limit_kwh - 1e-9).all()
        dearer = found.feeder_price - found.bus_price
        bound += int((dearer > 0).any()) + int((dearer < 0).any())
    assert bound > 40


@pytest.mark.parametrize("flat", [False, True])
def test_nothing_better_is_found_by_a_convex_solver(flat: bool) -> None:
    rng = np.random.default_rng(6)
    for _ in range(12):
        market = random_market(rng, flat=flat)
        assert cleared(market).welfare == pytest.approx(best_welfare(market), abs=1e-6)


def test_without_limits_it_is_one_price() -> None:
    rng = np.random.default_rng(7)
    for _ in range(40):
        buyers, sellers, grid, feeders = random_market(rng, flat=False)
        endless = np.full(len(feeders.import_limit_kwh), np.inf)
        free = Feeders(
            import_limit_kwh=endless,
            export_limit_kwh=endless,
            buyers=feeders.buyers,
            sellers=feeders.sellers,
        )
        found = cleared((buyers, sellers, grid, free))
        one = clear_one_price(buyers, sellers, grid, lost_load=LOST_LOAD)
        assert found.bus_price == pytest.approx(one.buyer_price, abs=1e-12)
        assert found.feeder_price == pytest.approx(one.buyer_price, abs=1e-12)
        assert found.bought_kwh == pytest.approx(one.bought_kwh, abs=1e-8)
        assert found.welfare == pytest.approx(one.welfare, abs=1e-10)


def needy(import_kwh: float) -> FeederClearing:
    """Two who need 2 kWh each behind one feeder, with room for so much, and one at the bus."""
    flat = np.full(3, 0.35)
    market = (
        BuyerCurves(
            minimum_kwh=np.array([2.0, 2.0, 1.0]),
            maximum_kwh=np.array([2.0, 2.0, 1.0]),
            price_high=flat,
            price_low=flat,
        ),
        SellerCurves(maximum_kwh=np.zeros(0), ask=np.zeros(0), slope=np.zeros(0)),
        GridTerms(retail=0.3, feed_in=0.08, import_limit_kwh=9.0, export_limit_kwh=0.0),
        Feeders(
            import_limit_kwh=np.array([import_kwh]),
            export_limit_kwh=np.zeros(1),
            buyers=np.array([0, 0, 1]),
            sellers=np.zeros(0, dtype=np.intp),
        ),
    )
    return cleared(market)


def test_minima_that_a_feeder_cannot_bring_share_what_it_can() -> None:
    found = needy(3.0)
    assert found.bought_kwh == pytest.approx([1.5, 1.5, 1.0])
    assert found.feeder_price == pytest.approx([LOST_LOAD])
    assert found.bus_price == pytest.approx(0.3)
    assert found.certificate.gap == pytest.approx(0.0, abs=1e-15)
    assert needy(4.0).bought_kwh == pytest.approx([2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("import_limit_kwh", [-1.0], "import_limit_kwh"),
        ("export_limit_kwh", [1.0, 2.0], "shape"),
        ("export_limit_kwh", [np.nan], "number >= 0"),
        ("buyers", [2], "places from 0 to 1"),
        ("sellers", [[0]], "one row of places"),
    ],
)
def test_feeders_that_mean_nothing_are_refused(field: str, value: object, message: str) -> None:
    usual: dict[str, object] = {
        "import_limit_kwh": [1.0], "export_limit_kwh": [1.0], "buyers": [0], "sellers": [1]
    }  # fmt: skip
    arrays = {name: np.array(each) for name, each in (usual | {field: value}).items()}
    with pytest.raises(ValueError, match=message):
        Feeders(**arrays)  # type: ignore[arg-type]


def test_a_book_of_another_length_is_refused() -> None:
    buyers, sellers, grid, feeders = random_market(np.random.default_rng(1), flat=False)
    one_more = Feeders(
        import_limit_kwh=feeders.import_limit_kwh,
        export_limit_kwh=feeders.export_limit_kwh,
        buyers=np.append(feeders.buyers, 0),
        sellers=feeders.sellers,
    )
    with pytest.raises(ValueError, match="buyers' curves differ in length"):
        cleared((buyers, sellers, grid, one_more))
    with pytest.raises(ValueError, match="price_high is above lost_load"):
        clear_one_price_feeders(buyers, sellers, grid, feeders, lost_load=0.01)
    with pytest.raises(ValueError, match="lost_load must be a number above zero"):
        clear_one_price_feeders(buyers, sellers, grid, feeders, lost_load=0.0)
