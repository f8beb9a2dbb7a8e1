"""The study of V2V's two rounds: each part on few draws, against what is known of it otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from peerwatt.market_lab.lies import LEAST_GAIN, utility
from peerwatt.market_lab.subjects import Market, saying
from peerwatt.mechanisms.auction_book import Band
from peerwatt.mechanisms.v2v import Round, clear_v2v
from peerwatt.studies.catalogue import opened
from peerwatt.studies.estimates import mean_of
from peerwatt.studies.v2v import findings, lies, rounds
from peerwatt.studies.v2v.parameters import V2V, draws_of
from peerwatt.studies.v2v.study import STUDY, conclude, run

SMALL = V2V(draws=30, lie_draws=2, size_draws=12, liars_a_side=1)
PARTS: tuple[Any, ...] = ("rounds", "lies", "sizes")


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Every part, on few draws."""
    found: dict[str, pl.DataFrame] = {}
    for part in PARTS:
        point = SMALL.model_copy(update={"experiment": part})
        for name, rows in run(point, range(draws_of(point))).items():
            found[name] = pl.DataFrame(rows)
    return found


def test_a_draw_is_the_same_whatever_task_makes_it() -> None:
    for part in ("rounds", "sizes"):
        point = SMALL.model_copy(update={"experiment": part})
        whole = run(point, range(0, 3))[part]
        assert whole == [row for at in range(3) for row in run(point, range(at, at + 1))[part]]


def test_seeds_and_sizes_have_no_draw_in_common_and_adjustments_have_all() -> None:
    first, other = SMALL.cars(3, 1.5)[0], V2V(seed=2).cars(3, 1.5)[0]
    assert first.bid.tolist() != other.bid.tolist()
    assert first.bid.tolist() == SMALL.cars(3, 2.0)[0].bid.tolist()
    assert SMALL.orders(0, 10).value[0] != SMALL.orders(0, 11).value[0]


def test_every_claim_is_measured_and_nothing_else(tables: dict[str, pl.DataFrame]) -> None:
    _, file = opened("v2v")
    assert set(findings.estimates(tables, SMALL)) == set(file.expected)


def test_a_part_that_was_not_run_leaves_its_claims_out(tables: dict[str, pl.DataFrame]) -> None:
    for name in tables:
        found = conclude({name: tables[name]}, SMALL)
        assert found.estimates
        drawn = {figure for section in found.sections for figure, _ in section.figures}
        assert drawn == set(found.figures)


def test_a_loser_that_pays_beyond_its_value_is_counted_and_no_winner_is() -> None:
    """Counted again, car by car."""
    point = V2V(most_cars=4)
    for draw in range(40):
        buyers, sellers, band = point.cars(draw, 1.5)
        found = clear_v2v(buyers, sellers, band, paper=True, seed=draw)
        row = next(each for each in rounds.rounds(point, draw) if each["adjustment"] == 1.5)
        loses = 0
        for at, bid in enumerate(buyers.bid):
            pays = found.second.buyer_price
            loses += bool(found.second.bought_kwh[at] > 0 and pays - bid > 1e-9)
            if found.first.bought_kwh[at] > 0:
                assert found.second.bought_kwh[at] == 0 or pays <= bid + 1e-9
        assert row["buyers_losing"] == loses
        assert row["losers_losing"] == row["buyers_losing"] + row["sellers_losing"]


def made(buyer_price: float, seller_price: float, bid: float = 0.2, ask: float = 0.1) -> Round:
    one = np.ones(1)
    return Round(
        bid=bid * one,
        ask=ask * one,
        buyer_price=buyer_price,
        seller_price=seller_price,
        bought_kwh=one,
        sold_kwh=one,
    )


