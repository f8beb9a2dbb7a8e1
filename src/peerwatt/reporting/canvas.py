"""The house's style of figures: colours that all eyes tell apart, a plain canvas.

Knows matplotlib's object interface. Knows nothing of what is drawn, and keeps no global state. A
figure is 1200 pixels wide at the run folder's resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
CARS, GRID, PV, UNMET = "#009e73", "#0072b2", "#f0c000", "#d55e00"
PRICE, BUYERS, QUIET = "#000000", "#cc79a7", "#6b6b6b"
WIDTH_IN = 8.0

_STYLE = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.8,
}


@contextmanager
def canvas(height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure in the house's style, whatever the user's own settings say."""
    with panels(height_in, 1) as (figure, (axes,)):
        yield figure, axes


@contextmanager
def panels(height_in: float, columns: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """Likewise, with several axes side by side."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def legend_below(axes: Axes) -> None:
    """A legend under the figure, of what the axes have labelled."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=4)
