"""Problem A of the iterative auction against a cone solver that knows nothing of rents."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.iterative_auction import solve_allocation

cp: Any = importlib.import_module("cvxpy")  # its stubs are partial


def by_cones(
    payments: FloatArray, unit_prices: FloatArray, limits: dict[str, FloatArray]
) -> tuple[float, FloatArray]:
    """(value of problem A, energy (I, J)); nothing where nothing is bid."""
    energy = cp.Variable(payments.shape, nonneg=True)
    bid = payments > 0
    cost = cp.sum(cp.multiply(np.where(bid, unit_prices, 0.0), energy))
    rows, columns = np.nonzero(bid)
    value = payments[bid] @ cp.log(energy[rows, columns]) - cost
    bought, sold = cp.sum(energy, axis=1), cp.sum(energy, axis=0)
    rules = [bought >= limits["minimum_kwh"], cp.multiply(~bid, energy) == 0]
    for total, most in ((bought, limits["maximum_kwh"]), (sold, limits["supply_kwh"])):
        ends = np.flatnonzero(np.isfinite(most))
        rules.append(total[ends] <= most[ends])
    problem = cp.Problem(cp.Maximize(value), rules)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return float(problem.value), np.asarray(energy.value)


def assert_agrees(payments: FloatArray, unit_prices: FloatArray, **limits: FloatArray) -> None:
    found = solve_allocation(payments, unit_prices, **limits)
    value, energy = by_cones(payments, unit_prices, limits)
    bid = payments > 0
    ours = payments[bid] @ np.log(found.kwh[bid]) - unit_prices[bid] @ found.kwh[bid]
    assert ours == pytest.approx(value, abs=1e-7 * payments.sum())
    np.testing.assert_allclose(found.kwh, energy, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("spare", [0.001, 0.3, 20.0])
def test_the_cone_solver_agrees_on_bids_of_the_papers_kind(spare: float) -> None:
    rng = np.random.default_rng(3)
    minimum, supply = rng.uniform(7, 14, 12), rng.uniform(10, 20, 15)
    assert_agrees(
        rng.uniform(1, 2, (12, 1)) * rng.uniform(0.02, 0.1, (12, 15)),
        rng.uniform(0.015, 0.05, (12, 15)),
        minimum_kwh=minimum,
        maximum_kwh=rng.uniform(16, 25, 12),
        supply_kwh=supply * minimum.sum() / supply.sum() * (1 + spare),
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_cone_solver_agrees_on_small_bids_of_any_kind(seed: int) -> None:
    """Zero bids, fixed demands, no maximum, and the grid as a column of infinite supply."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    payments = np.exp(rng.normal(0, 1, (n, m)))
    payments[:, 1:] *= rng.random((n, m - 1)) < 0.7
    minimum = rng.choice([0, 1], n) * rng.uniform(1, 10, n)
    supply = rng.uniform(1, 10, m)
    supply[0] = np.inf if seed % 2 else minimum.sum() * 1.5 + 1
    assert_agrees(
        payments,
        0.1 * np.exp(rng.normal(0, 1, (n, m))),
        minimum_kwh=minimum,
        maximum_kwh=minimum + rng.choice([0.0, 3.0, np.inf], n) + (minimum == 0),
        supply_kwh=supply,
    )
