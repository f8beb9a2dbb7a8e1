"""Pairs behind feeders: against a convex solver, by their own proof, and where minima miss."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from peerwatt.mechanisms.feeder_pairs import FeederPairsClearing, clear_pairs_feeders
from peerwatt.mechanisms.feeders import Feeders
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers
from peerwatt.mechanisms.welfare_newton import NotConvergedError

LOST_LOAD = 0.5
Market = tuple[PairBuyers, PairSellers, GridTerms, Feeders]


def random_market(rng: np.random.Generator) -> Market:
    """Limits of nothing, little and no end, of connection and feeders; minima that miss them."""
    buyers, sellers, feeders = rng.integers(1, 7), rng.integers(0, 6), rng.integers(1, 4)
    least = rng.uniform(0, 2, buyers) * (rng.random(buyers) < 0.5)
    span, high = rng.uniform(0.1, 3, buyers), rng.uniform(0.1, LOST_LOAD, buyers)
    low = high * rng.uniform(0.2, 0.95, buyers)
    scale = span * low / (high - low)
    return (
        PairBuyers(
            weight=scale * high, minimum_kwh=least, maximum_kwh=least + span, scale_kwh=scale
        ),
        PairSellers(
            maximum_kwh=rng.uniform(0.1, 5, sellers),
            quadratic_cost=rng.uniform(0.002, 0.05, sellers),
            linear_cost=rng.uniform(0.0, 0.3, sellers),
        ),
        GridTerms(
            retail=0.3,
            feed_in=0.08,
            import_limit_kwh=rng.choice([0.0, 2.0, 30.0]),
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


def best_welfare(market: Market) -> float:
    """By Clarabel, from the definition."""
    buyers, sellers, grid, feeders = market
    n, m = len(buyers.weight), len(sellers.maximum_kwh)
    met, extra, fetched = (cp.Variable(n, nonneg=True) for _ in range(3))
    sent, handed = cp.Variable((n, max(m, 1)), nonneg=True), cp.Variable(max(m, 1), nonneg=True)
    room = sellers.maximum_kwh if m else np.zeros(1)
    ask = np.asarray(sellers.linear_cost) + grid.local_fee if m else np.zeros(1)
    rise = np.asarray(sellers.quadratic_cost) if m else np.ones(1)
    places = feeders.sellers if m else np.array([len(feeders.import_limit_kwh)])
    logs = cp.log(1 + cp.multiply(1 / np.asarray(buyers.scale_kwh), extra))
    worth = LOST_LOAD * cp.sum(met) + buyers.weight @ logs
    given = cp.sum(sent, axis=0) + handed
    cost = grid.retail * cp.sum(fetched) - (grid.feed_in + grid.local_fee) * cp.sum(handed)
    cost += ask @ given + cp.sum(cp.square(sent) @ rise)
    limits = [
        met <= buyers.minimum_kwh, extra <= buyers.maximum_kwh - buyers.minimum_kwh,
        cp.sum(sent, axis=1) + fetched == met + extra, given <= room,
        cp.sum(fetched) <= grid.import_limit_kwh, cp.sum(handed) <= grid.export_limit_kwh,
    ]  # fmt: skip
    rooms = zip(feeders.import_limit_kwh, feeders.export_limit_kwh, strict=True)
    for place, (most, least) in enumerate(rooms):
        net = (feeders.buyers == place) * 1.0 @ (met + extra) - (places == place) * 1.0 @ given
        limits += [net <= min(most, 99), net >= -min(least, 99)]
    return float(cp.Problem(cp.Maximize(worth - cost), limits).solve(solver="CLARABEL"))


def cleared(market: Market) -> FeederPairsClearing:
    return clear_pairs_feeders(*market, lost_load=LOST_LOAD)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_every_market_is_cleared_with_a_proof_as_well_as_by_a_convex_solver() -> None:
    rng = np.random.default_rng(5)
    imports = exports = several = missed = 0
    for trial in range(60):
        market = random_market(rng)
        found = cleared(market)
        proof, feeders = found.certificate, market[3]
        assert abs(proof.gap) <= 1e-7 * (proof.traded_value + proof.weight)
        assert proof.violation_kwh <= 1e-7
        if trial < 25:
            assert found.welfare == pytest.approx(best_welfare(market), abs=2e-6)
        net = feeders.net_kwh(found.bought_kwh, found.sold_kwh + found.to_grid_kwh)
        assert (net[:-1] <= feeders.import_limit_kwh + 1e-7).all()
        assert (net[:-1] >= -feeders.export_limit_kwh - 1e-7).all()
        assert net.sum() == pytest.approx(found.import_kwh - found.export_kwh, abs=1e-7)
        imports += bool((found.feeder_price > 0).any())
        exports += bool((found.feeder_price < 0).any())
        several += bool(np.count_nonzero(found.feeder_price) > 1)
        missed += bool(found.unserved_kwh.max() > 1e-3)
    assert min(imports, exports, several, missed) >= 8


def test_without_limits_it_is_what_pairs_clear_at() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        buyers, sellers, grid, feeders = random_market(rng)
        endless = np.full(len(feeders.import_limit_kwh), np.inf)
        free = Feeders(
            import_limit_kwh=endless,
            export_limit_kwh=endless,
            buyers=feeders.buyers,
            sellers=feeders.sellers,
        )
        found = cleared((buyers, sellers, grid, free))
        known = clear_pairs(buyers, sellers, grid, lost_load=LOST_LOAD)
        assert not found.feeder_price.any()
        assert found.welfare == pytest.approx(known.welfare, abs=1e-7)
        assert found.sold_kwh == pytest.approx(known.sold_kwh, abs=1e-5)


def two_behind_one(import_kwh: float, minimum_kwh: float) -> FeederPairsClearing:
    """Two alike behind one feeder, and a third at the bus, whom the grid alone serves."""
    rows = np.ones(3)
    return cleared(
        (
            PairBuyers(weight=0.4 * rows, minimum_kwh=minimum_kwh * rows, maximum_kwh=4.0 * rows),
            PairSellers(maximum_kwh=np.zeros(0), quadratic_cost=1.0, linear_cost=0.0),
            GridTerms(retail=0.3, feed_in=0.08, import_limit_kwh=50.0, export_limit_kwh=0.0),
            Feeders(
                import_limit_kwh=np.array([import_kwh]),
                export_limit_kwh=np.zeros(1),
                buyers=np.array([0, 0, 1]),
                sellers=np.zeros(0, dtype=np.intp),
            ),
        )
    )


def test_a_full_feeder_is_as_dear_as_what_it_cannot_bring() -> None:
    """A kWh beyond the minimum c is worth 0.4 / (1 + c): of 0.2 kWh each 0.1, 0.3636 a kWh."""
    found = two_behind_one(2.2, 1.0)
    assert found.feeder_price == pytest.approx([0.4 / 1.1 - 0.3], abs=1e-9)
    assert found.bought_kwh == pytest.approx([1.1, 1.1, 4 / 3], abs=1e-9)


def test_minima_that_a_feeder_cannot_bring_cost_lost_load_there_alone() -> None:
    found = two_behind_one(1.0, 2.0)
    assert found.buyer_price == pytest.approx([0.5, 0.5, 0.3], abs=1e-12)
    assert found.feeder_price == pytest.approx([0.2], abs=1e-12)
    assert found.unserved_kwh.sum() == pytest.approx(3.0, abs=1e-9)
    assert found.bought_kwh[2] == pytest.approx(2 + 1 / 3, abs=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    buyers, sellers, grid, feeders = random_market(np.random.default_rng(1))
    nobody = Feeders(
        import_limit_kwh=feeders.import_limit_kwh,
        export_limit_kwh=feeders.export_limit_kwh,
        buyers=np.zeros(0, dtype=np.intp),
        sellers=feeders.sellers,
    )
    with pytest.raises(ValueError, match=r"Feeders\.buyers"):
        clear_pairs_feeders(buyers, sellers, grid, nobody, lost_load=LOST_LOAD)
    with pytest.raises(NotConvergedError, match="exceeds"):
        clear_pairs_feeders(buyers, sellers, grid, feeders, lost_load=LOST_LOAD, tolerance=-1.0)
