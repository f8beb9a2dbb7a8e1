"""Draws what an audit found: how often lies pay, and who has the gains from trade.

Knows reports and matplotlib's object interface. Writes no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from peerwatt.market_lab.audit import Report
from peerwatt.market_lab.lies import BOTH, PRICE, QUANTITY
from peerwatt.reporting.canvas import BUYERS, CARS, GRID, QUIET, UNMET, canvas
from peerwatt.reporting.canvas import PRICE as LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = ((PRICE, GRID, "price"), (QUANTITY, CARS, "quantity"), (BOTH, BUYERS, "both at once"))


def lies_that_pay(reports: Sequence[Report]) -> Figure:
    """Share of markets in which an owner that was tried gains by a lie, by mechanism and kind."""
    with canvas(1.4 + 0.42 * len(reports)) as (figure, axes):
        rows = np.arange(len(reports))
        for number, (kind, colour, label) in enumerate(_KINDS):
            shares = [100 * report.lies_pay.get(kind, 0.0) for report in reports]
            at = rows + (number - 1) * 0.26
            axes.barh(at, shares, 0.24, color=colour, label=label)
            for row, (share, report) in enumerate(zip(shares, reports, strict=True)):
                words = f"{share:.0f}" if kind in report.lies_pay else "takes one size"
                axes.annotate(
                    words,
                    (share, at[row]),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    color=QUIET,
                )
        axes.set_xlim(0, 108)
        axes.set_xlabel("markets in which the lie pays, %")
        tried = reports[0].markets
        axes.set_title(f"Lies that pay, in {tried:,} market{'s' * (tried != 1)} each")
        _names(axes, reports)
        figure.legend(loc="outside lower center", ncols=3)
        return figure


def gains_from_trade(reports: Sequence[Report]) -> Figure:
    """Who has the best welfare that the markets offered when all say the truth."""
    with canvas(1.4 + 0.34 * len(reports)) as (figure, axes):
        rows = np.arange(len(reports))
        parts = {
            "buyers": (BUYERS, [100 * report.buyers_gain for report in reports]),
            "sellers": (CARS, [100 * report.sellers_gain for report in reports]),
            "auctioneer": (GRID, [100 * report.surplus for report in reports]),
            "not reached": (UNMET, [_missed(report) for report in reports]),
        }
        right, left = np.zeros(len(reports)), np.zeros(len(reports))
        for label, (colour, values) in parts.items():
            width = np.array(values)
            start, some = np.where(width >= 0, right, left), width != 0
            if not some.any():
                continue
            hatch = "////" if label == "not reached" else None
            face = "white" if hatch else colour
            axes.barh(
                rows[some],
                width[some],
                0.62,
                left=start[some],
                color=face,
                edgecolor=colour,
                hatch=hatch,
                linewidth=0.5,
                label=label,
            )
            right += np.maximum(width, 0.0)
            left += np.minimum(width, 0.0)
        axes.axvline(0, color=LINE, linewidth=0.8)
        axes.axvline(100, color=LINE, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.use_sticky_edges = False
        axes.set_xlabel("share of the best welfare, %")
        axes.set_title("Who has the gains from trade")
        _names(axes, reports)
        figure.legend(loc="outside lower center", ncols=4)
        return figure


def _missed(report: Report) -> float:
    """In %; where one loses what others gain, there is no rest to draw beside it."""
    alike = min(report.buyers_gain, report.sellers_gain, report.surplus) >= -1e-9
    return 100 * max(1 - report.welfare, 0.0) if alike else 0.0


def _names(axes: Axes, reports: Sequence[Report]) -> None:
    axes.set_yticks(np.arange(len(reports)), [report.subject.name for report in reports])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
