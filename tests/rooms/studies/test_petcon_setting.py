"""The markets that PETCON's section VI draws."""

from __future__ import annotations

import numpy as np

from peerwatt.studies.petcon.setting import draw


def test_a_draw_lies_within_the_papers_ranges() -> None:
    market = draw(1, buyers=4000, sellers=5000)
    for array, low, high in (
        (10.07 / market.buyers.weight, 4.8, 12.0),
        (market.buyers.minimum_kwh, 5, 10),
        (market.buyers.maximum_kwh, 12, 18),
        (market.sellers.maximum_kwh, 10, 20),
        (market.minimum_reward, 1, 2),
    ):
        assert low <= array.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < array.max() <= high
    assert (len(market.buyers.weight), len(market.sellers.maximum_kwh)) == (4000, 5000)


def test_a_seed_is_one_market_and_tau_only_scales_its_weights() -> None:
    first, again, scaled, other = draw(7), draw(7), draw(7, tau=1.0), draw(8)
    np.testing.assert_array_equal(first.buyers.weight, again.buyers.weight)
    np.testing.assert_array_equal(first.minimum_reward, scaled.minimum_reward)
    np.testing.assert_allclose(first.buyers.weight, 10.07 * scaled.buyers.weight)
    assert not np.array_equal(first.buyers.minimum_kwh, other.buyers.minimum_kwh)
