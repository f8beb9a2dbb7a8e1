"""What bids of an iterative auction reveal, and what noise that hides it costs."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from peerwatt.mechanisms.auction_rounds import AuctionTurn, auction_turns, run_auction
from peerwatt.mechanisms.iterative_auction import equal_shares, seller_asks
from peerwatt.mechanisms.privacy import (
    Disguise,
    RevealedBuyers,
    noise,
    reveal_buyers,
    reveal_sellers,
    reveal_values,
)
from peerwatt.mechanisms.welfare_book import RangeError
from peerwatt.studies.petcon.setting import Market, draw


def said(
    market: Market, turns: int, *, theta: float | None = 1.0, spoken: Disguise | None = None
) -> list[AuctionTurn]:
    """What is heard in the first turns."""
    return list(
        islice(auction_turns(market.buyers, market.sellers, theta=theta, spoken=spoken), turns)
    )


def from_undamped(market: Market, turns: list[AuctionTurn]) -> RevealedBuyers:
    """From the auctioneer's opening offer and these turns, and what they were answered with."""
    limits = {
        "minimum_kwh": market.buyers.minimum_kwh / 0.8,
        "maximum_kwh": market.buyers.maximum_kwh / 0.8,
        "supply_kwh": market.sellers.maximum_kwh * 0.9,
    }
    offered = [equal_shares(**limits).kwh] + [turn.allocation.kwh for turn in turns]
    answers = [turns[0].payments] + [turn.next_payments for turn in turns]
    energies = np.array([kwh.sum(axis=1) for kwh in offered])
    paid = np.array([bids.sum(axis=1) for bids in answers])
    return reveal_buyers(paid / energies, energies, efficiency=0.8)


def share_revealed(market: Market, found: RevealedBuyers, digits: float) -> float:
    """All are found exactly but those who were at the same limit throughout."""
    known = ~np.isnan(found.weight)
    buyers = market.buyers
    np.testing.assert_allclose(found.weight[known], buyers.weight[known], rtol=digits)
    np.testing.assert_allclose(found.minimum_kwh[known], buyers.minimum_kwh[known], rtol=digits)
    return float(known.mean())


def test_two_undamped_answers_reveal_every_buyer_whose_energy_moved() -> None:
    markets = [draw(seed) for seed in range(8)]
    known = [share_revealed(each, from_undamped(each, said(each, 1)), 1e-9) for each in markets]
    assert np.mean(known) > 0.4


def test_damped_turns_reveal_the_same_and_how_a_buyer_damps() -> None:
    known = []
    for seed in range(8):
        market = draw(seed)
        turns = said(market, 3, theta=None)[1:]
        found = [
            reveal_values(turn.payments, turn.allocation.kwh, turn.next_payments) for turn in turns
        ]
        energies = np.array([turn.allocation.kwh.sum(axis=1) for turn in turns])
        values = np.array([each.value for each in found])
        assert np.all((found[0].theta > 0.04) & (found[0].theta < 1.001))
        revealed = reveal_buyers(values, energies, efficiency=0.8)
        known.append(share_revealed(market, revealed, 1e-7))
    assert np.mean(known) > 0.4


def test_one_turn_reveals_every_sellers_costs() -> None:
    market = draw(1)
    costs = np.random.default_rng(1).uniform(0.5, 2, (2, 45)) * [[0.01], [0.015]]
    kwh = said(market, 3)[2].allocation.kwh
    sellers = type(market.sellers)(
        maximum_kwh=market.sellers.maximum_kwh,
        quadratic_cost=costs[0],
        linear_cost=costs[1],
        efficiency=0.9,
    )
    found = reveal_sellers(seller_asks(sellers, kwh), kwh, efficiency=0.9)
    np.testing.assert_allclose(found.quadratic_cost, costs[0], rtol=1e-9)
    np.testing.assert_allclose(found.linear_cost, costs[1], rtol=1e-9)


def test_who_gets_or_sends_the_same_everywhere_reveals_less() -> None:
    same = np.full((3, 4), 2.0)
    assert np.isnan(reveal_sellers(same, same, efficiency=0.9).linear_cost).all()
    assert np.isnan(reveal_values(same, same, same).value).all()
    kwh = same.copy()
    kwh[1, 0] = 0.0  # Nothing of it: a pair that tells nothing.
    kwh[1, 1] = 3.0
    known = ~np.isnan(reveal_values(same, kwh, same * 1.1).theta)
    np.testing.assert_array_equal(known, [False, True, False])


def test_noise_costs_welfare_and_hides_little_from_who_listens_long() -> None:
    market = draw(2)
    gaps, errors, long_errors = [], [], []
    for size in (0.0, 0.01, 0.1):
        found = run_auction(
            market.buyers, market.sellers, spoken=noise(size, 7), epsilon=1e-6, most_turns=40
        )
        gaps.append(found.relative_gap)
        turns = said(market, 60, spoken=noise(size, 7))
        wrong = [
            np.abs(from_undamped(market, some).weight / market.buyers.weight - 1)
            for some in (turns[:1], turns)
        ]
        errors.append(float(np.nanmedian(wrong[0])))
        long_errors.append(float(np.nanmedian(wrong[1])))
    assert gaps[0] < 1e-5 < gaps[1] < gaps[2]
    assert errors[0] < 1e-9 < errors[1] < errors[2]
    assert long_errors[2] < 0.5 * errors[2]


def test_noise_is_its_seeds() -> None:
    bids = np.ones((4, 5))
    first, again, other = noise(0.1, 3), noise(0.1, 3), noise(0.1, 4)
    said_first = first(bids)
    np.testing.assert_array_equal(said_first, again(bids))
    assert not np.array_equal(said_first, first(bids))
    assert not np.array_equal(said_first, other(bids))
    np.testing.assert_array_equal(noise(0.0, 3)(bids), bids)
    for size in (-0.1, np.nan):
        with pytest.raises(RangeError, match="size must be a number of at least zero"):
            noise(size, 0)
