"""Checked bids, and the linear system that every method for their rents solves.

Knows numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray

BoolArray = NDArray[np.bool_]
RIDGE = 1e-13
"""Relative, so that the system has a solution where all limits bind: there the rents of one side
may rise by what those of the other fall."""


@dataclass(slots=True)
class Bids:
    """Checked bids, (I, J), and their limits; see `iterative_auction.solve_allocation`."""

    payments: FloatArray
    unit_prices: FloatArray
    """Infinite where nothing is bid, so that nothing is got."""
    minimum: FloatArray
    maximum: FloatArray
    supply: FloatArray


def solve_bordered(
    shared: FloatArray,
    free: tuple[BoolArray, BoolArray],
    diagonal: tuple[FloatArray, FloatArray],
    right: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """(x, y), (I,) and (J,), of [[diag, shared], [shared', diag]] (x, y) = right; zero where not
    free. Solved for the side with fewer of them, the other side's eliminated."""
    rows, columns = (np.flatnonzero(each) for each in free)
    few = diagonal[0][rows], right[0][rows]
    many = diagonal[1][columns], right[1][columns]
    part = shared[np.ix_(rows, columns)]
    x, y = np.zeros(len(shared)), np.zeros(shared.shape[1])
    if len(rows) <= len(columns):
        x[rows], y[columns] = _eliminated(part, few, many)
    else:
        y[columns], x[rows] = _eliminated(part.T, many, few)
    return x, y


def _eliminated(
    shared: FloatArray, few: tuple[FloatArray, FloatArray], many: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """The same where all are free: each side as (diagonal, right)."""
    if not len(few[0]):
        return few[1], many[1] / many[0]
    scaled = shared / np.sqrt(many[0])
    matrix = -(scaled @ scaled.T)
    matrix.reshape(-1)[:: len(matrix) + 1] += few[0] * (1 + RIDGE)
    x: FloatArray = np.asarray(np.linalg.solve(matrix, few[1] - shared @ (many[1] / many[0])))
    return x, (many[1] - x @ shared) / many[0]
