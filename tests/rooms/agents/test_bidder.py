"""A driver's agent alone: what it bids by hand, and what it refuses from an auctioneer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.agents.bidder import Bidder, TalkError
from peerwatt.agents.ports import BuyIntent, SellIntent
from peerwatt.agents.preferences import Cost, Utility, preference_of
from peerwatt.mechanisms.iterative_auction import buyer_bids, seller_asks
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers
from peerwatt.records.auction import (
    UWH_PER_KWH,
    Allocation,
    Invitation,
    SignedBid,
    is_settled,
    sign_allocation,
    sign_invitation,
    stalls,
)
from peerwatt.records.codec import record_id
from peerwatt.records.market import NO_HASH
from peerwatt.records.signing import SigningKey

CHAIN = "sim-table"
OPERATOR, DRIVER = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
ME, RIVAL = b"m" * 32, b"r" * 32
ONE, TWO = b"1" * 32, b"2" * 32
WANT = BuyIntent(
    min_wh=0, max_wh=2_000, price_high_ucoin_per_kwh=400_000, price_low_ucoin_per_kwh=200_000
)
OFFER = SellIntent(max_wh=2_000, ask_ucoin_per_kwh=100_000, slope_ucoin_per_kwh2=20_000)
LOST_LOAD = 500_000
INVITATION = Invitation(
    round_id=b"round-one", orders_root=bytes(32), run=1, buyers=(ME, RIVAL), sellers=(ONE, TWO)
)


def bidder(intent: Any = WANT, **changed: Any) -> Bidder:
    given: dict[str, Any] = {
        "held_usd": 0.8,
        "order_id": ME,
        "round_id": b"round-one",
        "key": DRIVER,
        "auctioneer": OPERATOR.public,
        "chain_id": CHAIN,
    }
    return Bidder(preference_of(intent, LOST_LOAD), **(given | changed))


def invited(agent: Bidder, invitation: Invitation = INVITATION) -> SignedBid | None:
    return agent.invited(sign_invitation(invitation, OPERATOR, CHAIN))


def allocation(*energies_kwh: float, iteration: int = 0, **changed: Any) -> Allocation:
    given: dict[str, Any] = {
        "invitation": record_id(INVITATION),
        "iteration": iteration,
        "order_id": ME,
        "energies_uwh": tuple(round(each * UWH_PER_KWH) for each in energies_kwh),
    }
    return Allocation(**(given | changed))


def told(agent: Bidder, what: Allocation, key: SigningKey = OPERATOR) -> SignedBid:
    return agent.allocated(sign_allocation(what, key, CHAIN))


def test_marginal_value_falls_from_the_high_to_the_low_price() -> None:
    utility = Utility.of(replace_intent(min_wh=500), LOST_LOAD)
    assert utility.marginal_usd_per_kwh(0.5) == pytest.approx(0.4)
    assert utility.marginal_usd_per_kwh(2.0) == pytest.approx(0.2)
    assert utility.marginal_usd_per_kwh(1.25) == pytest.approx(4 / 15)
    assert utility.marginal_usd_per_kwh(0.4) == 0.5


@pytest.mark.parametrize(
    ("energy_kwh", "price", "value"),
    [(0.4, 0.5, 0.5), (0.4, 0.2, 0.4), (0.5, 0.45, 0.45), (0.5, 0.6, 0.5), (0.6, 0.48, 0.4)],
)
def test_around_a_minimum_the_price_says_how_much_to_bid(
    energy_kwh: float, price: float, value: float
) -> None:
    """Below it lost load at most, at it today's price, above it what would buy just it, and never
    less than what the curve says."""
    utility = Utility.of(replace_intent(min_wh=500), LOST_LOAD)
    [bid] = utility.answer([energy_kwh], [price * energy_kwh])
    assert bid == pytest.approx(value * energy_kwh)


def replace_intent(**changed: int) -> BuyIntent:
    fields = {name: getattr(WANT, name) for name in WANT.__dataclass_fields__}
    return BuyIntent(**(fields | changed))


def test_what_is_right_to_bid_is_the_papers_rule() -> None:
    """m(1.25) = 4/15 on the curve above; s = 2 l1 d + l2."""
    utility = Utility.of(replace_intent(min_wh=500), LOST_LOAD)
    assert utility.answer([1.0, 0.25], [0.1, 0.1]) == pytest.approx([4 / 15, 1 / 15])
    cost = Cost.of(OFFER)
    assert cost.answer([0.0, 1.5], [0.1, 0.1]) == pytest.approx([0.1, 0.13])


@given(st.lists(st.floats(0.01, 1.5), min_size=2, max_size=4))
def test_it_bids_what_the_mechanism_says(energies_kwh: list[float]) -> None:
    """PETCON's two steps on arrays, for one car: the same to the last digit but two."""
    utility, cost = Utility.of(replace_intent(min_wh=0), LOST_LOAD), Cost.of(OFFER)
    buyers = PairBuyers(
        weight=np.array([utility.weight_usd]),
        minimum_kwh=np.zeros(1),
        maximum_kwh=np.array([utility.maximum_kwh]),
        scale_kwh=np.array([utility.scale_kwh]),
    )
    sellers = PairSellers(
        maximum_kwh=np.array([cost.maximum_kwh]),
        quadratic_cost=np.array([cost.quadratic_usd_per_kwh2]),
        linear_cost=np.array([cost.linear_usd_per_kwh]),
    )
    kwh = np.array([energies_kwh])
    if kwh.sum() <= utility.maximum_kwh:
        paid = utility.answer(energies_kwh, [1.0] * len(energies_kwh))
        assert paid == pytest.approx(buyer_bids(buyers, kwh)[0], rel=1e-12)
    asked = cost.answer(energies_kwh, [])
    assert asked == pytest.approx(seller_asks(sellers, kwh.T)[:, 0], rel=1e-12)


