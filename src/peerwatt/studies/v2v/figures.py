"""Draws who loses, how often lies pay, and what counting orders costs.

Knows the tables' columns and matplotlib's object interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from peerwatt.reporting.canvas import BUYERS, CARS, GRID, QUIET, UNMET, canvas, legend_below
from peerwatt.studies.estimates import Estimate, mean_of, share_of
from peerwatt.studies.v2v.findings import pooled
from peerwatt.studies.v2v.lies import WAYS
from peerwatt.studies.v2v.parameters import V2V

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RULE_LOOKS = {
    "count": ("by count (paper)", UNMET, "o"),
    "volume": ("by volume", CARS, "s"),
    "huang": ("Huang et al.", GRID, "^"),
}


def figures_of(tables: Mapping[str, pl.DataFrame], v2v: V2V) -> dict[str, Callable[[], Figure]]:
    """Those for which there are tables, by name."""
    found: dict[str, Callable[[], Figure]] = {}
    if "rounds" in tables:
        rows = tables["rounds"]
        found["gains"] = partial(gains, rows.filter(pl.col("adjustment") == v2v.adjustment))
        found["grid"] = partial(grid_by_adjustment, rows)
    if "lies" in tables:
        found["lies"] = partial(lies_that_pay, tables["lies"])
    if "sizes" in tables:
        found["sizes"] = partial(missing_by_size, tables["sizes"])
    return found


def gains(rows: pl.DataFrame) -> Figure:
    """Of each market's second round, what a kWh gains by the cars' own values."""
    traded = rows.filter(pl.col("second_kwh") > 0)
    with canvas(3.2) as (figure, axes):
        gain = traded["second_welfare"] / traded["second_kwh"]
        axes.hist(gain, bins=40, color=UNMET)
        axes.axvline(0, color=CARS, linewidth=2)
        axes.set_xlabel("worth to its buyer less worth to its seller, coin per kWh, a market")
        axes.set_ylabel("markets")
        axes.set_title("What the second round trades is worth more where it was")
        return figure


def grid_by_adjustment(rows: pl.DataFrame) -> Figure:
    """Losers against no trade, and rounds that the grid would better, over n."""
    looks = (
        ("buyers lose against no trade", BUYERS, "o"),
        ("a new price beyond the grid's", UNMET, "s"),
        ("the same, held", CARS, "^"),
    )
    points = rows["adjustment"].unique().sort().to_list()
    with canvas(3.4) as (figure, axes):
        for at, (label, colour, marker) in enumerate(looks):
            found = [
                _of_adjustment(rows.filter(pl.col("adjustment") == each))[at] for each in points
            ]
            _with_intervals(axes, points, found, label=label, color=colour, marker=marker)
        axes.set_xticks(points, [f"{each:g}" for each in points])
        axes.set_ylim(-2, 102)
        axes.set_xlabel("n, how far losers move")
        axes.set_ylabel("%")
        axes.set_title("What losers are asked to sign")
        legend_below(axes)
        return figure


def _of_adjustment(rows: pl.DataFrame) -> tuple[Estimate, Estimate, Estimate]:
    return (
        pooled(rows["buyers_losing"], rows["buyers"]),
        share_of(rows["signs_beyond"]),
        share_of(rows["signs_beyond_held"]),
    )


def lies_that_pay(rows: pl.DataFrame) -> Figure:
    """In how many markets a lie of each way pays."""
    with canvas(2.8) as (figure, axes):
        for way, (_, label) in WAYS.items():
            found = share_of(rows[f"{way}_pays"])
            reach = [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
            colour = UNMET if way.startswith("two") else GRID
            axes.errorbar(
                [100 * found.value], [label], xerr=reach, fmt="o", capsize=3, color=colour
            )
        axes.set_xlim(-2, 102)
        axes.margins(y=0.15)
        axes.invert_yaxis()
        axes.set_xlabel("% of markets in which a lie pays")
        axes.set_title("Where a lie pays")
        return figure


def missing_by_size(rows: pl.DataFrame) -> Figure:
    """What each rule misses of the best welfare, over the market's size."""
    points = rows["size"].unique().sort().to_list()
    with canvas(3.4) as (figure, axes):
        for at, (rule, (label, colour, marker)) in enumerate(RULE_LOOKS.items()):
            found = [mean_of(1 - rows.filter(pl.col("size") == each)[rule]) for each in points]
            # Beside one another, so that their intervals can be told apart.
            places = [each * 1.04 ** (at - 1) for each in points]
            _with_intervals(axes, places, found, label=label, color=colour, marker=marker)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(points, [str(each) for each in points])
        axes.minorticks_off()
        axes.set_xlabel("orders a side")
        axes.set_ylabel("% of the best welfare")
        axes.set_title("What the first round misses")
        axes.grid(color=QUIET, alpha=0.2)
        legend_below(axes)
        return figure


def _with_intervals(
    axes: Axes,
    places: list[float],
    found: list[Estimate],
    *,
    label: str,
    color: str,
    marker: str,
) -> None:
    """Per cent, with 95 % intervals."""
    low = [100 * (each.value - each.low) for each in found]
    high = [100 * (each.high - each.value) for each in found]
    values = [100 * each.value for each in found]
    axes.errorbar(
        places, values, yerr=[low, high], label=label, color=color, marker=marker, capsize=3
    )
