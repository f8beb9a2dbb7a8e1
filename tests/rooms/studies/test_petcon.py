"""The study of PETCON: each part on few draws, against what is known of it otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from peerwatt.mechanisms.auction_rounds import auction_turns
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.studies.catalogue import opened
from peerwatt.studies.petcon import auctions, findings, hybrid, lots, secrets_told
from peerwatt.studies.petcon.parameters import Petcon, draws_of
from peerwatt.studies.petcon.study import STUDY, conclude, run

PETCON = Petcon(seed=0, draws=4, few_draws=2)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Every part, on few draws."""
    parts: tuple[Any, ...] = ("auction", "evolution", "rival", "hybrid", "secrets", "lots")
    found: dict[str, pl.DataFrame] = {}
    for part in parts:
        point = PETCON.model_copy(update={"experiment": part})
        for name, rows in run(point, range(draws_of(point))).items():
            found[name] = pl.DataFrame(rows)
    return found


def test_a_draw_is_the_same_whatever_task_makes_it() -> None:
    point = PETCON.model_copy(update={"experiment": "hybrid"})
    whole = run(point, range(0, 3))["hybrid"]
    assert whole == [row for at in range(3) for row in run(point, range(at, at + 1))["hybrid"]]


def test_draws_of_two_seeds_have_none_in_common() -> None:
    first, second = PETCON.market(999_999), Petcon(seed=1).market(0)
    assert not np.array_equal(first.minimum_reward, second.minimum_reward)


def test_welfare_of_the_optimum_is_the_mechanisms() -> None:
    market = PETCON.market(3)
    best = clear_pairs(market.buyers, market.sellers)
    *_, last = zip(range(60), auction_turns(market.buyers, market.sellers), strict=False)
    found = auctions.welfare_of(market, last[1].allocation.kwh)
    assert found == pytest.approx(best.welfare, rel=1e-5)
    assert found <= best.welfare * (1 + 1e-9)


def test_every_claim_is_measured_and_nothing_else(tables: dict[str, pl.DataFrame]) -> None:
    _, file = opened("petcon")
    assert set(findings.estimates(tables, PETCON)) == set(file.expected)


def test_a_part_that_was_not_run_leaves_its_claims_out(tables: dict[str, pl.DataFrame]) -> None:
    for name in tables:
        if name == "secrets":
            continue
        alone = {key: tables[key] for key in tables if key in (name, *_beside(name))}
        found = conclude(alone, PETCON)
        assert found.estimates
        drawn = {figure for section in found.sections for figure, _ in section.figures}
        assert drawn <= set(found.figures)


def _beside(name: str) -> tuple[str, ...]:
    """Tables of one part come together."""
    return ("secrets",) if name == "noise" else ()


def test_the_printed_settlement_misses_and_the_one_at_prices_balances(
    tables: dict[str, pl.DataFrame],
) -> None:
    rows = tables["auctions"]
    assert rows["at_prices_budget"].abs().max() == pytest.approx(0, abs=1e-9)
    assert rows["printed_rules_budget"].abs().min() > 0.01  # type: ignore[operator]
    assert rows["at_prices_sellers_losing"].max() == 0
    assert (rows["at_prices_buyers_losing"] <= rows["printed_rules_buyers_losing"]).all()


def test_a_gain_by_shading_is_checked_against_the_auction_itself() -> None:
    """Told 90 % of a value, the auction's own bids leave the car with what was computed."""
    for number in range(2):
        market = PETCON.market(number)
        buyers = market.buyers
        surplus = []
        for share in (1.0, auctions.SHADED):
            weight = buyers.weight.copy()
            weight[0] *= share
            stated = auctions.replace(buyers, weight=weight)
            turns = auction_turns(stated, market.sellers)
            *_, (_, last) = zip(range(80), turns, strict=False)
            energy = 0.8 * float(last.allocation.kwh[0].sum())
            utility = float(buyers.weight[0]) * math.log1p(energy - float(buyers.minimum_kwh[0]))
            surplus.append(utility - float(last.next_payments[0].sum()))
        honest = clear_pairs(market.buyers, market.sellers)
        gain = auctions.gain_by_shading(market, honest)
        assert gain == pytest.approx(surplus[1] - surplus[0], abs=2e-3)


