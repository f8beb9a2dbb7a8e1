"""How far a ledger's readers can follow a car: the figures, and their plot.

Knows numbers alone, and matplotlib; not how they were found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from peerwatt.reporting.canvas import CARS, GRID, PRICE, UNMET, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Joined(NamedTuple):
    """What one kind of evidence joins: of `later` orders, that are not their car's first, `guessed`
    were put to an earlier one, `right` of them to one of the same car. Of `cars` with two orders or
    more `whole` are followed from first to last, and no other car with them."""

    evidence: str
    later: int
    guessed: int
    right: int
    cars: int
    whole: int

    @property
    def found(self) -> float:
        """The share of orders that are rightly joined to an earlier one of their car."""
        return self.right / self.later if self.later else 0.0

    @property
    def sure(self) -> float:
        """The share of guesses that are right; 0 where there are none."""
        return self.right / self.guessed if self.guessed else 0.0


def linkage_plot(days: Mapping[str, Sequence[Joined]]) -> Figure:
    """The share of orders that each kind of evidence joins to an earlier one of the same car, for
    one or several days, by name."""
    names = [each.evidence for each in next(iter(days.values()))]
    height = 0.8 / len(days)
    with canvas(1.5 + 0.32 * len(names) * len(days)) as (figure, axes):
        for at, (day, rows) in enumerate(days.items()):
            places = [row + (at - (len(days) - 1) / 2) * height for row in range(len(names))]
            shares = [100 * each.found for each in rows]
            colour = (GRID, UNMET, CARS, PRICE)[at % 4]
            axes.barh(places, shares, height * 0.9, color=colour, label=day)
            for place, share, each in zip(places, shares, rows, strict=True):
                words = f"{share:.0f} %" if each.guessed else "nothing to go by"
                axes.text(share + 1, place, words, va="center", fontsize=8.5)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 112)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("orders rightly joined to an earlier one of the same car, %")
        axes.set_title("What a reader of the ledger can join")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=2)
        return figure
