"""Draws what the two schemes cost, what faults do to them, and how often two lead.

Knows means by scheme, and matplotlib's object interface.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from peerwatt.reporting.canvas import CARS, GRID, PRICE, QUIET, UNMET, canvas, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"race": UNMET, "votes": CARS}
NAMES = {"race": "race and audit (PETCON)", "votes": "rounds of votes"}
FAULTS = {
    "slip": "an audit slips",
    "lying-audit": "call good blocks bad",
    "silent": "are silent",
    "bad-block": "lead with bad blocks",
}
MANY = {"one": "one LAG", "third": "below a third", "most": "above half"}


def costs(means: pl.DataFrame) -> Figure:
    """Finality, messages and energy of a sound block, over the size of the consortium."""
    sound = means.filter(
        (pl.col("fault") == "none") & (pl.col("race_s_mean") == pl.col("race_s_mean").max())
    )
    columns = (
        ("finality_s", 1.0, "seconds until final"),
        ("messages", 1.0, "messages"),
        ("energy_j", 1e-3, "kilojoules"),
    )
    with panels(3.4, len(columns)) as (figure, axes):
        for at, (name, scale, label) in zip(axes, columns, strict=True):
            for scheme, colour in COLOURS.items():
                rows = sound.filter(pl.col("scheme") == scheme).sort("members")
                at.plot(
                    rows["members"],
                    rows[name] * scale,
                    marker="o",
                    color=colour,
                    label=NAMES[scheme],
                )
            at.set_yscale("log")
            at.set_ylim(*_decades(sound[name].drop_nulls() * scale))
            sizes = sound["members"].unique().sort().to_list()
            at.set_xlim(0, 1.08 * sizes[-1])
            at.set_xticks(sizes, sizes)
            at.set_xlabel("LAGs")
            at.set_title(label)
        legend_below(axes[0])
        return figure


def _decades(values: pl.Series) -> tuple[float, float]:
    """Whole powers of ten around some values, so that a flat line looks flat."""
    low, high = 1.0, 1.0
    least, most = float(str(values.min())), float(str(values.max()))
    while low > least:
        low /= 10
    while low * 10 < least:
        low *= 10
    high = low
    while high < most:
        high *= 10
    return low, high


def faults(means: pl.DataFrame) -> Figure:
    """What blocks come to under each fault: decided rightly, with a bad block, or never."""
    known = means["members"].unique().to_list()
    size = 10 if 10 in known else max(known)
    rows = means.filter((pl.col("fault") != "none") & (pl.col("members") == size))
    with panels(3.9, 2) as (figure, axes):
        for at, scheme in zip(axes, COLOURS, strict=True):
            mine = list(rows.filter(pl.col("scheme") == scheme).iter_rows(named=True))
            labels = [f"{FAULTS[row['fault']]}: {MANY[row['how_many']]}" for row in mine]
            good = [row["decided"] - row["bad_stored"] for row in mine]
            at.barh(labels, good, 0.62, color=CARS, label="stored, good")
            at.barh(
                labels,
                [row["bad_stored"] or math.nan for row in mine],
                0.62,
                left=good,
                color="white",
                edgecolor=UNMET,
                hatch="xxxx",
                label="stored, bad",
            )
            blamed = [row["innocent_blamed"] or math.nan for row in mine]
            at.plot(blamed, labels, "D", markersize=5, color=PRICE, label="a good LAG is blamed")
            at.set_xlim(0, 1.02)
            at.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
            at.set_xlabel(f"share of blocks, {size} LAGs")
            at.invert_yaxis()
            at.grid(axis="y", visible=False)
            at.set_title(NAMES[scheme])
        axes[1].set_yticklabels([])
        legend_below(axes[0])
        return figure


def leaders(rows: pl.DataFrame, theory: pl.DataFrame) -> Figure:
    """How often two LAGs lead, measured and by theory."""
    colours = (GRID, CARS, UNMET, QUIET)
    with canvas(3.2) as (figure, axes):
        sizes = rows["members"].unique().sort().to_list()
        for at, (size, colour) in enumerate(zip(sizes, colours, strict=False)):
            line = theory.filter(pl.col("members") == size)
            label = f"{size} LAGs, theory"
            axes.plot(line["race_s_mean"], 100 * line["theory"], color=colour, label=label)
            mine = rows.filter(pl.col("members") == size).sort("race_s_mean")
            low = 100 * (mine["measured"] - mine["low"])
            high = 100 * (mine["high"] - mine["measured"])
            axes.errorbar(
                # Beside one another, so that their intervals can be told apart.
                mine["race_s_mean"] * 1.06 ** (at - 1),
                100 * mine["measured"],
                yerr=[low.to_list(), high.to_list()],
                fmt="o",
                capsize=3,
                color=colour,
                label=None if at else "measured, with its 95% interval",
            )
        axes.set_xscale("log")
        ticks = rows["race_s_mean"].unique().sort().to_list()
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("mean time of the race, s")
        axes.set_ylabel("% of blocks")
        axes.set_title("Two LAGs find a hash before they hear of each other")
        legend_below(axes)
        return figure
