"""PETCON's Fig. 6: trade among cars alone beside a hybrid market that the grid takes part in.

Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017, doi:10.1109/TII.2017.2709784, section VI.B.
Of what is sent among cars 90 % arrives, of what passes to or from the grid 70 %. The grid of
`mechanisms.welfare` is the hybrid market as it stands: a linear seller or buyer, inside the
optimum. The paper's trends hold; that the hybrid is the worse market does not, for it may do all
that the other may, and its welfare is never less.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.studies.petcon.setting import GRID_EFFICIENCY, draw

SEEDS = range(20)


class Market(NamedTuple):
    """Means over draws, per kWh sent where it says so."""

    price: float
    """What buyers pay a kWh sent to them."""
    sent_kwh: float
    """To a buyer, by cars and grid."""
    efficiency: float
    """Of what is sent, the part that arrives."""
    income: float
    """What sellers get a kWh sent."""
    usable_kwh: float
    """From a seller, at buyers and at the grid's meter."""
    welfare: float


def market(retail: float | None = None, feed_in: float | None = None) -> Market:
    """With a grid that sells at `retail`, or buys at `feed_in`, a kWh at its meter."""
    grid = None
    if retail is not None:
        grid = GridTerms(retail=retail, feed_in=0, import_limit_kwh=math.inf, export_limit_kwh=0)
    elif feed_in is not None:
        grid = GridTerms(retail=9, feed_in=feed_in, import_limit_kwh=0, export_limit_kwh=math.inf)
    rows = []
    for seed in SEEDS:
        drawn = draw(seed)
        found = clear_pairs(drawn.buyers, drawn.sellers, grid, grid_efficiency=GRID_EFFICIENCY)
        by_cars, by_grid = found.sold_kwh.sum() / 0.9, found.import_kwh
        paid = found.buyer_price @ (found.bought_kwh - found.from_grid_kwh)
        paid += (retail or 0) * by_grid
        given = by_cars + found.to_grid_kwh.sum() / 0.9
        got = found.income.sum() + (feed_in or 0) * found.export_kwh
        rows.append(
            Market(
                price=paid / (by_cars + by_grid),
                sent_kwh=(by_cars + by_grid) / 35,
                efficiency=found.bought_kwh.sum() / (by_cars + by_grid),
                income=got / given,
                usable_kwh=(found.sold_kwh.sum() + found.export_kwh) / 45,
                welfare=found.welfare,
            )
        )
    return Market(*np.mean(rows, axis=0))


@pytest.fixture(scope="module")
def alone() -> Market:
    return market()


def test_a_cheap_grid_lowers_the_price_and_loses_energy_on_the_way(alone: Market) -> None:
    """Fig. 6(a)."""
    assert alone.efficiency == pytest.approx(0.9)
    assert alone.sent_kwh == pytest.approx(19.3, abs=0.4)
    cheaper = [market(retail=price) for price in (0.02, 0.06)]
    assert cheaper[0].price < cheaper[1].price < alone.price
    assert cheaper[0].sent_kwh > cheaper[1].sent_kwh > alone.sent_kwh
    efficiency = [each.efficiency for each in cheaper]
    assert efficiency == pytest.approx([0.878, 0.885], abs=0.005)


def test_a_dear_grid_sells_nothing(alone: Market) -> None:
    """Above 0.7 of what the dearest buyer pays a kWh, where the two markets become one."""
    assert market(retail=0.14) == pytest.approx(alone, rel=1e-6)
    assert market(retail=0.08).price < alone.price


def test_a_grid_that_pays_more_raises_prices_and_leaves_less_that_is_of_use(alone: Market) -> None:
    """Fig. 6(b)."""
    found = [market(feed_in=price) for price in (0.05, 0.14, 0.3)]
    assert alone.income <= found[0].income + 1e-9 < found[1].income < found[2].income
    usable = [each.usable_kwh for each in found]
    assert usable == pytest.approx([13.6, 13.6, 12.8], abs=0.4)
    assert usable[0] > usable[1] > usable[2]


def test_the_hybrid_market_is_never_worse(alone: Market) -> None:
    for other in (market(retail=0.02), market(retail=0.14), market(feed_in=0.3)):
        assert other.welfare >= alone.welfare - 1e-6