def test_who_gets_next_to_nothing_and_finds_it_dear_gives_up() -> None:
    utility = Utility.of(WANT, LOST_LOAD)
    dear, cheap = [5e-5], [1e-5]
    assert utility.answer([9e-5], dear) == [0.0]
    assert utility.answer([9e-5], cheap) == pytest.approx([0.4 * 9e-5], rel=1e-3)
    assert utility.answer([0.0], dear) == [0.0]


def test_a_first_bid_wants_all_from_each_alike() -> None:
    bid = invited(bidder())
    assert bid is not None
    assert bid.is_signed(DRIVER.public, CHAIN)
    assert bid.bid.iteration == 0
    assert bid.bid.answers == NO_HASH
    assert bid.bid.amounts == pytest.approx([0.4e12 / 3] * 3, abs=1)
    bid = invited(bidder(OFFER, order_id=ONE))
    assert bid is not None
    assert bid.bid.amounts == pytest.approx([0.12e12] * 2, abs=1)


def test_a_first_answer_moves_half_way() -> None:
    agent = bidder()
    invited(agent)
    answer = told(agent, allocation(0.5, 0.25, 0.25))
    before = 0.4 / 3
    right = Utility.of(WANT, LOST_LOAD).answer([0.5, 0.25, 0.25], [before] * 3)
    expected = [math.sqrt(before * each) * 1e12 for each in right]
    assert answer.bid.amounts == pytest.approx(expected, rel=1e-9)
    assert answer.bid.answers == record_id(allocation(0.5, 0.25, 0.25))
    seller = bidder(OFFER, order_id=ONE)
    invited(seller)
    answer = told(seller, allocation(1.0, 0.5, order_id=ONE))
    assert answer.bid.amounts == pytest.approx([0.12e12, 0.115e12], abs=1)


def test_at_rest_a_bid_stays() -> None:
    agent = bidder()
    bid = invited(agent)
    for iteration in range(60):
        right = told(agent, allocation(1.0, 0.5, 0.0, iteration=iteration))
        bid = right
    assert bid is not None
    value = Utility.of(WANT, LOST_LOAD).marginal_usd_per_kwh(1.5)
    assert bid.bid.amounts[:2] == pytest.approx([value * 1e12, value * 0.5e12], rel=1e-6)
    assert 0 < bid.bid.amounts[2] < 1e-4 * bid.bid.amounts[1]


