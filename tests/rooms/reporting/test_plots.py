"""The figures draw what the tables hold, and leave matplotlib's global state alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib import rcParams

from peerwatt.reporting import plots
from peerwatt.reporting.day_clearing import gap_points
from peerwatt.reporting.day_result import DayResult, read_result
from peerwatt.reporting.run_folder import DPI


@pytest.fixture(scope="module")
def result(day: Any) -> DayResult:
    return read_result(day.summary, day.tables)


@pytest.mark.parametrize("name", plots.FIGURES)
def test_figures_are_1200_pixels_wide_and_repeatable(result: DayResult, name: str) -> None:
    before = dict(rcParams)
    images = []
    for _ in range(2):
        buffer = io.BytesIO()
        figure = plots.FIGURES[name](result)
        figure.savefig(buffer, dpi=40, metadata={"Software": None})
        images.append(buffer.getvalue())
    assert images[0] == images[1]
    assert figure.get_figwidth() * DPI == 1200
    assert dict(rcParams) == before


ODD_DAYS: tuple[dict[str, Any], ...] = (
    {"buyers": 0, "sellers": 0, "forged": False},
    {"buyers": 1, "sellers": 0},
    {"mechanism": "welfare-pairs", "buyers": 12, "void_every": 9},
    {"limit_kw": None, "pv_kwp": 100.0, "void_every": 9, "buyers": 12},
)


@pytest.fixture(scope="module")
def odd_results(make: Callable[..., Any]) -> list[DayResult]:
    days = [make(**given) for given in ODD_DAYS]
    return [read_result(day.summary, day.tables) for day in days]


@pytest.mark.parametrize("name", plots.FIGURES)
def test_odd_days_have_figures(odd_results: list[DayResult], name: str) -> None:
    for result in odd_results:
        plots.FIGURES[name](result).savefig(io.BytesIO(), dpi=20)


def _bar_lengths(figure: Any, label: str) -> float:
    [container] = [each for each in figure.axes[0].containers if each.get_label() == label]
    return float(sum(patch.get_height() for patch in container))


def test_energy_bars_add_up_to_the_day(result: DayResult) -> None:
    figure = plots.energy_over_day(result)
    energy = result.summary.energy_wh
    assert _bar_lengths(figure, "from cars") == pytest.approx(energy.from_cars / 1000)
    assert _bar_lengths(figure, "from the grid") == pytest.approx(energy.from_grid / 1000, abs=0.1)
    unmet = _bar_lengths(figure, "unmet, when cars leave")
    assert unmet == pytest.approx(-energy.unmet / 1000)


def test_cost_bars_end_at_the_costs(result: DayResult) -> None:
    ends: dict[float, float] = {}
    bars: Any = plots.cost_against_baselines(result).axes[0].patches
    for patch in bars:
        ends[round(patch.get_y(), 3)] = patch.get_x() + patch.get_width()
    costs = result.summary.baselines
    expected = [costs.plug_and_charge, costs.best_grid_only, costs.market, costs.optimum]
    assert [ends[y] for y in sorted(ends)] == pytest.approx([each.cost_usd for each in expected])


def test_gaps_stand_where_they_are(odd_results: list[DayResult], result: DayResult) -> None:
    for each in (result, odd_results[2]):
        axes = plots.certified_gap(each).axes[0]
        drawn = [y for dots in axes.collections for _, y in dots.get_offsets()]
        floor = axes.get_ylim()[0]
        shares = [max(point.share, floor) for point in gap_points(each)]
        assert sorted(drawn) == pytest.approx(sorted(shares), rel=1e-9)
        assert axes.get_yticklabels()[0].get_text() == "0"
        assert axes.get_yticklabels()[-1].get_text().endswith("%")
        assert min(share for share in shares if share > floor) >= 9 * floor
        assert axes.get_ylim()[1] >= max(shares)


def test_axes_have_units(result: DayResult) -> None:
    labels = [
        plots.energy_over_day(result).axes[0].get_ylabel(),
        plots.price_over_day(result).axes[0].get_ylabel(),
        plots.certified_gap(result).axes[0].get_ylabel(),
        plots.cost_against_baselines(result).axes[0].get_xlabel(),
        plots.money_that_sums_to_zero(result).axes[0].get_xlabel(),
        plots.savings_by_car(result).axes[0].get_ylabel(),
    ]
    units = ("kWh", "USD per kWh", "share", "USD", "USD", "USD")
    for label, unit in zip(labels, units, strict=True):
        assert unit in label


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, peerwatt.reporting.day_page, peerwatt.reporting.plots\n"
        "print([m for m in ('matplotlib', 'polars', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
