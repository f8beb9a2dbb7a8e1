"""What of an auction is said alike by auctioneer, agents and ledger: energy, the end, stalling."""

from __future__ import annotations

import pytest

from peerwatt.records.auction import (
    STALL_ITERATIONS,
    UWH_PER_KWH,
    Bid,
    energy_uwh,
    is_settled,
    minima_bind,
    said,
    sign_bid,
    stalls,
)
from peerwatt.records.signing import SigningKey


def test_energy_is_what_is_paid_over_the_price_rounded_down() -> None:
    assert energy_uwh(600, 200) == 3 * UWH_PER_KWH
    assert energy_uwh(2, 3) == 666_666_666
    assert energy_uwh(0, -5) == 0


@pytest.mark.parametrize(
    ("minima_wh", "offers_wh", "bind"),
    [([], [0], False), ([0], [1], True), ([3, 4], [6, 2], True), ([3, 5], [6, 2], False)],
)
def test_minima_bind_where_there_is_more_than_they_need(
    minima_wh: list[int], offers_wh: list[int], bind: bool
) -> None:
    assert minima_bind(minima_wh, offers_wh) is bind


@pytest.mark.parametrize(
    ("previous", "latest", "settled"),
    [
        ([(1_000_000, 0)], [(1_001_000, 0)], True),
        ([(1_000_000, 0)], [(998_999, 0)], False),
        ([(1_000_000,), (5,)], [(1_000_000,), (1_000,)], True),
        ([(1_000_000,), (5,)], [(1_000_000,), (1_006,)], False),
        ([(0,)], [(0,)], True),
        ([(1,)], [(0,)], False),
        ([], [], True),
    ],
)
def test_a_side_has_settled_when_its_bids_change_by_a_thousandth(
    previous: list[tuple[int, ...]], latest: list[tuple[int, ...]], settled: bool
) -> None:
    assert is_settled(previous, latest) is settled


@pytest.mark.parametrize(
    ("iteration", "latest", "stalling"),
    [
        (STALL_ITERATIONS - 1, (0, 0), False),
        (STALL_ITERATIONS, (330, 440), False),
        (STALL_ITERATIONS, (330, 441), True),
        (STALL_ITERATIONS + 10, (315, 420), False),
        (STALL_ITERATIONS + 10, (316, 420), True),
        (1_020, (300, 401), True),
    ],
)
def test_a_bid_may_move_by_a_tenth_and_then_by_less_and_less(
    iteration: int, latest: tuple[int, ...], stalling: bool
) -> None:
    assert stalls(iteration, (300, 400), latest) is stalling


def test_what_is_listed_of_a_bid_is_the_bid_again() -> None:
    key = SigningKey(bytes([1]) * 32)
    bid = Bid(
        invitation=b"i" * 32, iteration=4, order_id=b"o" * 32, answers=b"a" * 32, amounts=(7,)
    )
    signed = sign_bid(bid, key, "chain")
    assert said(signed).bid(b"i" * 32, 4, b"o" * 32) == signed
    assert not said(signed).bid(b"i" * 32, 5, b"o" * 32).is_signed(key.public, "chain")