def test_it_signs_one_bid_for_one_step() -> None:
    agent = bidder()
    first = invited(agent)
    assert invited(agent) == first
    answer = told(agent, allocation(0.5, 0.5, 0.5))
    assert told(agent, allocation(0.5, 0.5, 0.5)) == answer
    with pytest.raises(TalkError, match=r"^iteration: must be 1, is 0$"):
        told(agent, allocation(0.5, 0.5, 0.4))
    assert invited(agent) == answer


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: {"invitation": bytes(32)}, "invitation: is another run's"),
        (lambda: {"order_id": RIVAL}, "order_id: is another order"),
        (lambda: {"iteration": 1}, "iteration: must be 0, is 1"),
        (lambda: {"energies_uwh": (1, 1)}, "energies_uwh: must be 3, are 2"),
        (lambda: {"energies_uwh": (2 * UWH_PER_KWH, 9**6, 0)}, "energies_uwh: are more than"),
    ],
)
def test_what_an_auctioneer_must_not_say_is_refused(
    change: Callable[[], dict[str, Any]], why: str
) -> None:
    agent = bidder()
    invited(agent)
    with pytest.raises(TalkError, match=f"^{why}"):
        told(agent, allocation(0.5, 0.5, 0.5, **change()))
    with pytest.raises(TalkError, match=r"^signature: is not the auctioneer's$"):
        told(agent, allocation(0.5, 0.5, 0.5), key=DRIVER)
    assert told(agent, allocation(0.5, 0.5, 0.5)).bid.iteration == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"round_id": b"round-two"}, "round_id: is another round"),
        ({"run": 1}, "run: must be above 1, is 1"),
        ({"run": 2, "orders_root": b"o" * 32}, "orders_root: is not that of the run before"),
        ({"run": 2, "sellers": (TWO, ONE)}, "sellers: must ascend"),
        ({"run": 2, "buyers": (ME, ME)}, "buyers: must ascend"),
    ],
)
def test_an_invitation_that_does_not_follow_is_refused(change: dict[str, Any], why: str) -> None:
    agent = bidder()
    invited(agent)
    with pytest.raises(TalkError, match=f"^{why}"):
        invited(agent, replace(INVITATION, **({"sellers": (ONE,)} | change)))
    with pytest.raises(TalkError, match=r"^signature"):
        agent.invited(sign_invitation(replace(INVITATION, run=2), DRIVER, CHAIN))


def test_who_is_not_invited_any_more_says_nothing() -> None:
    agent = bidder()
    with pytest.raises(TalkError, match=r"^invitation: this order is not in this run"):
        told(agent, allocation(0.5, 0.5, 0.5))
    invited(agent)
    assert invited(agent, replace(INVITATION, run=2, buyers=(RIVAL,))) is None
    with pytest.raises(TalkError, match=r"^invitation: this order is not in this run"):
        told(agent, allocation(0.5, 0.5, 0.5))


def test_a_restart_begins_from_what_was_bid_on_those_who_stay() -> None:
    agent = bidder()
    invited(agent)
    last = told(agent, allocation(0.5, 0.0, 1.0)).bid.amounts
    again = invited(agent, replace(INVITATION, run=2, sellers=(ONE,)))
    assert again is not None
    assert again.bid.iteration == 0
    assert again.bid.amounts == pytest.approx([last[0], last[2]], rel=1e-9)


def test_after_a_while_it_lets_an_auction_end() -> None:
    """Here where energy is a little too dear, and its bids would fall for ever."""
    agent = bidder()
    bid = invited(agent)
    for iteration in range(160):
        assert bid is not None
        before, total = bid.bid.amounts, sum(bid.bid.amounts) / 0.41e12
        bid = told(agent, allocation(total, 0, 0, iteration=iteration))
    assert bid is not None
    assert is_settled([before], [bid.bid.amounts])
    assert not is_settled([before], [tuple(each * 998 // 1000 for each in before)])


def test_it_never_bids_more_than_its_order_holds() -> None:
    agent = bidder(held_usd=0.3)
    bid = invited(agent)
    assert bid is not None
    assert 0.29e12 < sum(bid.bid.amounts) <= 0.3e12
    for iteration in range(20):
        bid = told(agent, allocation(1.0, 0.5, 0.5, iteration=iteration))
        assert sum(bid.bid.amounts) <= 0.3e12


@given(st.data())
def test_whatever_it_is_told_it_never_stalls(data: st.DataObject) -> None:
    """An auctioneer that gives it now all, now nothing, finds no two bids to hold against it."""
    buys = data.draw(st.booleans())
    agent = bidder() if buys else bidder(OFFER, order_id=ONE)
    before = invited(agent)
    assert before is not None
    energy = st.floats(0, 0.6)
    for iteration in range(45):
        energies = [data.draw(energy) for _ in range(3 if buys else 2)]
        mine = {} if buys else {"order_id": ONE}
        bid = told(agent, allocation(*energies, iteration=iteration, **mine))
        assert not stalls(bid.bid.iteration, before.bid.amounts, bid.bid.amounts)
        before = bid
