"""Ends of auctions by chance: honest ones are proved with next to no gap, and no lie is."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import numpy as np
import pytest
from auction_talk import Car, Talk, a_round, buyer, random_talk, seller, settled
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_hub import key

from peerwatt.contracts.auction_ends import prove
from peerwatt.contracts.state import AuctionEnd, Refusal
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import InfeasibleError, PairBuyers, PairSellers
from peerwatt.mechanisms.welfare_newton import NotConvergedError
from peerwatt.records.auction import UWH_PER_KWH, LastBids, Rents
from peerwatt.records.codec import encode
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.simulation.reference_auctions import prove_auction
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH, cost_ceil_ucoin, cost_floor_ucoin

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
        except (AssertionError, NotConvergedError, InfeasibleError):
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
    """An order's rent is another, by a cent a kWh."""
    rents, buyers = fields["rents"], len(fields["rents"].buyers)
    listed = [*rents.buyers, *rents.sellers]
    listed[at] += CENT_UCOIN * 10**6
    moved = replace(rents, buyers=tuple(listed[:buyers]), sellers=tuple(listed[buyers:]))
    return fields | {"rents": moved}


def _trades(talk: Talk, fields: dict[str, Any], at: int) -> bool:
    """Whether an order has bids at which energy is told, and more than crumbs of it."""
    buyers = len(talk.sides[0])
    listed = [list(each.previous.amounts) for each in fields["bids"]]
    return sum(talk.told(listed[:buyers], listed[buyers:], fields["rents"])[at]) > 10**6


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
    if lie is _shifted and not _trades(talk, fields, at):
        return
    found = proved(talk, lie(talk, fields, at))
    assert isinstance(found, Refusal), seed
    assert found.reason in LIES[lie], (seed, found)


def _rich(buyers: int, sellers: int) -> tuple[Talk, list[Car]]:
    """PETCON's hub, scarce, in coins of a size: who wants and who has about 20 kWh."""
    cars = [
        Car(buyer(f"buyer {at}", 400_000, 0, 20_000 + 100 * at), 4.0 + 0.02 * at, 10.0 + 0.05 * at)
        for at in range(buyers)
    ]
    cars += [
        Car(seller(f"seller {at}", 50_000 + 1_000 * at, 12_000), 0.003, 0.05 + 1e-3 * at)
        for at in range(sellers)
    ]
    cars.sort(key=lambda car: (isinstance(car.order, SellOrder), car.order.order_id))
    orders = sorted((car.order for car in cars), key=lambda order: order.order_id)
    names = {key(car.order.port).public: car.order.port for car in cars}
    return Talk(a_round(import_limit_wh=50_000, orders=len(cars)), orders, names), cars


def _welfare(talk: Talk, cars: list[Car], fields: dict[str, Any]) -> float:
    """By the true curves, of the energies that the last bids answer; coin."""
    buyers = len(talk.sides[0])
    listed = [list(each.previous.amounts) for each in fields["bids"]]
    told = talk.told(listed[:buyers], listed[buyers:], fields["rents"])
    rows = [[each / UWH_PER_KWH for each in row] for row in told]
    prices = talk.market_round.prices
    welfare = 0.0
    for car, row in zip(cars, rows, strict=True):
        if isinstance(car.order, BuyOrder):
            welfare += car.first * math.log1p(sum(row) / car.second)
            welfare -= row[-1] * prices.retail_ucoin_per_kwh / UCOIN_PER_COIN
        else:
            welfare -= sum(car.first * each**2 + car.second * each for each in row)
            welfare -= sum(row) * prices.local_fee_ucoin_per_kwh / UCOIN_PER_COIN
    return welfare


