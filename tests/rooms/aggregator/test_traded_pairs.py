"""Whose energy went to whom: every Wh that cars gave is somebody's, and nobody's twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from peerwatt.aggregator.transaction_server import traded_pairs
from peerwatt.records.codec import digest
from peerwatt.records.market import SettledAward, Side

ENERGIES = st.lists(st.integers(0, 5_000), max_size=8)


def row(side: Side, at: int, metered_wh: int) -> SettledAward:
    return SettledAward(
        order_id=digest(f"{side.name} {at}".encode()),
        owner=digest(f"owner {side.name} {at}".encode()),
        port=f"p{at}",
        side=side,
        awarded_wh=metered_wh,
        metered_wh=metered_wh,
        excused_wh=0,
        paid_ucoin=0,
        received_ucoin=0,
        penalty_ucoin=0,
        flags=0,
    )


def rows(bought: list[int], sold: list[int]) -> list[SettledAward]:
    buys = [row(Side.BUY, at, wh) for at, wh in enumerate(bought)]
    return [*buys, *(row(Side.SELL, at, wh) for at, wh in enumerate(sold))]


@given(ENERGIES, ENERGIES)
def test_pairs_add_up_on_both_sides(bought: list[int], sold: list[int]) -> None:
    settled = rows(bought, sold)
    pairs = traded_pairs(settled)
    total = min(sum(bought), sum(sold))
    assert sum(pair.energy_wh for pair in pairs) == total
    metered = {each.order_id: each.metered_wh for each in settled}
    to, by = Counter[bytes](), Counter[bytes]()
    for pair in pairs:
        assert pair.energy_wh > 0
        to[pair.order_id] += pair.energy_wh
        by[pair.sale_id] += pair.energy_wh
    assert all(energy <= metered[at] for at, energy in (to | by).items())
    if sum(sold) <= sum(bought):
        assert sum(by.values()) == sum(sold)
    for each in settled:
        if each.side == Side.BUY and sum(bought):
            assert abs(to[each.order_id] - total * each.metered_wh / sum(bought)) < 1
    assert len(pairs) < len([wh for wh in (*bought, *sold) if wh]) or not pairs


@given(ENERGIES, ENERGIES, st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(bought: list[int], sold: list[int], salt: int) -> None:
    settled = rows(bought, sold)
    shuffled = sorted(settled, key=lambda each: digest(each.order_id + bytes([salt])))
    assert traded_pairs(shuffled) == traded_pairs(settled)


def test_one_seller_serves_two_buyers_alike() -> None:
    pairs = traded_pairs(rows([1_000, 1_000], [501]))
    assert sorted(pair.energy_wh for pair in pairs) == [250, 251]
