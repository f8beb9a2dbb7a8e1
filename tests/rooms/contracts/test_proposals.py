"""Clearings that members propose: what wins, what is refused, and what a dishonest one costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fines import FAILED_PENALTY
from proposing import proposal
from small_hub import (
    CLEAR_LEAD_S,
    FIRST_SLOT_S,
    GATE_LEAD_S,
    OK,
    Answer,
    SmallHub,
    end_s,
    public,
    round_id,
)

from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode
from peerwatt.records.market import Mechanism, RoundStatus, prices_hash
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN

CLEAR_BY_S = FIRST_SLOT_S - CLEAR_LEAD_S
# Ann's curve ends at 200,000 with 2 kWh; Bob's 2 kWh at slope 10,000 cost 170,000 with the fees,
# so that she takes all of them at 190,000: nothing better is possible.
HONEST = {"ann": 190_000, "bob": 170_000}


def closed(*, funded: tuple[str, ...] = ("regulator", "grid"), **opened: object) -> SmallHub:
    """The gate has fallen over Ann's and Bob's orders, and members have coins for the penalty."""
    hub = SmallHub().site().drivers("ann", "bob")
    hub.block(*(hub.minted(name, 100) for name in funded))
    hub.open(mechanism=Mechanism.WELFARE_PAIRS, **opened)
    hub.buy("ann")
    hub.sell("bob")
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    return hub


def accepted(hub: SmallHub, transaction: bytes) -> None:
    assert hub.host.submit(transaction).ok
    assert hub.block() == [OK]


def test_prices_make_the_awards() -> None:
    hub = closed()
    assert hub.round().status == RoundStatus.CLOSED
    accepted(hub, proposal(hub, at=HONEST))
    proposed = hub.round().proposed
    assert proposed is not None
    assert proposed.gap_ucoin <= 1
    assert hub.round().status == RoundStatus.PROPOSED
    hub.block(at=CLEAR_BY_S)
    assert hub.events() == ["cleared"]
    awards = hub.rows("awards")
    assert {port: (each.energy_wh, each.price_ucoin_per_kwh) for port, each in awards.items()} == {
        "p1": (2_000, 190_000),
        "p2": (2_000, 170_000),
    }
    clearing = hub.round().clearing
    assert clearing is not None
    assert (clearing.proposer, clearing.sellers_dropped) == (public("operator"), False)
    assert clearing.traded_ucoin in (379_999, 380_000)


def test_a_proposed_round_is_settled_like_any_other() -> None:
    hub = closed()
    accepted(hub, proposal(hub, at=HONEST))
    hub.block(at=CLEAR_BY_S)
    hub.block(at=end_s(0))
    before = hub.free("bob")
    hub.report({"p1": 2_000, "p2": -2_000, "": 0})
    totals = hub.round().totals
    assert totals is not None
    assert (totals.paid_ucoin, totals.received_ucoin) == (380_000, 340_000)
    assert hub.free("bob") > before
    assert totals.network_fee_ucoin + totals.platform_fee_ucoin + totals.levy_ucoin == 40_000
    assert totals.pot_ucoin == 0


def test_nobody_proposes_and_cars_fall_back_to_the_grid() -> None:
    """An operator that withholds gains nothing by it: buyers get theirs at retail."""
    hub = closed()
    hub.block(at=CLEAR_BY_S)
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.sellers_dropped
    assert clearing.proposer == b""
    awards = hub.rows("awards")
    assert set(awards) == {"p1"}
    assert awards["p1"].price_ucoin_per_kwh == 300_000
    assert hub.account("bob").held_ucoin == 0


def test_any_member_may_step_in_for_an_operator_that_withholds() -> None:
    hub = closed()
    accepted(hub, proposal(hub, "regulator", at=HONEST))
    hub.block(at=CLEAR_BY_S)
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.proposer == public("regulator")


def test_the_smallest_gap_wins_whoever_came_first() -> None:
    hub = closed()
    shaded = HONEST | {"ann": 189_990}
    accepted(hub, proposal(hub, "operator", at=shaded))
    worse = hub.round().proposed
    accepted(hub, proposal(hub, "regulator", at=HONEST))
    accepted(hub, proposal(hub, "grid", at=HONEST | {"ann": 189_980}))
    best = hub.round().proposed
    assert worse is not None
    assert best is not None
    assert best.gap_ucoin < worse.gap_ucoin
    hub.block(at=CLEAR_BY_S)
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.proposer == public("regulator")
    assert hub.host.items("prices", round_id()) == []


LIES: dict[str, tuple[Callable[[SmallHub], bytes], Reason, str]] = {
    "omits an order": (
        lambda hub: repriced(hub, lambda prices: prices[:1]),
        Reason.INCOMPLETE,
        "prices",
    ),
    "prices an order that is not there": (
        lambda hub: repriced(hub, lambda prices: (*prices, 1)),
        Reason.INCOMPLETE,
        "prices",
    ),
    "sends less than is best": (
        lambda hub: proposal(hub, at=HONEST | {"ann": 188_000}),
        Reason.NOT_OPTIMAL,
        "prices",
    ),
    "gives a friend more than it wants": (
        lambda hub: proposal(hub, at=HONEST | {"ann": 191_000}),
        Reason.AGAINST_BID,
        "prices[{ann}]",
    ),
    "has a buyer pay above lost load": (
        lambda hub: proposal(hub, at=HONEST | {"ann": 500_001}),
        Reason.AGAINST_BID,
        "prices[{ann}]",
    ),
    "keeps a seller out": (
        lambda hub: proposal(hub, at={"ann": 300_000, "bob": 300_000}),
        Reason.NOT_OPTIMAL,
        "prices",
    ),
    "shades a seller's reserve": (
        lambda hub: proposal(hub, at=HONEST | {"bob": 169_999}),
        Reason.BELOW_COST,
        "prices[{bob}]",
    ),
    "clears a stale book": (
        lambda hub: proposal(hub, at=HONEST, orders_root=bytes(32)),
        Reason.WRONG_BOOK,
        "orders_root",
    ),
    "names the hash of other prices": (
        lambda hub: proposal(hub, at=HONEST, prices_hash=bytes(32)),
        Reason.INCOMPLETE,
        "prices_hash",
    ),
}


def repriced(hub: SmallHub, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> bytes:
    """An honest proposal whose list of prices is changed, its hash with it."""
    honest = tuple(
        HONEST[{"p1": "ann", "p2": "bob"}[order.port]] * PCOIN_PER_UCOIN
        for _, order in hub.host.items("orders", round_id())
    )
    prices = change(honest)
    return proposal(hub, at=HONEST, prices=prices, prices_hash=prices_hash(prices))


@pytest.mark.parametrize("lie", LIES)
def test_a_dishonest_clearing_is_refused_on_both_paths_and_fined_in_the_block(lie: str) -> None:
    """`refused` compares admission with the block, and what the block took: the penalty."""
    hub = closed()
    made, reason, field = LIES[lie]
    ports = [order.port for _, order in hub.host.items("orders", round_id())]
    named = field.format(ann=ports.index("p1"), bob=ports.index("p2"))
    before = hub.free("operator")
    assert hub.rejected(made(hub)) == Answer(reason, named)
    assert hub.free("operator") == before - FAILED_PENALTY
    accepted(hub, proposal(hub, "regulator", at=HONEST))


def test_a_limit_of_the_connection_cannot_be_ignored() -> None:
    hub = SmallHub().site(coins=1_000).drivers("ann", "bob")
    hub.do(tx.PublishLimits, "grid")
    hub.open(mechanism=Mechanism.WELFARE_PAIRS)
    hub.buy("ann", max_wh=2_750, price_low_ucoin_per_kwh=400_000)
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    assert hub.rejected(proposal(hub, at={"ann": 300_000})).reason == Reason.BEYOND_LIMIT


def test_who_proposes_two_clearings_pays_for_the_second() -> None:
    hub = closed()
    accepted(hub, proposal(hub, at=HONEST))
    again = hub.rejected(proposal(hub, at=HONEST))
    assert again == Answer(Reason.ALREADY_EXISTS, "prices_hash")
    before = hub.free("operator")
    other = hub.rejected(proposal(hub, at=HONEST | {"ann": 189_990}))
    assert other == Answer(Reason.CONFLICTING, "prices_hash")
    assert hub.free("operator") == before - FAILED_PENALTY


def test_one_wh_more_or_less_cannot_be_slipped_in() -> None:
    """Awards are derived: to move a Wh a price must move, which widens the gap, so that the honest
    proposal of anybody else wins."""
    hub = closed()
    for_one_wh = {"ann": 190_000 - 10}
    accepted(hub, proposal(hub, at=HONEST | for_one_wh))
    shifted = hub.round().proposed
    accepted(hub, proposal(hub, "regulator", at=HONEST))
    best = hub.round().proposed
    assert shifted is not None
    assert best is not None
    assert best.proposer == public("regulator")
    hub.block(at=CLEAR_BY_S)
    assert hub.rows("awards")["p1"].energy_wh == 2_000


def test_long_lists_come_in_parts() -> None:
    hub = closed()
    listed = decoded(proposal(hub, at=HONEST)).prices
    hub.block()
    first, second = (
        proposal(hub, at=HONEST, prices=(listed[at],), part=at, parts=2) for at in (0, 1)
    )
    assert hub.block(first) == [OK]
    assert hub.round().status == RoundStatus.CLOSED
    assert hub.block(second) == [OK]
    assert hub.round().status == RoundStatus.PROPOSED


def decoded(transaction: bytes) -> tx.ProposeClearing:
    message = tx.decode_message(decode(transaction, tx.Transaction).message)
    assert isinstance(message, tx.ProposeClearing)
    return message


def test_parts_come_in_order_and_of_one_whole() -> None:
    hub = closed()
    listed = decoded(proposal(hub, at=HONEST)).prices
    hub.block()
    part = {"parts": 2, "prices": listed[:1]}
    out_of_order = Answer(Reason.OUT_OF_ORDER, "part")
    assert hub.rejected(proposal(hub, at=HONEST, **part | {"part": 1})) == out_of_order
    assert hub.rejected(proposal(hub, at=HONEST, **part | {"part": 2})) == out_of_order
    assert hub.rejected(proposal(hub, at=HONEST, parts=0)) == Answer(Reason.TOO_MANY, "parts")
    accepted(hub, proposal(hub, at=HONEST, **part | {"part": 0}))
    other = proposal(hub, at=HONEST, **part | {"part": 1, "prices_hash": bytes(32)})
    assert hub.rejected(other) == Answer(Reason.OUT_OF_ORDER, "prices_hash")
    accepted(hub, proposal(hub, at=HONEST))


def test_when_and_by_whom() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open(mechanism=Mechanism.WELFARE_PAIRS)
    hub.open(1)
    hub.buy("ann")
    early = hub.rejected(proposal(hub, at={"ann": 300_000}))
    assert early == Answer(Reason.TOO_EARLY, "round_id")
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    for by, reason, field, changes in (
        ("ann", Reason.NOT_PERMITTED, "signer", {}),
        ("regulator", Reason.UNFUNDED, "signer", {}),
        ("operator", Reason.UNKNOWN_ROUND, "round_id", {"round_id": round_id(7)}),
        ("operator", Reason.OUT_OF_RANGE, "round_id", {"round_id": round_id(1)}),
    ):
        refused = hub.rejected(proposal(hub, by, at={"ann": 300_000}, **changes))
        assert refused == Answer(reason, field), by
    hub.block(at=CLEAR_BY_S)
    late = hub.rejected(
        hub.sign(
            tx.ProposeClearing,
            "operator",
            orders_root=hub.round().orders_root,
            prices_hash=prices_hash((1,)),
            prices=(1,),
        )
    )
    assert late == Answer(Reason.TOO_LATE, "round_id")


def test_a_pair_needs_a_slope() -> None:
    hub = SmallHub().site().drivers("bob").open(mechanism=Mechanism.WELFARE_PAIRS)
    flat = hub.refused(tx.PlaceSellOrder, "bob", port="p2", slope_ucoin_per_kwh2=0)
    assert flat == Answer(Reason.OUT_OF_RANGE, "slope_ucoin_per_kwh2")


def test_a_supplier_without_coins_leaves_the_sellers_out() -> None:
    hub = closed()
    accepted(hub, proposal(hub, at=HONEST))
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier"))
    hub.block(at=CLEAR_BY_S)
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.sellers_dropped
    assert clearing.proposer == b""


def test_awards_are_derived_again_from_the_sealed_prices() -> None:
    from peerwatt.audit.rederive import rederive

    hub = closed()
    accepted(hub, proposal(hub, at=HONEST))
    hub.block(at=CLEAR_BY_S)
    hub.block()
    found = rederive(hub.host)
    assert (found.awards, found.differing) == (2, [])
