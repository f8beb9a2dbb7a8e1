"""A comparison's figures are the day's own, and its page stands alone."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import polars as pl
import pytest

from peerwatt.reporting.compare_page import compare_page, write_comparison
from peerwatt.reporting.compare_plots import FIGURES
from peerwatt.reporting.comparison import (
    EVEN_UCOIN,
    ROLES,
    Comparison,
    comparison_summary,
    comparison_tables,
    mean_prices_ucoin_per_kwh,
    saved_ucoin,
    standing,
)
from peerwatt.reporting.day_result import DayResult, read_result
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.run import DayRun

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.fixture(scope="module")
def comparison(fresh_run: DayRun, pairs_run: DayRun) -> Comparison:
    runs = {"welfare": fresh_run, "welfare-pairs": pairs_run}
    results = {name: read_result(run.summary, run.tables) for name, run in runs.items()}
    return Comparison(results, {"welfare": "all <bids>", "welfare-pairs": "bids"}, ("ports",))


def with_cars(result: DayResult, saved: list[int], role: str) -> DayResult:
    """The day with cars of a role that saved so much."""
    cars = result.tables["cars"].head(1)
    rows = [
        cars.with_columns(
            role=pl.lit(role), plug_cost_ucoin=pl.lit(value), market_cost_ucoin=pl.lit(0)
        )
        for value in saved
    ]
    return result._replace(tables=result.tables | {"cars": pl.concat(rows)})


def test_less_than_half_a_cent_is_neither_gain_nor_loss(comparison: Comparison) -> None:
    saved = [EVEN_UCOIN, EVEN_UCOIN - 1, 0, 1 - EVEN_UCOIN, -EVEN_UCOIN, -9 * EVEN_UCOIN]
    result = with_cars(comparison.any_result, saved, "seller")
    assert standing(result, "seller") == (1, 3, 2, EVEN_UCOIN, 10 * EVEN_UCOIN)
    assert standing(result, "buyer") == (0, 0, 0, 0, 0)


def test_every_car_stands_once_under_each_mechanism(comparison: Comparison) -> None:
    cars = comparison_tables(comparison)["cars"]
    for name, result in comparison.results.items():
        mine = cars.filter(cars["mechanism"] == name)
        assert sorted(mine["session_id"]) == sorted(result.tables["cars"]["session_id"])
        for role in ROLES:
            whole = standing(result, role)
            assert sum(whole[:3]) == mine.filter(mine["role"] == role).height > 0
            saved = mine.filter(mine["role"] == role)["saved_ucoin"]
            assert sum(saved_ucoin(result, role)) == saved.sum()
            uneven = saved.filter(saved.abs() >= EVEN_UCOIN)
            assert whole.gained_ucoin - whole.lost_ucoin == uneven.sum()


def test_mean_prices_are_money_by_energy(comparison: Comparison) -> None:
    result = comparison.results["welfare-pairs"]
    awards = result.tables["awards"]
    for side, money, mean in zip(
        ("buy", "sell"),
        ("paid_ucoin", "received_ucoin"),
        mean_prices_ucoin_per_kwh(result),
        strict=True,
    ):
        mine = awards.filter(awards["side"] == side)
        assert mean == int(mine[money].sum()) * 1000 // int(mine["metered_wh"].sum())
    nothing = result._replace(tables=result.tables | {"rounds": result.tables["rounds"].clear()})
    assert mean_prices_ucoin_per_kwh(nothing) == (None, None)


def test_baselines_stand_around_the_mechanisms(comparison: Comparison) -> None:
    names = list(comparison.outcomes)
    assert names[0] == "Plug-and-charge"
    assert names[2:4] == ["welfare", "welfare-pairs"]
    assert names[-1] == "Best plan, all known"
    summary = comparison_summary(comparison)
    for name, row in summary["mechanisms"].items():
        market = comparison.results[name].summary.baselines.market
        assert (row["cost_usd"], row["unmet_kwh"]) == (market.cost_usd, market.unmet_kwh)
        plug = comparison.results[name].summary.baselines.plug_and_charge
        assert summary["baselines"]["plug_and_charge"]["cost_usd"] == plug.cost_usd
    assert summary["mechanisms"]["welfare-pairs"]["rounds_by_members"] > 0


def test_the_page_loads_nothing_and_escapes_words(comparison: Comparison) -> None:
    page = compare_page(comparison, dict.fromkeys(FIGURES, SVG))
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("data:", "#")) for link in links)
    ids = re.findall(r' id="([^"]*)"', page)
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "all &lt;bids&gt;" in page
    assert "<bids>" not in page
    for name in ("welfare", "welfare-pairs"):
        lost = sum(standing(comparison.results[name], role).lose for role in ROLES)
        assert f"{name}: {lost}" in page or "No car loses" in page


def test_equal_days_give_equal_bytes(comparison: Comparison, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with RunFolder(tmp_path / name) as folder:
            write_comparison(folder, comparison)
            folder.finish_described({})
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 11
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_day_without_sellers_or_savings_says_so(comparison: Comparison) -> None:
    result = with_cars(comparison.any_result, [0, -EVEN_UCOIN], "buyer")
    result = result._replace(summary=msgspec.structs.replace(result.summary, captured=-9.38))
    alone = Comparison({"welfare": result}, {"welfare": "bids"}, ("ports",))
    page = compare_page(alone, dict.fromkeys(FIGURES, SVG))
    assert "nothing saved" in page
    assert "welfare, buyers" in page
    assert "welfare, sellers" not in page
    assert [axes.get_title(loc="left") for axes in FIGURES["gains"](alone).axes] == ["Buyers"]
