"""Draws a day's figures for papers and slides: colours that all eyes tell apart, units on axes.

Knows a day's result and matplotlib's object interface. Keeps no global state and writes no
files. A figure is 1200 pixels wide at the run folder's resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from peerwatt.reporting.canvas import (
    BUYERS,
    CARS,
    GRID,
    PRICE,
    PV,
    QUIET,
    UNMET,
    canvas,
    legend_below,
)
from peerwatt.reporting.day_clearing import dearest_buyer_price, gap_points, mean_buyer_price
from peerwatt.reporting.day_result import DayResult
from peerwatt.reporting.day_series import (
    EnergySeries,
    energy_series,
    hour_ticks,
    lost_load_usd_per_kwh,
    savings,
    usd,
)
from peerwatt.reporting.day_words import PAIRWISE
from peerwatt.units import WH_PER_KWH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def energy_over_day(result: DayResult) -> Figure:
    """Energy by source in each round, the connection's limit, and what cars left without."""
    series = energy_series(result)
    with canvas(4.2) as (figure, axes):
        _bars(axes, series)
        limit_kw = result.summary.limit_kw
        if limit_kw is not None and series.start_s:
            limits = result.rounds["import_limit_wh"] / WH_PER_KWH
            axes.step(
                [*series.start_s, series.start_s[-1] + series.slot_s],
                [*limits, limits[-1]],
                where="post",
                color=PRICE,
                linestyle=(0, (4, 2)),
                linewidth=1.2,
                label=f"connection's limit, {limit_kw:g} kW",
            )
        axes.axhline(0, color=PRICE, linewidth=0.8)
        axes.set_ylabel("kWh per round")
        axes.set_title("Energy by source over the day")
        _time_axis(axes, result, series)
        axes.grid(axis="x", visible=False)
        legend_below(axes)
        return figure


def _bars(axes: Axes, series: EnergySeries) -> None:
    """Sources stacked above zero; energy sold to the grid and unmet needs below."""
    stacks = (
        (series.grid_wh, GRID, "from the grid"),
        (series.cars_wh, CARS, "from cars"),
        (series.pv_wh, PV, "from the roof"),
    )
    bottom = [0.0] * len(series.start_s)
    for values, colour, label in stacks:
        if not any(values):
            continue
        kwh = [wh / WH_PER_KWH for wh in values]
        axes.bar(
            series.start_s,
            kwh,
            series.slot_s,
            bottom=bottom,
            align="edge",
            color=colour,
            edgecolor="white",
            linewidth=0.3,
            label=label,
        )
        bottom = [low + high for low, high in zip(bottom, kwh, strict=True)]
    exported = dict(zip(series.start_s, series.exported_wh, strict=True))
    below = (
        (exported, "white", GRID, "////", "sold to the grid"),
        (series.unmet_wh, "white", UNMET, "xxxx", "unmet, when cars leave"),
    )
    for by_start, face, edge, hatch, label in below:
        if any(by_start.values()):
            axes.bar(
                list(by_start),
                [-wh / WH_PER_KWH for wh in by_start.values()],
                series.slot_s,
                align="edge",
                color=face,
                edgecolor=edge,
                hatch=hatch,
                linewidth=0.6,
                label=label,
            )


def price_over_day(result: DayResult) -> Figure:
    """Clearing price and what buyers pay, in pairs the dearest and all on average, between retail
    and feed-in."""
    series = energy_series(result)
    rounds = result.rounds
    paid = [(rounds["buyer_price_ucoin_per_kwh"].to_list(), BUYERS, "-", 2.2, "buyers pay")]
    paid.append((rounds["price_ucoin_per_kwh"].to_list(), PRICE, "-", 1.4, "clearing price"))
    if result.summary.price_rule == PAIRWISE:
        mean = [mean_buyer_price(row) for row in rounds.iter_rows(named=True)]
        dearest = [dearest_buyer_price(row) for row in rounds.iter_rows(named=True)]
        paid = [(mean, BUYERS, "-", 2.2, "buyers pay on average")]
        paid.append((dearest, PRICE, "-", 1.4, "dearest buyer"))
    lines = (
        (rounds["retail_ucoin_per_kwh"].to_list(), GRID, (0, (5, 2)), 1.2, "retail"),
        (rounds["feed_in_ucoin_per_kwh"].to_list(), QUIET, (0, (1, 1.5)), 1.4, "feed-in"),
        *paid,
    )
    with canvas(3.6) as (figure, axes):
        for prices, colour, dashes, width, label in lines:
            values, edges = _stairs(series, prices)
            axes.stairs(
                values,
                edges,
                baseline=None,
                color=colour,
                linestyle=dashes,
                linewidth=width,
                label=label,
            )
        axes.set_ylim(bottom=0)
        axes.set_ylabel("USD per kWh")
        axes.set_title("Price over the day")
        _time_axis(axes, result, series)
        legend_below(axes)
        return figure


def certified_gap(result: DayResult) -> Figure:
    """By how much another clearing of each round could have been better at most, logarithmic."""
    series, points = energy_series(result), gap_points(result)
    with canvas(3.2) as (figure, axes):
        shares = [point.share for point in points if point.share]
        low = math.floor(math.log10(min([*shares, 1e-6]))) - 1
        high = math.ceil(math.log10(max([*shares, 1e-4])) + 1e-9)
        kinds = ((True, CARS, "proved by a member"), (False, GRID, "cleared by the ledger itself"))
        for by_member, colour, label in kinds:
            mine = [point for point in points if point.by_member == by_member]
            if mine:
                axes.scatter(
                    [point.start_s + series.slot_s / 2 for point in mine],
                    [max(point.share, 10.0**low) for point in mine],
                    s=20,
                    color=colour,
                    label=label,
                    clip_on=False,
                    zorder=3,
                )
        powers = range(low, high + 1)
        axes.set_yscale("log")
        axes.set_ylim(10.0**low, 10.0**high)
        labels = ["0", *(f"{10.0 ** (power + 2):.{max(-power - 2, 0)}f}%" for power in powers[1:])]
        axes.set_yticks([10.0**power for power in powers], labels)
        axes.minorticks_off()
        axes.set_ylabel("share of a round's trade")
        axes.set_title("What another clearing of a round could have gained, at most")
        _time_axis(axes, result, series)
        legend_below(axes)
        return figure