def test_prices_that_do_not_meet_or_leave_the_band_are_told() -> None:
    assert rounds.crosses(made(0.2, 0.1))
    assert rounds.crosses(made(0.1, 0.2)) is False
    assert rounds.crosses(made(np.nan, 0.2)) is None
    assert not rounds.grid_betters(SMALL, made(0.35, 0.05))
    assert rounds.grid_betters(SMALL, made(0.36, 0.05))
    assert rounds.grid_betters(SMALL, made(0.35, 0.04))
    assert not rounds.signs_beyond(SMALL, made(0.3, 0.1, bid=0.35, ask=0.05))
    assert rounds.signs_beyond(SMALL, made(0.3, 0.1, bid=0.36))
    assert rounds.signs_beyond(SMALL, made(0.3, 0.1, ask=0.04))


def test_held_prices_stay_inside_the_grids_and_money_is_never_short(
    tables: dict[str, pl.DataFrame],
) -> None:
    rows = tables["rounds"]
    assert rows["signs_beyond"].any()
    assert not rows["signs_beyond_held"].any()
    assert rows["surplus"].min() >= -1e-9  # type: ignore[operator]
    assert (rows["second_kwh_free"] <= rows["second_kwh"] + 1e-9).all()
    assert (rows["planned_kwh"] <= rows["have_kwh"] + 1e-9).all()


def test_a_lie_in_two_rounds_pays_and_the_same_lie_in_one_does_not() -> None:
    """Found by the search, told again here to the mechanism itself."""
    paid = 0
    for seed in range(6):
        truth = lies.random_market(seed)
        game = lies._Game(truth, 1.5)
        best = lies.lies_in(game.all_sign, truth, seed, kinds=["price"], most_a_side=1)
        for lie in best:
            said = saying(truth, lie.buyer, lie.row, lie.price, lie.kwh)
            gains = [
                utility(truth, clear(said, seed), lie.buyer, lie.row)
                - utility(truth, clear(truth, seed), lie.buyer, lie.row)
                for clear in (game.all_sign, game.first)
            ]
            assert gains[0] == pytest.approx(lie.gain)
            assert gains[1] <= LEAST_GAIN
            paid += gains[0] > 1e-3
    assert paid > 0


def test_who_would_lose_refuses_so_that_truth_never_costs() -> None:
    for seed in range(20):
        truth = lies.random_market(seed)
        game = lies._Game(truth, 1.5)
        free, bound = game.who_gains_signs(truth, seed), game.all_sign(truth, seed)
        owners = [(True, row) for row in range(len(truth.value))]
        owners += [(False, row) for row in range(len(truth.cost))]
        assert all(utility(truth, free, *owner) >= -1e-9 for owner in owners)
        assert free.bought_kwh.sum() <= bound.bought_kwh.sum() + 1e-9


def test_the_best_welfare_is_that_of_the_pairs_that_gain() -> None:
    one = Market(
        np.array([0.3]),
        np.array([2.0]),
        np.array([0.1]),
        np.array([5.0]),
        Band(feed_in=0.05, retail=0.35),
    )
    assert lies._best_welfare(one) == pytest.approx(0.4)


def test_a_pooled_share_is_the_ratio_of_sums_and_plain_where_all_are_alike() -> None:
    hits, of = pl.Series([1.0, 0.0, 3.0]), pl.Series([2.0, 1.0, 4.0])
    found = findings.pooled(hits, of)
    assert found.value == pytest.approx(4 / 7)
    assert found.low < found.value < found.high
    same, plain = findings.pooled(hits, pl.Series([4.0] * 3)), mean_of(hits / 4)
    assert (same.value, same.low, same.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_no_rule_is_better_than_the_best(tables: dict[str, pl.DataFrame]) -> None:
    rows = tables["sizes"]
    for rule in ("count", "volume", "huang"):
        assert rows[rule].is_between(-1e-9, 1 + 1e-9).all()
    largest = rows.filter(pl.col("size") == 200)
    assert (largest["volume"] > largest["count"]).mean() > 0.5  # type: ignore[operator]


def test_every_figure_is_drawn_and_shown(tables: dict[str, pl.DataFrame]) -> None:
    found = STUDY.conclude(tables, SMALL)
    shown = {figure for section in found.sections for figure, _ in section.figures}
    assert shown == set(found.figures)
    for draw in found.figures.values():
        assert draw().axes
