"""Symmetric positive definite tridiagonal systems in array operations.

Knows numpy and nothing of markets.
"""

from __future__ import annotations

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray

DENSE = 64
"""Up to this many unknowns a dense solve is faster than cyclic reduction."""


def solve_tridiagonal(diagonal: FloatArray, beside: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a symmetric positive definite tridiagonal system by cyclic reduction.

    `diagonal` and `right` have n entries, `beside` n - 1. Each level eliminates every other
    unknown at once: O(n) work in O(log n) array operations, a Cholesky factorisation in another
    order, hence as stable (Golub and Van Loan, Matrix Computations, 4.5). What rounding has made
    singular gives NaN.
    """
    count = len(diagonal)
    if count <= DENSE:
        matrix = np.zeros((count, count))
        cells = matrix.reshape(-1)
        cells[:: count + 1] = diagonal
        if count > 1:
            cells[1 :: count + 1] = beside
            cells[count :: count + 1] = beside
        try:
            return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
        except np.linalg.LinAlgError:
            return np.full(count, np.nan)
    # Unknowns 0, 2, 4, ... go. With an odd count each that stays has both its neighbours.
    if count % 2 == 0:
        diagonal, right = np.append(diagonal, 1.0), np.append(right, 0.0)
        beside = np.append(beside, 0.0)
    below, above = beside[0::2], beside[1::2]
    gone, gone_right = diagonal[0::2], right[0::2]
    from_below, from_above = below / gone[:-1], above / gone[1:]
    kept = solve_tridiagonal(
        diagonal[1::2] - below * from_below - above * from_above,
        -(above[:-1] * below[1:] / gone[1:-1]),
        right[1::2] - from_below * gone_right[:-1] - from_above * gone_right[1:],
    )
    solution = np.empty(len(diagonal))
    solution[1::2] = kept
    rest = gone_right.copy()
    rest[:-1] -= below * kept
    rest[1:] -= above * kept
    solution[0::2] = rest / gone
    return solution[:count]