def cost_against_baselines(result: DayResult) -> Figure:
    """The day's cost under each rule, split into energy and what was not delivered."""
    baselines = result.summary.baselines
    rules = (
        ("plug-and-charge", baselines.plug_and_charge),
        ("best grid-only*", baselines.best_grid_only),
        ("market", baselines.market),
        ("optimum*", baselines.optimum),
    )
    lost_load = lost_load_usd_per_kwh(result)
    unmet = [outcome.unmet_kwh * lost_load for _, outcome in rules]
    energy = [outcome.cost_usd - part for (_, outcome), part in zip(rules, unmet, strict=True)]
    names = [name for name, _ in rules]
    with canvas(2.9) as (figure, axes):
        axes.barh(names, energy, 0.62, color=GRID, label="energy delivered")
        axes.barh(
            [name for name, part in zip(names, unmet, strict=True) if part],
            [part for part in unmet if part],
            0.62,
            left=[low for low, part in zip(energy, unmet, strict=True) if part],
            color="white",
            edgecolor=UNMET,
            hatch="xxxx",
            linewidth=0.8,
            label=f"not delivered, at {lost_load:.2f} USD/kWh",
        )
        for at, (_, outcome) in enumerate(rules):
            text = f" {outcome.cost_usd:,.2f}  ({outcome.unmet_kwh:,.0f} kWh unmet)"
            axes.text(max(outcome.cost_usd, energy[at], 0), at, text, va="center")
        axes.margins(x=0.34)
        axes.invert_yaxis()
        axes.set_xlabel("USD for the day   (* planned with perfect foresight)")
        axes.set_title("Cost of the day against baselines")
        axes.grid(axis="y", visible=False)
        legend_below(axes)
        return figure


def money_that_sums_to_zero(result: DayResult) -> Figure:
    """What each party received, less what it paid."""
    parties = result.summary.money_ucoin.parties
    amounts = [usd(ucoin) for ucoin in parties.values()]
    with canvas(3.4) as (figure, axes):
        colours = [UNMET if amount < 0 else CARS for amount in amounts]
        axes.barh(list(parties), amounts, 0.62, color=colours)
        axes.axvline(0, color=PRICE, linewidth=0.8)
        for at, amount in enumerate(amounts):
            side = "right" if amount < 0 else "left"
            axes.text(amount, at, f" {amount:+,.2f} ".replace("-", "−"), va="center", ha=side)
        axes.margins(x=0.18)
        axes.invert_yaxis()
        axes.set_xlabel("USD received (+) or paid (−)")
        axes.set_title("Who paid and who received over the day: the sum is 0")
        axes.grid(axis="y", visible=False)
        return figure


def savings_by_car(result: DayResult) -> Figure:
    """Each car's saving against plug-and-charge, with the largest first."""
    colours = {"buyer": BUYERS, "seller": CARS, "pv": PV}
    labels = {"buyer": "buying cars", "seller": "selling cars", "pv": "rooftop PV"}
    ranked = list(enumerate(savings(result)))
    with canvas(3.6) as (figure, axes):
        for role, colour in colours.items():
            mine = [(rank, each) for rank, each in ranked if each.role == role]
            if mine:
                axes.bar(
                    [rank for rank, _ in mine],
                    [usd(each.saved_ucoin) for _, each in mine],
                    0.85,
                    color=colour,
                    label=labels[role],
                )
        axes.axhline(0, color=PRICE, linewidth=0.8)
        axes.margins(x=0.01)
        axes.set_xticks([])
        axes.set_xlabel("each bar is a car, by saving")
        axes.set_ylabel("USD saved")
        axes.set_title("Who saved what against plug-and-charge, unmet energy counted")
        axes.grid(axis="x", visible=False)
        legend_below(axes)
        return figure


FIGURES: dict[str, Callable[[DayResult], Figure]] = {
    "energy_over_day": energy_over_day,
    "price_over_day": price_over_day,
    "certified_gap": certified_gap,
    "cost_against_baselines": cost_against_baselines,
    "money_that_sums_to_zero": money_that_sums_to_zero,
    "savings_by_car": savings_by_car,
}


def _stairs(series: EnergySeries, prices: list[int | None]) -> tuple[list[float], list[int]]:
    """A value for every slot from the first round to the last, NaN where there is no price."""
    if not series.start_s:
        return [], [0]
    starts = range(series.start_s[0], series.start_s[-1] + series.slot_s, series.slot_s)
    known = dict(zip(series.start_s, prices, strict=True))
    values = [known.get(at) for at in starts]
    nan = float("nan")
    return [nan if v is None else usd(v) for v in values], [*starts, starts[-1] + series.slot_s]


def _time_axis(axes: Axes, result: DayResult, series: EnergySeries) -> None:
    """Hours of the local clock."""
    if not series.start_s:
        axes.set_xticks([])
        return
    start_s, end_s = series.span_s
    ticks = hour_ticks(start_s, end_s, result.zone, every_h=2)
    axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(start_s, end_s)
    axes.set_xlabel(f"local time, {result.summary.date:%A %-d %B %Y}")