def test_the_rivals_price_is_where_demand_meets_supply() -> None:
    market = PETCON.market(0)
    (row,) = auctions.rival(PETCON.model_copy(update={"rival_steps": (0.8,), "epsilon": 1e-9}), 0)
    demand = auctions.demand_kwh(market, row["price"])
    assert demand == pytest.approx(auctions.supply_kwh(market, row["price"]), rel=1e-6)


def test_a_car_settles_at_the_first_turn_from_which_it_stays() -> None:
    values = [9.0, 10.0, 12.0, 10.05, 10.0]
    rows = pl.DataFrame({"draw": [0] * 5, "turn": range(1, 6), "x": values})
    assert findings.settling_turns(rows, "x") == [4]
    level = pl.DataFrame({"draw": [0] * 3, "turn": [1, 2, 3], "x": [5.0] * 3})
    assert findings.settling_turns(level, "x") == [1]


def test_energy_and_money_of_the_hybrid_add_up(tables: dict[str, pl.DataFrame]) -> None:
    rows = tables["hybrid"]
    alone = rows.filter(pl.col("grid") == "none")
    assert np.allclose(alone["efficiency"], 0.9)
    energy = alone["sent_kwh_a_buyer"] * 35 * 0.9
    assert np.allclose(energy, alone["usable_kwh_a_seller"] * 45)
    paid, earned = alone["buying_price"] * energy, alone["selling_price"] * energy / 0.9
    assert np.allclose(paid, earned)
    for row in rows.filter(pl.col("grid") != "none").iter_rows(named=True):
        assert 0.7 <= row["efficiency"] <= 0.9 + 1e-12


def test_nobody_buys_from_a_grid_dearer_than_a_local_kwh_and_all_from_a_free_one() -> None:
    market = PETCON.market(0)
    assert hybrid.grid_sells(market, 5.0).import_kwh == 0
    assert hybrid.grid_sells(market, 0.001).from_grid_kwh.sum() > 300
    assert hybrid.grid_buys(market, 0.0).export_kwh == 0
    assert hybrid.grid_buys(market, 5.0).to_grid_kwh.sum() > 200


def test_claims_on_fig_6_fail_where_rows_do_not_hold_them(tables: dict[str, pl.DataFrame]) -> None:
    rows = tables["hybrid"]
    turned = rows.with_columns(
        pl.col("price").max() + pl.col("price").min() - pl.col("price"),
    )
    found = findings.of_hybrid(turned)
    for name in ("hybrid_cheaper", "hybrid_sends_more", "selling_price_rises", "usable_falls"):
        assert found[name].value == 0, name


def test_without_noise_what_moves_is_told_and_noise_hides_it() -> None:
    told = secrets_told.secrets_told(PETCON, 1)
    (row,) = told["secrets"]
    assert row["weights_known"] == row["minima_known"] == row["moved"] > 0.5
    assert row["costs_known"] == 1
    errors = [row["weight_error"] for row in told["noise"]]
    gaps = [row["relative_gap"] for row in told["noise"]]
    assert errors == sorted(errors)
    assert errors[0] > 1e-3
    assert gaps == sorted(gaps)


def test_lots_lie_in_the_box_and_go_to_the_nearest_hub() -> None:
    height_km, width_km = lots.box_km()
    # A degree of longitude is shorter by the cosine of the latitude.
    assert (height_km, width_km) == pytest.approx((2.224, 3.361), abs=1e-3)
    rows = lots.lots(PETCON)
    assert len(rows) == 58
    hubs = [row for row in rows if row["is_hub"]]
    assert len(hubs) == 6
    for row in rows:
        assert 0 <= row["east_km"] <= width_km
        assert 0 <= row["north_km"] <= height_km
        far_km = {
            hub["lot"]: math.hypot(
                hub["east_km"] - row["east_km"], hub["north_km"] - row["north_km"]
            )
            for hub in hubs
        }
        assert row["to_hub_km"] == pytest.approx(min(far_km.values()))
        assert far_km[row["hub"]] == pytest.approx(row["to_hub_km"])


def test_every_figure_is_drawn_and_shown(tables: dict[str, pl.DataFrame]) -> None:
    found = STUDY.conclude(tables, PETCON)
    shown = {figure for section in found.sections for figure, _ in section.figures}
    assert shown == set(found.figures)
    for draw in found.figures.values():
        assert draw().axes
