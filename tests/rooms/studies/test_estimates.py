"""Means and shares with intervals that hold what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from peerwatt.studies.estimates import Estimate, exact, mean_of, share_of


@pytest.mark.parametrize("size", [2, 3, 5, 12, 200])
def test_a_means_interval_is_students(size: int) -> None:
    from scipy import stats

    sample = np.random.default_rng(size).normal(3.0, 2.0, size)
    low, high = stats.t.interval(0.95, size - 1, sample.mean(), stats.sem(sample))
    found = mean_of(sample)
    assert found.value == pytest.approx(sample.mean())
    assert (found.high - found.low) == pytest.approx(high - low, rel=0.012)
    assert found.draws == size


@pytest.mark.parametrize(("hits", "size"), [(0, 50), (50, 50), (7, 20), (430, 1000)])
def test_a_shares_interval_is_wilsons(hits: int, size: int) -> None:
    from scipy import stats

    wanted = stats.binomtest(hits, size).proportion_ci(method="wilson")
    found = share_of([True] * hits + [False] * (size - hits))
    assert (found.value, found.draws) == (hits / size, size)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)
    assert found.low <= found.value <= found.high


def test_one_draw_says_nothing_of_the_mean() -> None:
    found = mean_of([4.0])
    assert (found.value, found.low, found.high) == (4.0, -math.inf, math.inf)


def test_no_draws_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no draws"):
        mean_of([])
    with pytest.raises(ValueError, match="no draws"):
        share_of([])


def test_an_interval_meets_a_range_that_it_touches() -> None:
    assert Estimate(2.0, 1.0, 3.0, 9).meets(3.0, 4.0)
    assert not Estimate(2.0, 1.0, 3.0, 9).meets(3.1, 4.0)
    assert exact(2.0).meets(2.0, 2.0)
    assert not exact(2.0).meets(0.0, 1.9)
