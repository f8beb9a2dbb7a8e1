"""Books that mean nothing are refused by name; books that cannot be met, with the proof."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import (
    BookError,
    CrossedBoundsError,
    EmptyBookError,
    InfeasibleError,
    NotFiniteError,
    PairBuyers,
    PairSellers,
    RangeError,
    ShapeError,
)
from peerwatt.mechanisms.welfare_newton import NotConvergedError


def buyers_of(**changed: Any) -> PairBuyers:
    terms: dict[str, Any] = {
        "weight": [1.0, 2.0],
        "minimum_kwh": [0.0, 4.0],
        "maximum_kwh": [5.0, 6.0],
    }
    return PairBuyers(**(terms | changed))


def sellers_of(**changed: Any) -> PairSellers:
    terms: dict[str, Any] = {
        "maximum_kwh": [3.0, 4.0, 5.0],
        "quadratic_cost": 0.01,
        "linear_cost": 0.02,
    }
    return PairSellers(**(terms | changed))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"weight": [[1.0, 2.0]]}, ShapeError, r"weight must be one row of numbers, not \(1, 2\)"),
        ({"weight": 1.0}, ShapeError, r"weight must be one row of numbers, not \(\)"),
        ({"minimum_kwh": [1.0]}, ShapeError, r"minimum_kwh has shape \(1,\), weight has \(2,\)"),
        ({"scale_kwh": np.ones(3)}, ShapeError, r"scale_kwh has shape \(3,\), weight has \(2,\)"),
        ({"maximum_kwh": [5.0, math.inf]}, NotFiniteError, "maximum_kwh holds a value that"),
        ({"minimum_kwh": [math.nan, 0.0]}, NotFiniteError, "minimum_kwh holds a value that"),
        ({"minimum_kwh": [0.0, -1.0]}, RangeError, r"minimum_kwh is below zero \(row 1\)"),
        ({"weight": [1.0, 0.0]}, RangeError, r"weight must be above zero \(row 1\)"),
        ({"efficiency": 0.0}, RangeError, r"efficiency must be above zero \(row 0\)"),
        ({"scale_kwh": [1.0, -1.0]}, RangeError, r"scale_kwh must be above zero \(row 1\)"),
        ({"maximum_kwh": [5.0, 3.0]}, CrossedBoundsError, r"above maximum_kwh \(row 1\)"),
    ],
)
def test_buyers_that_mean_nothing(
    changed: dict[str, Any], error: type[BookError], message: str
) -> None:
    with pytest.raises(error, match=message):
        buyers_of(**changed)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"maximum_kwh": [1.0, -2.0]}, RangeError, r"maximum_kwh is below zero \(row 1\)"),
        ({"linear_cost": -0.1}, RangeError, r"linear_cost is below zero \(row 0\)"),
        ({"quadratic_cost": 0.0}, RangeError, r"quadratic_cost must be above zero"),
        ({"quadratic_cost": math.inf}, NotFiniteError, "quadratic_cost holds a value"),
        ({"linear_cost": [0.1]}, ShapeError, r"has shape \(1,\), maximum_kwh has \(3,\)"),
        ({"efficiency": [1.0, 0.0, 1.0]}, RangeError, r"efficiency must be .* \(row 1\)"),
    ],
)
def test_sellers_that_mean_nothing(
    changed: dict[str, Any], error: type[BookError], message: str
) -> None:
    with pytest.raises(error, match=message):
        sellers_of(**changed)


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (np.ones((3, 2)), ShapeError, r"shape \(3, 2\), \(buyers, sellers\) is \(2, 3\)"),
        (np.full((2, 3), math.nan), NotFiniteError, "pair_efficiency holds"),
        (np.full((2, 3), -0.5), RangeError, "pair_efficiency holds a value below zero"),
    ],
)
def test_matrices_that_mean_nothing(
    matrix: FloatArray, error: type[BookError], message: str
) -> None:
    with pytest.raises(error, match=message):
        clear_pairs(buyers_of(), sellers_of(), pair_efficiency=matrix)


@pytest.mark.parametrize("efficiency", [0.0, -1.0, 1.1, math.nan])
def test_grid_efficiency_is_a_share(efficiency: float) -> None:
    with pytest.raises(RangeError, match="grid_efficiency must lie in"):
        clear_pairs(buyers_of(), sellers_of(), grid_efficiency=efficiency)


def test_a_book_without_anybody() -> None:
    nobody = buyers_of(weight=[], minimum_kwh=[], maximum_kwh=[])
    with pytest.raises(EmptyBookError, match="neither buyers nor sellers"):
        clear_pairs(nobody, sellers_of(maximum_kwh=[]))


def test_infeasible_minima_are_named_and_measured() -> None:
    buyers = buyers_of(
        weight=[1.0, 1.0, 1.0], minimum_kwh=[0.0, 6.0, 9.0], maximum_kwh=[9.0] * 3, efficiency=0.5
    )
    grid = GridTerms(retail=1.0, feed_in=0.0, import_limit_kwh=5.0, export_limit_kwh=0.0)
    with pytest.raises(
        InfeasibleError, match=r"rows 1, 2\) come to 30 kWh .* 13 kWh are"
    ) as raised:
        clear_pairs(buyers, sellers_of(), grid)
    proof = raised.value
    assert proof.buyers.tolist() == [1, 2]
    assert (proof.needed_kwh, proof.available_kwh, proof.missing_kwh) == (30.0, 17.0, 13.0)
    # Cut by what is missing, the book is feasible.
    cut = buyers_of(
        weight=[1.0] * 3, minimum_kwh=[0.0, 0.0, 8.5], maximum_kwh=[9.0] * 3, efficiency=0.5
    )
    assert clear_pairs(cut, sellers_of(), grid).bought_kwh[2] == pytest.approx(17.0)


def test_infeasible_by_a_cut() -> None:
    """Buyers 0 and 1 reach seller 0 alone; together they need more, each alone does not."""
    buyers = buyers_of(weight=[1.0] * 3, minimum_kwh=[2.0, 2.0, 0.0], maximum_kwh=[5.0] * 3)
    reach = np.array([[0.9, 0.0, 0.0], [0.9, 0.0, 0.0], [1.0, 1.0, 1.0]])
    with pytest.raises(InfeasibleError) as raised:
        clear_pairs(buyers, sellers_of(), pair_efficiency=reach)
    proof = raised.value
    weights = proof.weights
    needed = float(weights @ buyers.minimum_kwh)
    most = (reach * weights[:, None]).max(axis=0) @ np.array([3.0, 4.0, 5.0])
    assert needed > most
    assert proof.missing_kwh == pytest.approx(needed - most)
    assert {0, 1} <= set(proof.buyers.tolist())


def test_infeasible_for_one_buyer_alone() -> None:
    reach = np.array([[1.0, 1.0, 1.0], [0.5, 0.5, 0.0]])
    with pytest.raises(InfeasibleError, match=r"1 buyers \(rows 1\)") as raised:
        clear_pairs(buyers_of(), sellers_of(), pair_efficiency=reach)
    assert raised.value.available_kwh == pytest.approx(3.5)


def test_too_few_digits_are_no_result() -> None:
    """A price of a million coins, where pairs differ by a billionth of one."""
    buyers = buyers_of(weight=[1.0, 1.0], minimum_kwh=[0.0, 1.0], maximum_kwh=[0.0, 1.0])
    sellers = sellers_of(maximum_kwh=[1.0], quadratic_cost=1e-13, linear_cost=1e6)
    with pytest.raises(NotConvergedError, match=r"exceed|no optimum"):
        clear_pairs(buyers, sellers, tolerance=1e-16)
