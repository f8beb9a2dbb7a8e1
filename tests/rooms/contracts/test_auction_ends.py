"""Ends of auctions by chance: honest ones are proved with next to no gap, and no lie is."""

from __future__ import annotations

from typing import Any

import pytest
from auction_talk import Talk, random_talk, settled
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.contracts.auction_ends import prove
from peerwatt.contracts.state import AuctionEnd, Refusal
from peerwatt.records.auction import LastBids
from peerwatt.records.market import BuyOrder
from peerwatt.records.receipts import Reason
from peerwatt.units import cost_ceil_ucoin, cost_floor_ucoin

CENT_UCOIN = 10_000
QUICK = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10**6)


def proved(talk: Talk, fields: dict[str, Any]) -> AuctionEnd | Refusal:
    return prove(talk.market_round, talk.orders, talk.message(fields))


def an_end(seed: int) -> tuple[Talk, dict[str, Any]]:
    """The end of some auction that came to rest."""
    for at in range(seed * 100, seed * 100 + 100):
        talk, cars = random_talk(at)
        try:
            return talk, settled(talk, cars)
        except AssertionError:
            continue
    raise AssertionError(f"no auction of seed {seed} came to rest")


@QUICK
@given(SEEDS)
def test_honest_ends_are_proved_within_limits_and_paid_for(seed: int) -> None:
    talk, fields = an_end(seed)
    found = proved(talk, fields)
    assert isinstance(found, AuctionEnd), (seed, found)
    assert found.gap_ucoin <= 2, seed
    rows = {each.order_id: each for each in found.served}
    prices = talk.market_round.prices
    collected = received = bought = sold = 0
    for order in talk.orders:
        row = rows.get(order.order_id)
        if row is None:
            continue
        price, energy_wh = row.price_ucoin_per_kwh, row.energy_wh
        assert energy_wh <= order.max_wh
        if isinstance(order, BuyOrder):
            bought += energy_wh
            collected += cost_ceil_ucoin(energy_wh, price)
            within = price <= order.price_high_ucoin_per_kwh
            assert within or energy_wh <= order.min_wh, (seed, order, row)
            assert cost_ceil_ucoin(energy_wh, price) <= order.held_ucoin
        else:
            sold += energy_wh
            received += cost_floor_ucoin(energy_wh, price)
            assert price >= order.ask_ucoin_per_kwh, (seed, order, row)
    assert bought == sold + found.import_wh
    assert found.import_wh <= talk.market_round.import_limit_wh
    grid = cost_ceil_ucoin(found.import_wh, prices.retail_ucoin_per_kwh)
    fees = cost_ceil_ucoin(sold, prices.local_fee_ucoin_per_kwh)
    assert collected + 3 * len(rows) >= received + grid + fees, seed


def _forged(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    """Another signs one order's last bid."""
    bids = list(fields["bids"])
    said, order = bids[at].latest, talk.invited[at]
    false = talk.bid(order, talk.iteration, said.amounts, answers=said.answers, by="forger")
    bids[at] = LastBids(previous=bids[at].previous, latest=false)
    return fields | {"bids": tuple(bids)}


def _raised(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    """What an order bid is more than it bid."""
    bids = list(fields["bids"])
    said = bids[at].latest
    more = replace(said, amounts=(said.amounts[0] + 1, *said.amounts[1:]))
    bids[at] = LastBids(previous=bids[at].previous, latest=more)
    return fields | {"bids": tuple(bids)}


def _shifted(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    """A rent is another, by a cent a kWh."""
    rents = fields["rents"]
    cent = CENT_UCOIN * 10**6
    if at < len(rents.buyers):
        moved = (*rents.buyers[:at], rents.buyers[at] + cent, *rents.buyers[at + 1 :])
        return fields | {"rents": replace(rents, buyers=moved)}
    return fields | {"rents": replace(rents, grid=rents.grid + cent)}


def _dropped(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    """An order is left out, and its rent with it."""
    bids, rents = fields["bids"], fields["rents"]
    without = bids[:at] + bids[at + 1 :]
    buyers = len(rents.buyers)
    if at < buyers:
        rents = replace(rents, buyers=rents.buyers[:at] + rents.buyers[at + 1 :])
    else:
        at -= buyers
        rents = replace(rents, sellers=rents.sellers[:at] + rents.sellers[at + 1 :])
    return fields | {"bids": without, "rents": rents}


def _of_another_step(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    return fields | {"iteration": fields["iteration"] + 1}


def _of_another_run(talk: Talk, fields: dict[str, Any], at: int) -> dict[str, Any]:
    return fields | {"run": fields["run"] + 1}


LIES = {
    _forged: (Reason.BAD_BID_SIGNATURE,),
    _raised: (Reason.BAD_BID_SIGNATURE, Reason.UNBACKED_BID),
    _shifted: (Reason.NOT_ANSWERED, Reason.NOT_OPTIMAL, Reason.BEYOND_LIMIT, Reason.AGAINST_BID),
    _dropped: (Reason.INCOMPLETE,),
    _of_another_step: (Reason.BAD_BID_SIGNATURE,),
    _of_another_run: (Reason.BAD_BID_SIGNATURE,),
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, at=st.integers(0, 7))
def test_no_lie_about_an_honest_end_is_taken(lie: Any, seed: int, at: int) -> None:
    talk, fields = an_end(seed)
    at %= len(fields["bids"])
    if lie is _raised and not fields["bids"][at].latest.amounts:
        return
    if lie is _shifted and not any(any(each.latest.amounts) for each in fields["bids"]):
        return
    found = proved(talk, lie(talk, fields, at))
    assert isinstance(found, Refusal), seed
    assert found.reason in LIES[lie], (seed, found)
