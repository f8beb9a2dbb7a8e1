"""Auctions among cars on the ledger: who trades at what price, two rounds, the grid's part."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from small_hub import (
    CLEAR_LEAD_S,
    FEED_IN,
    FEES,
    FIRST_SLOT_S,
    GATE_LEAD_S,
    LOST_LOAD,
    RETAIL,
    SmallHub,
    end_s,
    public,
    round_id,
)

from peerwatt.contracts.among_cars import clear_among_cars, limit_of
from peerwatt.contracts.auction import Book
from peerwatt.contracts.double_auctions import AUCTIONS
from peerwatt.records import transactions as tx
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, Prices, SellOrder
from peerwatt.records.receipts import Reason

FEE = sum(FEES)
GATE_S, CLEAR_S = FIRST_SLOT_S - GATE_LEAD_S, FIRST_SLOT_S - CLEAR_LEAD_S


def hub(mechanism: Mechanism, **fields: Any) -> SmallHub:
    return SmallHub().site().drivers("ann", "bob", "cat", "dan").open(mechanism=mechanism, **fields)


def bid(at: SmallHub, name: str, price: int, **fields: Any) -> bytes:
    limits = {"price_high_ucoin_per_kwh": price, "price_low_ucoin_per_kwh": price, "min_wh": 0}
    return at.buy(name, **(limits | fields))


def ask(at: SmallHub, name: str, price: int, **fields: Any) -> bytes:
    return at.sell(name, **({"ask_ucoin_per_kwh": price, "slope_ucoin_per_kwh2": 0} | fields))


def awards(at: SmallHub) -> dict[str, tuple[int, int]]:
    names = {public(name): name for name in ("ann", "bob", "cat", "dan")}
    return {
        names[each.owner]: (each.energy_wh, each.price_ucoin_per_kwh)
        for _, each in at.host.items("awards", round_id())
    }


# Two buyers at 280 and 200, two sellers at 100 and 150 (120 and 170 at the hub), 2 kWh each.
PAPER = {
    Mechanism.PAY_AS_BID: {
        "ann": (2_000, 280_000), "bob": (2_000, 200_000), "cat": (2_000, 100_000),
        "dan": (2_000, 150_000),
    },
    # The prices that clear all four lie between 170 and 200.
    Mechanism.K_PRICE: {name: (2_000, price) for name, price in (
        ("ann", 185_000), ("bob", 185_000), ("cat", 165_000), ("dan", 165_000)
    )},
    # The grid behind the last ones: (80 + 300) / 2 = 190 lies between 170 and 200.
    Mechanism.MCAFEE: {name: (2_000, price) for name, price in (
        ("ann", 190_000), ("bob", 190_000), ("cat", 170_000), ("dan", 170_000)
    )},
    Mechanism.MCAFEE_PAPER: {name: (2_000, price) for name, price in (
        ("ann", 190_000), ("bob", 190_000), ("cat", 170_000), ("dan", 170_000)
    )},
    # Without the last trade, buyers at 200 and sellers at 170 - 20.
    Mechanism.HUANG: {"ann": (2_000, 200_000), "cat": (2_000, 150_000)},
}  # fmt: skip


@pytest.mark.parametrize("mechanism", PAPER)
def test_each_auction_by_hand(mechanism: Mechanism) -> None:
    at = hub(mechanism)
    bid(at, "ann", 280_000)
    bid(at, "bob", 200_000)
    ask(at, "cat", 100_000)
    ask(at, "dan", 150_000)
    assert at.gate() == ["cleared"]
    assert awards(at) == PAPER[mechanism]
    clearing = at.round().clearing
    assert (clearing.import_wh, clearing.export_wh, clearing.proposer) == (0, 0, b"")


def test_one_size_balances_and_draws_a_seller_out() -> None:
    at = hub(Mechanism.SBBA, lot_wh=1_500)
    bid(at, "ann", 280_000)
    bid(at, "bob", 200_000)
    ask(at, "cat", 100_000)
    ask(at, "dan", 150_000)
    at.gate()
    got = awards(at)
    sellers = got.keys() - {"ann"}
    # No third ask: p = b_2 = 200, the last buyer is left out and one of two sellers.
    assert got["ann"] == (1_500, 200_000)
    assert len(sellers) == 1
    assert got[sellers.pop()] == (1_500, 200_000 - FEE)
    for lot_wh, mechanism in ((0, Mechanism.SBBA), (1_000, Mechanism.MCAFEE)):
        other = SmallHub().site()
        assert other.refused(
            tx.OpenRound, "operator", mechanism=mechanism, lot_wh=lot_wh
        ) == (Reason.OUT_OF_RANGE, "lot_wh")  # fmt: skip


def test_less_than_the_one_size_is_the_grids() -> None:
    at = hub(Mechanism.SBBA, lot_wh=1_500)
    bid(at, "ann", 280_000, max_wh=1_499, min_wh=600)
    ask(at, "cat", 100_000)
    at.gate()
    assert awards(at) == {"ann": (600, RETAIL)}


def test_the_grid_serves_needs_and_who_bids_its_price() -> None:
    at = hub(Mechanism.MCAFEE)
    bid(at, "ann", RETAIL, max_wh=2_000)
    bid(at, "bob", 100_000, min_wh=700, max_wh=2_000)
    ask(at, "cat", FEED_IN, max_wh=1_000)
    at.gate()
    # One ask: (100 + 300) / 2 = 200 lies between 100 and 300, but volumes do not end together; the
    # last trade is left out, so nothing is traded, and the seller's energy reaches buyers over the
    # site's wires at the grid's two prices.
    assert awards(at) == {
        "ann": (2_000, RETAIL),
        "bob": (700, RETAIL),
        "cat": (1_000, FEED_IN),
    }
    clearing = at.round().clearing
    assert (clearing.import_wh, clearing.export_wh) == (1_700, 0)
    at.report({"p1": 2_000, "p2": 700, "p3": -1_000, "": 1_700})
    totals = at.round().totals
    assert totals.pot_ucoin == RETAIL - FEED_IN - FEE


def test_orders_say_one_price_within_the_grids() -> None:
    at = hub(Mechanism.MCAFEE)
    buying = {
        "port": "p1", "min_wh": 0,
        "price_high_ucoin_per_kwh": 200_000, "price_low_ucoin_per_kwh": 200_000,
    }  # fmt: skip
    for fields, field in (
        ({"price_low_ucoin_per_kwh": 199_999}, "price_low_ucoin_per_kwh"),
        ({"limit_ucoin_per_kwh": 1}, "limit_ucoin_per_kwh"),
        (dict.fromkeys(("price_high_ucoin_per_kwh", "price_low_ucoin_per_kwh"), FEED_IN - 1),
         "price_high_ucoin_per_kwh"),
        (dict.fromkeys(("price_high_ucoin_per_kwh", "price_low_ucoin_per_kwh"), RETAIL + 1),
         "price_high_ucoin_per_kwh"),
    ):  # fmt: skip
        refused = at.refused(tx.PlaceBuyOrder, "ann", **(buying | fields))
        assert refused == (Reason.OUT_OF_RANGE, field)
    selling = {"port": "p2", "slope_ucoin_per_kwh2": 0}
    for fields, field in (
        ({"slope_ucoin_per_kwh2": 1}, "slope_ucoin_per_kwh2"),
        ({"ask_ucoin_per_kwh": FEED_IN - 1}, "ask_ucoin_per_kwh"),
        ({"ask_ucoin_per_kwh": RETAIL + 1}, "ask_ucoin_per_kwh"),
        ({"limit_ucoin_per_kwh": 1}, "limit_ucoin_per_kwh"),
    ):
        refused = at.refused(tx.PlaceSellOrder, "bob", **(selling | fields))
        assert refused == (Reason.OUT_OF_RANGE, field)


def two_rounds() -> tuple[SmallHub, dict[str, bytes]]:
    """Both buyers want a kWh each, welfare gives each seller one; one pair trades, one loses."""
    at = hub(Mechanism.V2V)
    curve = {"min_wh": 1_000, "max_wh": 1_000, "price_high_ucoin_per_kwh": RETAIL}
    cost = {"max_wh": 1_000, "ask_ucoin_per_kwh": 0, "slope_ucoin_per_kwh2": 1}
    ids = {
        "ann": at.buy("ann", limit_ucoin_per_kwh=250_000, **curve),
        "bob": at.buy("bob", limit_ucoin_per_kwh=150_000, **curve),
        "cat": at.sell("cat", limit_ucoin_per_kwh=100_000, **cost),
        "dan": at.sell("dan", limit_ucoin_per_kwh=200_000, **cost),
    }
    return at, ids


def test_two_rounds() -> None:
    at, ids = two_rounds()
    # The first round: 250 meets 120, 150 does not meet 220: (150 + 220) / 2 = 185 for all.
    assert at.gate() == ["closed"]
    first = at.round().first
    assert (first.buyer_price_ucoin_per_kwh, first.seller_price_ucoin_per_kwh) == (185_000, 165_000)
    assert first.traded_wh == 1_000
    revise = {"order_id": ids["bob"], "limit_ucoin_per_kwh": 210_000}
    for limit in (184_999, RETAIL + 1):
        refused = at.refused(tx.ReviseOrder, "bob", **(revise | {"limit_ucoin_per_kwh": limit}))
        assert refused == (Reason.OUT_OF_RANGE, "limit_ucoin_per_kwh")
    assert at.refused(tx.ReviseOrder, "ann", **revise) == (Reason.NOT_PERMITTED, "signer")
    unknown = revise | {"order_id": bytes(32)}
    assert at.refused(tx.ReviseOrder, "bob", **unknown) == (Reason.UNKNOWN_ORDER, "order_id")
    at.do(tx.ReviseOrder, "bob", **revise)
    assert at.refused(tx.ReviseOrder, "bob", **revise) == (Reason.ALREADY_EXISTS, "order_id")
    for limit in (FEED_IN - 1, 165_001):
        fields = {"order_id": ids["dan"], "limit_ucoin_per_kwh": limit}
        refused = at.refused(tx.ReviseOrder, "dan", **fields)
        assert refused == (Reason.OUT_OF_RANGE, "limit_ucoin_per_kwh")
    at.do(tx.ReviseOrder, "dan", order_id=ids["dan"], limit_ucoin_per_kwh=150_000)
    at.block(at=CLEAR_S)
    assert at.events() == ["cleared"]
    assert awards(at) == {
        "ann": (1_000, 185_000), "bob": (1_000, 210_000), "cat": (1_000, 165_000),
        "dan": (1_000, 150_000),
    }  # fmt: skip
    assert at.host.items("revisions", round_id()) == []
    at.report({"p1": 1_000, "p2": 1_000, "p3": -1_000, "p4": -1_000, "": 0}, at=end_s(0) + 30)
    assert at.round().totals.pot_ucoin == 210_000 - 150_000 - FEE


def test_who_does_not_sign_goes_to_the_grid() -> None:
    at, ids = two_rounds()
    at.gate()
    at.do(tx.ReviseOrder, "dan", order_id=ids["dan"], limit_ucoin_per_kwh=150_000)
    at.block(at=CLEAR_S)
    assert awards(at) == {
        "ann": (1_000, 185_000), "bob": (1_000, RETAIL), "cat": (1_000, 165_000)
    }  # fmt: skip
    assert at.round().clearing.import_wh == 1_000


def test_a_limit_is_revised_between_the_rounds_alone() -> None:
    at, ids = two_rounds()
    revise = {"order_id": ids["bob"], "limit_ucoin_per_kwh": 210_000}
    assert at.refused(tx.ReviseOrder, "bob", **revise) == (Reason.TOO_EARLY, "round_id")
    at.block(at=CLEAR_S)
    assert at.refused(tx.ReviseOrder, "bob", **revise) == (Reason.TOO_LATE, "round_id")
    unknown = revise | {"round_id": round_id(1)}
    assert at.refused(tx.ReviseOrder, "bob", **unknown) == (Reason.UNKNOWN_ROUND, "round_id")
    other = hub(Mechanism.WELFARE_PAIRS)
    order_id = other.buy("bob")
    other.gate()
    revise = {"order_id": order_id, "limit_ucoin_per_kwh": 210_000}
    assert other.refused(tx.ReviseOrder, "bob", **revise) == (Reason.OUT_OF_RANGE, "round_id")


def test_a_first_round_of_one_side_is_the_last() -> None:
    at = hub(Mechanism.V2V)
    at.buy("ann", limit_ucoin_per_kwh=250_000)
    assert at.gate() == ["cleared"]
    assert awards(at) == {"ann": (500, RETAIL)}


def random_book(seed: int, mechanism: Mechanism) -> tuple[Book, dict[bytes, int]]:
    draw = Random(seed)
    feed_in, retail = draw.choice(((40_000, 300_000), (0, 120_000), (200_000, 210_000)))
    prices = Prices(
        price_rule=PriceRule.MARGINAL, retail_ucoin_per_kwh=retail, feed_in_ucoin_per_kwh=feed_in,
        network_fee_ucoin_per_kwh=draw.choice((0, 15_000)), platform_fee_ucoin_per_kwh=0,
        levy_ucoin_per_kwh=0, lost_load_ucoin_per_kwh=LOST_LOAD,
        shortfall_penalty_ucoin_per_kwh=0, failed_clearing_penalty_ucoin=0,
    )  # fmt: skip
    twice, lot_wh = mechanism == Mechanism.V2V, 500 if mechanism == Mechanism.SBBA else 0
    buys, sells = [], []
    for at in range(draw.randint(0, 8)):
        limit, most = draw.randint(feed_in, retail), draw.randint(500, 9_000)
        high = draw.randint(20_000, LOST_LOAD) if twice else limit
        buys.append(BuyOrder(
            order_id=bytes([1, at]) * 16, owner=bytes(32), port=f"b{at}", max_wh=most,
            min_wh=draw.choice((0, draw.randint(0, most))), price_high_ucoin_per_kwh=high,
            price_low_ucoin_per_kwh=draw.randint(10_000, high) if twice else limit,
            held_ucoin=0, limit_ucoin_per_kwh=limit if twice else 0,
        ))  # fmt: skip
    for at in range(draw.randint(0, 6)):
        limit = draw.randint(feed_in, retail)
        sells.append(SellOrder(
            order_id=bytes([2, at]) * 16, owner=bytes(32), port=f"s{at}",
            max_wh=draw.randint(500, 9_000), ask_ucoin_per_kwh=limit // 2 if twice else limit,
            slope_ucoin_per_kwh2=20_000 if twice else 0, held_ucoin=0,
            limit_ucoin_per_kwh=limit if twice else 0,
        ))  # fmt: skip
    flows = draw.choice((0, 3_000, 10**6)), draw.choice((0, 3_000, 10**6))
    book = Book(mechanism, buys, sells, prices, *flows, seed=bytes([seed % 256]) * 32)
    revised = {
        each.order_id: retail if isinstance(each, BuyOrder) else feed_in
        for each in (*buys, *sells) if twice and draw.random() < 0.5
    }  # fmt: skip
    return book._replace(lot_wh=lot_wh), revised


@pytest.mark.parametrize("mechanism", [*AUCTIONS, Mechanism.V2V])
def test_nobody_pays_beyond_a_limit_and_the_pool_is_never_short(mechanism: Mechanism) -> None:
    for seed in range(400):
        book, revised = random_book(seed, mechanism)
        done, terms = clear_among_cars(book, revised), book.prices
        outcome = done.outcome
        inward = sum(outcome.sold_wh) + outcome.import_wh
        assert sum(outcome.bought_wh) + outcome.export_wh == inward, seed
        assert 0 <= outcome.import_wh <= book.import_limit_wh, seed
        assert 0 <= outcome.export_wh <= book.export_limit_wh, seed
        for buy, wh, paid in zip(book.buys, outcome.bought_wh, done.buyer_prices, strict=True):
            limit = revised.get(buy.order_id, limit_of(book, buy))
            assert 0 <= wh <= buy.max_wh, seed
            beyond = min(wh, buy.min_wh) * max(terms.retail_ucoin_per_kwh - limit, 0)
            assert paid * wh <= limit * wh + beyond + wh, seed
        for sell, wh, got in zip(book.sells, outcome.sold_wh, done.seller_prices, strict=True):
            limit = revised.get(sell.order_id, limit_of(book, sell))
            assert 0 <= wh <= sell.max_wh, seed
            assert not wh or got >= limit, seed
        paid = sum(p * e for p, e in zip(done.buyer_prices, outcome.bought_wh, strict=True))
        got = sum(p * e for p, e in zip(done.seller_prices, outcome.sold_wh, strict=True))
        grid = terms.retail_ucoin_per_kwh * outcome.import_wh
        grid -= terms.feed_in_ucoin_per_kwh * outcome.export_wh
        fees = terms.local_fee_ucoin_per_kwh * (sum(outcome.sold_wh) - outcome.export_wh)
        assert paid - got - grid - fees >= 0, seed
        assert done.gap_ucoin >= 0, seed