def _best(talk: Talk, cars: list[Car]) -> float:
    """The welfare that a solver finds that is told every curve."""
    prices, buyers = talk.market_round.prices, len(talk.sides[0])
    most = np.array([car.order.max_wh for car in cars]) / WH_PER_KWH
    first, second = np.array([(car.first, car.second) for car in cars]).T
    found = clear_pairs(
        PairBuyers(
            weight=first[:buyers],
            minimum_kwh=np.zeros(buyers),
            maximum_kwh=most[:buyers],
            scale_kwh=second[:buyers],
        ),
        PairSellers(
            maximum_kwh=most[buyers:], quadratic_cost=first[buyers:], linear_cost=second[buyers:]
        ),
        GridTerms(
            retail=prices.retail_ucoin_per_kwh / UCOIN_PER_COIN,
            feed_in=0.0,
            import_limit_kwh=talk.market_round.import_limit_wh / WH_PER_KWH,
            export_limit_kwh=0.0,
            local_fee=prices.local_fee_ucoin_per_kwh / UCOIN_PER_COIN,
        ),
    )
    return found.welfare


def test_honest_agents_come_to_rest_at_the_optimum() -> None:
    """Of curves that nobody was told: no clearing is better by more than a thousandth."""
    talk, cars = _rich(6, 5)
    fields = settled(talk, cars)
    assert isinstance(proved(talk, fields), AuctionEnd)
    best = _best(talk, cars)
    assert 0 <= best - _welfare(talk, cars, fields) < 1e-3 * best


def test_35_buyers_and_45_sellers_are_proved_in_one_message() -> None:
    talk, cars = _rich(35, 45)
    message = talk.message(settled(talk, cars))
    data = encode(message)
    assert len(data) < 150_000
    started_s = time.perf_counter()
    found = prove(talk.market_round, talk.orders, message)
    took_s = time.perf_counter() - started_s
    assert isinstance(found, AuctionEnd)
    assert found.gap_ucoin < found.traded_ucoin / 10_000
    assert took_s < 2


def test_the_same_allocation_shown_twice_ends_nothing() -> None:
    """The auctioneer feigns rest: it answers new bids with what it told before."""
    talk, cars = _rich(2, 2)
    exact = [car.first / car.second * 5 for car in cars[:2]]
    payments = [[round(b * 1e12 / 3)] * 3 for b in exact]
    asks = [[round((car.second + 0.05) * 1e12)] * 2 for car in cars[2:]]
    told = talk.told(payments, asks, talk.solved(payments, asks))
    later = [[b + b // 1_000 for b in row] for row in payments]
    fields = talk.end(later, asks, told=told)
    found = proved(talk, fields)
    assert isinstance(found, Refusal)
    assert found[:2] == (Reason.NOT_ANSWERED, "bids[0]")
    assert isinstance(proved(talk, talk.end(later, asks)), AuctionEnd)


BIDS_PCOIN = (0, 1, 10**9, 10**11, 3 * 10**11)
ABOVE_PCOIN = (0, 5 * 10**9, 10**11, 10**15)
RENTS_PCOIN = (0, 0, 10**8, 10**9, -(10**9))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, solves=st.booleans())
def test_the_reference_says_the_same_of_any_bids(seed: int, solves: bool) -> None:
    """Bids and rents by chance, which everybody answered: proved alike, or refused for a reason."""
    chance = random.Random(seed)
    talk, _ = random_talk(seed)
    buys, sells = talk.sides
    payments = [[chance.choice(BIDS_PCOIN) for _ in (*sells, "the grid")] for _ in buys]
    asks = [
        [order.ask_ucoin_per_kwh * 10**6 + chance.choice(ABOVE_PCOIN) for _ in buys]
        for order in sells
    ]
    rents = Rents(
        buyers=tuple(chance.choice(RENTS_PCOIN) for _ in buys),
        sellers=tuple(abs(chance.choice(RENTS_PCOIN)) for _ in sells),
        grid=abs(chance.choice(RENTS_PCOIN)),
    )
    if solves:
        try:
            rents = talk.solved(payments, asks)
        except (InfeasibleError, NotConvergedError):
            return
    fields = talk.end(payments, asks, rents=rents)
    ours = proved(talk, fields)
    theirs = prove_auction(talk.market_round, talk.orders, talk.message(fields))
    if isinstance(ours, Refusal):
        assert isinstance(theirs, list), (seed, ours)
        assert ours.reason in theirs, (seed, ours, theirs)
    else:
        assert ours == theirs, seed
