"""Draws the paper's figures again, from our draws.

Knows the tables' columns and matplotlib's object interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from peerwatt.reporting.canvas import (
    BUYERS,
    CARS,
    GRID,
    PRICE,
    QUIET,
    UNMET,
    canvas,
    legend_below,
    panels,
)
from peerwatt.studies.petcon.lots import box_km
from peerwatt.studies.petcon.parameters import Petcon

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAYS = {
    "printed": ("as printed", UNMET),
    "damped": ("damped", GRID),
    "adaptive": ("each damps by itself", CARS),
}
PAPER_TURNS, RIVAL_TURNS = 11.9, 18.8
FLAT = 1e-6
"""What changes by less of itself is drawn as it is, level."""
Tables = Mapping[str, pl.DataFrame]


def figures_of(tables: Tables, petcon: Petcon) -> dict[str, Callable[[], Figure]]:
    """Those for which there are tables, by name."""
    found: dict[str, Callable[[], Figure]] = {}
    if "lots" in tables:
        found["fig4_lots"] = partial(lots_in_the_box, tables["lots"])
    if "turns" in tables:
        turns = tables["turns"]
        found["fig5a_welfare"] = partial(welfare_by_turn, turns)
        found["fig7a_energy"] = partial(energy_by_turn, turns)
        found["fig7b_money"] = partial(money_by_turn, turns)
    if "auctions" in tables:
        found["fig5b_turns"] = partial(turns_to_the_end, tables["auctions"], tables.get("rival"))
        found["money"] = partial(who_is_left_with_what, tables["auctions"])
    if "hybrid" in tables:
        found["fig6a_grid_sells"] = partial(
            beside_the_grid, tables["hybrid"], "sells", "buying_price", "sent_kwh_a_buyer"
        )
        found["fig6b_grid_buys"] = partial(
            beside_the_grid, tables["hybrid"], "buys", "selling_price", "usable_kwh_a_seller"
        )
    if "noise" in tables:
        found["noise"] = partial(noise_and_its_cost, tables["noise"])
    return found


def lots_in_the_box(rows: pl.DataFrame) -> Figure:
    """Fig. 4: lots, hubs, and which is nearest."""
    height_km, width_km = box_km()
    with canvas(4.9) as (figure, axes):
        by_lot = {row["lot"]: row for row in rows.iter_rows(named=True)}
        for row in by_lot.values():
            hub = by_lot[row["hub"]]
            east, north = (row["east_km"], hub["east_km"]), (row["north_km"], hub["north_km"])
            axes.plot(east, north, color=QUIET, linewidth=0.8)
        lots, hubs = rows.filter(~pl.col("is_hub")), rows.filter("is_hub")
        kinds = ((lots, 26, "o", GRID, "lot"), (hubs, 90, "s", CARS, "hub"))
        for places, size, marker, colour, label in kinds:
            axes.scatter(
                places["east_km"],
                places["north_km"],
                s=size,
                marker=marker,
                color=colour,
                label=label,
                zorder=3,
                clip_on=False,
            )
        axes.set_xlim(0, width_km)
        axes.set_ylim(0, height_km)
        axes.set_aspect("equal")
        axes.set_xlabel("km from longitude −97.76")
        axes.set_ylabel("km from latitude 30.256")
        axes.set_title(f"{rows.height} lots of ours in the paper's box, each with its nearest hub")
        legend_below(axes)
        return figure


def _first_draw(rows: pl.DataFrame, way: str) -> pl.DataFrame:
    first = pl.col("draw") == pl.col("draw").min()
    return rows.filter(first & (pl.col("way") == way)).sort("turn")


def welfare_by_turn(rows: pl.DataFrame) -> Figure:
    """Fig. 5(a), and what is missing of the optimum, which the eye cannot see in it."""
    with panels(3.5, 2) as (figure, (left, right)):
        for way, (label, colour) in WAYS.items():
            one = _first_draw(rows, way)
            left.plot(one["turn"], one["welfare"], color=colour, label=label, linewidth=1.4)
            mean = (
                rows.filter(pl.col("way") == way)
                .group_by("turn")
                .agg(pl.col("short_of_optimum").mean())
            )
            mean = mean.sort("turn")
            missing = mean["short_of_optimum"].clip(1e-9)
            right.plot(mean["turn"], 100 * missing, color=colour, linewidth=1.4)
        best = _first_draw(rows, "damped").row(0, named=True)
        optimum = best["welfare"] / (1 - best["short_of_optimum"])
        left.axhline(optimum, color=PRICE, linestyle=(0, (1, 1.5)), label="optimum")
        left.set_title("Social welfare, one draw")
        left.set_ylabel("dollars")
        right.set_title("Missing of the optimum, all draws")
        right.set_ylabel("%")
        right.set_yscale("log")
        for axes in (left, right):
            axes.axvline(12, color=QUIET, linewidth=0.8)
            axes.set_xlabel("iteration")
            axes.set_xlim(left=0)
        legend_below(left)
        return figure


def turns_to_the_end(rows: pl.DataFrame, rival: pl.DataFrame | None) -> Figure:
    """Fig. 5(b): iterations, ours and a rival's, beside the paper's two values."""
    bars: list[tuple[str, float, str]] = []
    for way in ("damped", "adaptive"):
        label, colour = WAYS[way]
        bars.append((f"Algorithm 1, {label}", _mean(rows[f"{way}_turns"]), colour))
    if rival is not None:
        for (step,), group in sorted(rival.group_by("step"), key=lambda each: str(each[0])):
            bars.append((f"one price, moved by {step:g}", _mean(group["turns"]), QUIET))
    with canvas(3.1) as (figure, axes):
        for place, (label, value, colour) in enumerate(bars):
            axes.barh(label, value, 0.6, color=colour)
            axes.annotate(
                f"{value:.1f}",
                (value, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
        for value, label, dashes in (
            (PAPER_TURNS, "paper, Algorithm 1: 11.9", (0, (4, 2))),
            (RIVAL_TURNS, "paper, its rival: 18.8", (0, (1, 1.5))),
        ):
            axes.axvline(value, color=PRICE, linestyle=dashes, linewidth=1.2, label=label)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel("iterations until bids stand still, mean")
        axes.set_title("How long until the end")
        axes.grid(axis="y", visible=False)
        legend_below(axes)
        return figure


def _mean(values: pl.Series) -> float:
    return float(values.to_numpy().mean())


def who_is_left_with_what(rows: pl.DataFrame) -> Figure:
    """What auctioneer and cars keep by the printed rules, and where every kWh has its price."""
    rules = {"printed_rules": ("rules as printed", UNMET), "at_prices": ("at prices", CARS)}
    with panels(3.5, 2) as (figure, (left, right)):
        budgets = rows["printed_rules_budget"]
        left.hist(budgets, bins=30, color=UNMET)
        left.axvline(0, color=CARS, linewidth=2)
        left.set_xlabel("dollars left to the auctioneer, a draw")
        left.set_ylabel("draws")
        left.set_title("The auctioneer's budget")
        sides = ("buyers_losing", "sellers_losing")
        for at, (rule, (label, colour)) in enumerate(rules.items()):
            shares = [100 * _mean(rows[f"{rule}_{side}"]) for side in sides]
            places = [place + 0.38 * (at - 0.5) for place in range(len(sides))]
            right.bar(places, shares, 0.36, color=colour, label=label)
            for place, share in zip(places, shares, strict=True):
                right.text(place, share, f"{share:.0f}%", ha="center", va="bottom")
        right.set_xticks(range(len(sides)), ["charging cars", "discharging cars"])
        right.set_ylabel("%")
        right.margins(y=0.15)
        right.set_title("Who pays more than it gets")
        right.grid(axis="x", visible=False)
        legend_below(right)
        return figure


def beside_the_grid(rows: pl.DataFrame, grid: str, price: str, energy: str) -> Figure:
    """Fig. 6: average price and energy, PETCON and the hybrid model."""
    names = {
        "buying_price": "average buying price, $/kWh",
        "sent_kwh_a_buyer": "energy sent, kWh a charging car",
        "selling_price": "average selling price, $/kWh",
        "usable_kwh_a_seller": "usable energy, kWh a discharging car",
    }
    means = rows.group_by("grid", "price").agg(pl.col(price, energy).mean()).sort("price")
    with panels(3.3, 2) as (figure, both):
        for axes, column in zip(both, (price, energy), strict=True):
            for kind, label, colour in (
                ("none", "PETCON", CARS),
                (grid, f"hybrid, the grid {grid}", GRID),
            ):
                mine = means.filter(pl.col("grid") == kind)
                axes.plot(mine["price"], mine[column], color=colour, marker="o", label=label)
            axes.set_title(names[column], fontsize=10)
            axes.set_xlabel("the grid's price, $/kWh sent")
            axes.set_xlim(left=0)
        both[0].set_ylim(bottom=0)
        legend_below(both[0])
        return figure


def energy_by_turn(rows: pl.DataFrame) -> Figure:
    """Fig. 7(a): one charging and one discharging car."""
    columns = (("cv1_kwh", "CV1, charged"), ("dv1_kwh", "DV1, discharged"))
    return _by_turn(rows, columns, "kWh", (25, 30))


def money_by_turn(rows: pl.DataFrame) -> Figure:
    """Fig. 7(b): average payment and reward."""
    columns = (("payment", "average payment"), ("reward", "average reward"))
    return _by_turn(rows, columns, "dollars", (2.50, 2.04), across=True)


def _by_turn(
    rows: pl.DataFrame,
    columns: tuple[tuple[str, str], ...],
    unit: str,
    paper: tuple[float, float],
    *,
    across: bool = False,
) -> Figure:
    with panels(3.3, 2) as (figure, both):
        for axes, (column, title), value in zip(both, columns, paper, strict=True):
            for way, (label, colour) in WAYS.items():
                one = _first_draw(rows, way)
                axes.plot(one["turn"], one[column], color=colour, label=label, linewidth=1.4)
            _paper_line(axes, value, across=across)
            axes.set_title(f"{title}, one draw")
            axes.set_xlabel("iteration")
            axes.set_ylabel(unit)
            axes.set_xlim(left=0)
            shown = rows.filter(pl.col("draw") == pl.col("draw").min())[column].to_list()
            low, high = min(shown), max(shown)
            axes.margins(y=0.25)
            if high - low < FLAT * high:
                axes.set_ylim(0.9 * low, 1.1 * high)
        legend_below(both[0])
        return figure


def _paper_line(axes: Axes, value: float, *, across: bool) -> None:
    line = axes.axhline if across else axes.axvline
    label = "the paper's value" if across else "the paper's last change"
    line(value, color=PRICE, linestyle=(0, (1, 1.5)), linewidth=1.2, label=label)


def noise_and_its_cost(rows: pl.DataFrame) -> Figure:
    """What noise on bids hides, and what it costs."""
    means = rows.group_by("size").agg(
        pl.col("weight_error").median(), pl.col("relative_gap").mean()
    )
    means = means.sort("size")
    sizes = 100 * means["size"]
    with canvas(3.2) as (figure, axes):
        hidden, cost = 100 * means["weight_error"], 100 * means["relative_gap"]
        axes.plot(sizes, hidden, marker="o", color=BUYERS, label="a weight stays uncertain by")
        axes.plot(sizes, cost, marker="s", color=UNMET, label="welfare lost, of the value traded")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(sizes.to_list(), [f"{size:g}%" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("noise on each bid")
        axes.set_ylabel("%")
        axes.set_title("What noise on bids hides, and what it costs")
        legend_below(axes)
        return figure
