"""Draws a day under several mechanisms: its cost and energy, prices, and who gains.

Knows a comparison and the house's canvas. Writes no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    panels,
)
from peerwatt.reporting.comparison import (
    BASELINES,
    ROLES,
    Comparison,
    mean_prices_ucoin_per_kwh,
    saved_ucoin,
)
from peerwatt.reporting.day_series import usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Lines that lie on one another stay apart by their dashes.
LINES = (
    (GRID, "-"),
    (UNMET, (0, (6, 2))),
    (CARS, (0, (4, 2, 1, 2))),
    (BUYERS, (0, (2, 2))),
    (PV, (0, (1, 1.5))),
)


def costs(comparison: Comparison) -> Figure:
    """The day's cost, and beside it the energy of its cars and what they went without."""
    outcomes = comparison.outcomes
    labels, rows = list(outcomes), list(outcomes.values())
    with panels(0.9 + 0.34 * len(rows), 2) as (figure, (left, right)):
        places = range(len(rows))
        known = BASELINES.values()
        colours = [QUIET if label in known else GRID for label in labels]
        values = [row.cost_usd for row in rows]
        left.barh(places, values, color=colours, height=0.7)
        for place, value in zip(places, values, strict=True):
            left.annotate(
                f"${value:,.2f}", (max(value, 0), place), (3, 0), va="center",
                textcoords="offset points",
            )  # fmt: skip
        left.set_xlim(right=1.25 * max(*values, 0.01))
        left.set_title("Cost of the day, $")
        _names(left, labels)
        for offset, colour, name, kwh in (
            (-0.19, CARS, "from cars", [row.cars_kwh for row in rows]),
            (0.19, UNMET, "need not met", [row.unmet_kwh for row in rows]),
        ):
            right.barh(
                [place + offset for place in places], kwh, color=colour, height=0.36, label=name
            )
        right.set_title("Energy, kWh")
        _names(right, [""] * len(labels))
        legend_below(right)
    return figure


def prices(comparison: Comparison) -> Figure:
    """What a kWh cost buyers and brought sellers, on average over the day."""
    both = {name: mean_prices_ucoin_per_kwh(each) for name, each in comparison.results.items()}
    with canvas(0.9 + 0.45 * len(both)) as (figure, axes):
        for at, (paid, received) in enumerate(both.values()):
            if paid is not None and received is not None:
                axes.plot([usd(received), usd(paid)], [at, at], color=QUIET, linewidth=1)
        for side, colour, marker, name in (
            (0, BUYERS, "o", "buyers paid"),
            (1, CARS, "s", "sellers received"),
        ):
            points = [
                (usd(mean), at)
                for at, mean in enumerate(pair[side] for pair in both.values())
                if mean is not None
            ]
            axes.plot(
                *zip(*points, strict=True) if points else ([], []),
                linestyle="", marker=marker, color=colour, markersize=7, label=name,
            )  # fmt: skip
        axes.set_xlabel("$ per kWh, mean of the day")
        axes.margins(x=0.08)
        _names(axes, list(both))
        legend_below(axes)
    return figure


def gains(comparison: Comparison) -> Figure:
    """Every car's gain against plug-and-charge, largest first, buyers and sellers apart."""
    from matplotlib.ticker import MaxNLocator

    roles = [role for role in ROLES if saved_ucoin(comparison.any_result, role)] or ROLES[:1]
    with panels(3.9, len(roles)) as (figure, both):
        for axes, role in zip(both, roles, strict=True):
            for (colour, dashes), (name, each) in zip(
                LINES, comparison.results.items(), strict=False
            ):
                saved = [usd(value) for value in saved_ucoin(each, role)]
                axes.plot(
                    range(1, len(saved) + 1), saved, color=colour, linestyle=dashes,
                    linewidth=1.8, marker="." if len(saved) < 30 else "", label=name,
                )  # fmt: skip
            axes.axhline(0, color=PRICE, linewidth=0.8)
            axes.set_title(f"{role.capitalize()}s")
            axes.set_xlabel("cars, largest gain first")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        both[0].set_ylabel("gain against plug-and-charge, $")
        legend_below(both[0])
    return figure


FIGURES: dict[str, Callable[[Comparison], Figure]] = {
    "costs": costs,
    "prices": prices,
    "gains": gains,
}


def _names(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
