"""What a hostile member, clock, operator or stranger once could do, and no longer can."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from small_hub import (
    FIRST_SLOT_S,
    OK,
    SETTLE_LAG_S,
    SLOT_S,
    START_S,
    WINDOW_S,
    SmallHub,
    end_s,
    genesis,
    key,
    public,
    round_id,
    times,
)

from peerwatt.contracts.state import CHAIN, CHAIN_KEY, POT
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.market import Clearing, Flag, RoundStatus, SlotLimit, TariffStep
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason
from peerwatt.units import MAX_UCOIN


def a_market(**changes: int) -> SmallHub:
    """Ann has bought from bob for the first slot, and the gate has fallen."""
    hub = SmallHub(**changes).site().drivers("ann", "bob").open()
    hub.buy("ann")
    hub.sell("bob")
    assert hub.gate() == ["cleared"]
    return hub


def carried(hub: SmallHub, change: tx.Change) -> None:
    """Every member votes for a change."""
    proposal = hub.do(tx.ProposeChange, "operator", change=change)
    for member in ("grid", "regulator", "authority", "issuer"):
        hub.do(tx.Vote, member, proposal_id=proposal)


# --- clock


def test_a_tick_that_is_refused_does_not_move_the_clock() -> None:
    hub = SmallHub()
    later = START_S + 60
    expired = hub.sign(tx.Tick, "clock", time_s=later, valid_until_s=later - 1)
    assert hub.rejected(expired) == (Reason.EXPIRED, "valid_until_s")
    assert hub.get(CHAIN, CHAIN_KEY).market_time_s == START_S
    forged = tx.Transaction(message=b"", signature=bytes(64), cosigner=public("eve"))
    message = decode(hub.sign(tx.Tick, "clock", time_s=later), tx.Transaction).message
    forged = replace(
        forged, message=message,
        signature=key("clock").sign(tx.TRANSACTION_DOMAIN, hub.chain_id, message + public("eve")),
    )  # fmt: skip
    assert hub.rejected(encode(forged)) == (Reason.BAD_COSIGNATURE, "cosignature")
    assert hub.get(CHAIN, CHAIN_KEY).market_time_s == START_S


def test_a_tick_behind_others_is_refused_at_once_and_not_only_in_its_block() -> None:
    hub = SmallHub()
    assert hub.host.submit(hub.sign(tx.Transfer, "grid", to=public("grid"), amount_ucoin=0)).ok
    receipt = hub.host.submit(hub.sign(tx.Tick, "clock"))
    assert (receipt.reason, receipt.field) == (Reason.OUT_OF_ORDER, "time_s")
    hub.block()
    assert hub.host.submit(hub.sign(tx.Tick, "clock")).ok


def test_a_cosignature_of_nobody_is_refused() -> None:
    hub = SmallHub()
    message = decode(hub.sign(tx.Tick, "clock"), tx.Transaction).message
    data = message + bytes(64)
    signature = key("clock").sign(tx.TRANSACTION_DOMAIN, hub.chain_id, data)
    transaction = tx.Transaction(message=message, signature=signature, cosignature=bytes(64))
    assert hub.rejected(encode(transaction)) == (Reason.BAD_COSIGNATURE, "cosignature")


# --- members and coins


def test_a_member_cannot_become_a_wallet_and_so_escape_votes_on_its_roles() -> None:
    hub = SmallHub()
    assert hub.rejected(hub.wallet("operator")) == (Reason.ALREADY_EXISTS, "signer")


def test_nobody_is_given_roles_that_do_not_exist_yet() -> None:
    change = tx.AddMember(member=Member(key=public("new"), name="new", roles=64))
    refusal = SmallHub().refused(tx.ProposeChange, "operator", change=change)
    assert refusal == (Reason.MALFORMED, "change")


def test_the_pot_is_nobodys() -> None:
    change = tx.AddMember(member=Member(key=POT, name="pot", roles=Role.AGGREGATOR))
    hub = SmallHub()
    assert hub.refused(tx.ProposeChange, "operator", change=change) == (
        Reason.ALREADY_EXISTS, "change",
    )  # fmt: skip
    pot = Member(key=POT, name="pot", roles=1)
    for changes in ({"tick_key": POT}, {"members": (pot, *genesis().members)}):
        with pytest.raises(ValueError, match="pot's key"):
            SmallHub(**changes)


def test_a_vote_for_what_can_no_longer_be_done_names_a_field_of_the_vote() -> None:
    hub = SmallHub()
    proposal = hub.do(tx.ProposeChange, "operator", change=tx.RemoveMember(key=public("grid")))
    carried(hub, tx.RemoveMember(key=public("grid")))
    refusal = hub.refused(tx.Vote, "supplier", proposal_id=proposal)
    assert refusal == (Reason.TOO_LATE, "proposal_id")


def test_more_coins_than_an_account_can_count_are_never_issued() -> None:
    """A record beyond its bounds is written, but cannot be read when the node starts again."""
    hub = SmallHub(mint_cap_ucoin=MAX_UCOIN, mint_epoch_s=1)
    to, half = public("operator"), MAX_UCOIN // 2
    mint = {"cosigner": "regulator", "to": to, "amount_ucoin": half}
    hub.do(tx.Mint, "issuer", **mint)
    hub.block(at=START_S + 1)
    hub.do(tx.Mint, "issuer", **mint, deposit_reference=digest(b"2"))
    hub.block(at=START_S + 2)
    refusal = hub.refused(
        tx.Mint, "issuer", **mint | {"amount_ucoin": 1}, deposit_reference=digest(b"3")
    )
    assert refusal == (Reason.OVER_CAP, "amount_ucoin")


def test_a_rounds_sums_may_be_larger_than_one_order() -> None:
    most = 24 * 10**9 * 100_000
    clearing = Clearing(
        price_ucoin_per_kwh=1, buyer_price_ucoin_per_kwh=1, bought_wh=most, sold_wh=most,
        import_wh=0, export_wh=0, supplier_held_ucoin=0, sellers_dropped=False,
        proposer=b"", gap_ucoin=0, traded_ucoin=0,
    )  # fmt: skip
    assert decode(encode(clearing), Clearing) == clearing


# --- those who have left


def test_a_removed_grid_operator_limits_nothing() -> None:
    hub = SmallHub().site()
    carried(hub, tx.RemoveMember(key=public("grid")))
    assert hub.refused(tx.PublishLimits, "grid") == (Reason.NOT_PERMITTED, "signer")


def test_a_removed_suppliers_tariff_opens_no_round() -> None:
    hub = SmallHub().site()
    carried(hub, tx.RemoveMember(key=public("supplier")))
    assert hub.refused(tx.OpenRound, "operator") == (Reason.UNKNOWN_TARIFF, "tariff")


def test_another_grid_operators_fees_are_not_this_sites() -> None:
    hub = SmallHub().site()
    other = Member(key=public("other grid"), name="other", roles=Role.GRID_OPERATOR)
    carried(hub, tx.AddMember(member=other))
    hub.do(tx.PublishTariff, "supplier", cosigner="other grid", tariff="cheap",
           network_fee_ucoin_per_kwh=0)  # fmt: skip
    refusal = hub.refused(tx.OpenRound, "operator", tariff="cheap")
    assert refusal == (Reason.UNKNOWN_TARIFF, "tariff")


# --- slots


@pytest.mark.parametrize("shift", [-450, -1, 1, 450])
def test_a_slot_cannot_be_moved_past_its_limit_or_over_its_neighbour(shift: int) -> None:
    """The limits of a slot are found by its start, and two rounds may not share the connection."""
    hub = SmallHub().site()
    hub.do(tx.PublishLimits, "grid")
    moved = {name: time_s + shift for name, time_s in times(0).items()}
    refusal = hub.refused(tx.OpenRound, "operator", **moved)
    assert refusal == (Reason.OUT_OF_RANGE, "slot_start_s")
    limit = SlotLimit(slot_start_s=FIRST_SLOT_S + shift, import_limit_w=0, export_limit_w=0)
    assert hub.refused(tx.PublishLimits, "grid", limits=(limit,)) == (
        Reason.OUT_OF_RANGE, "limits",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, SLOT_S - 1, SLOT_S + 1, 2 * SLOT_S])
def test_a_slot_has_its_sites_length(length: int) -> None:
    slot_end_s = FIRST_SLOT_S + length
    refusal = SmallHub().site().refused(
        tx.OpenRound, "operator", slot_end_s=slot_end_s, settle_by_s=slot_end_s + 1
    )  # fmt: skip
    assert refusal == (Reason.OUT_OF_RANGE, "slot_end_s")


def test_an_operator_cannot_stretch_a_slot_over_two_prices() -> None:
    cheap = TariffStep(from_s=START_S, retail_ucoin_per_kwh=90_000, feed_in_ucoin_per_kwh=10_000)
    dear = replace(cheap, from_s=FIRST_SLOT_S + SLOT_S - 1, retail_ucoin_per_kwh=400_000)
    hub = SmallHub().site(steps=(cheap, dear))
    assert hub.refused(tx.OpenRound, "operator") == (Reason.OUT_OF_RANGE, "tariff")
    hub.open(1)
    assert hub.round(1).prices.retail_ucoin_per_kwh == 400_000


def test_nothing_is_fixed_for_the_far_future() -> None:
    hub = SmallHub().site()
    far_s = START_S + 31 * 86_400
    refusal = hub.refused(tx.OpenRound, "operator", settle_by_s=far_s + 1)
    assert refusal == (Reason.OUT_OF_RANGE, "settle_by_s")
    hub.do(tx.OpenRound, "operator", settle_by_s=far_s)
    beyond = -(-(far_s + 1) // SLOT_S) * SLOT_S
    limit = SlotLimit(slot_start_s=beyond, import_limit_w=0, export_limit_w=0)
    assert hub.refused(tx.PublishLimits, "grid", limits=(limit,)) == (
        Reason.OUT_OF_RANGE, "limits",
    )  # fmt: skip


# --- rounds


def test_a_book_that_nothing_can_serve_has_no_price_above_lost_load() -> None:
    hub = SmallHub()
    tariff = {"lost_load_ucoin_per_kwh": 10**9}
    hub.site(**tariff).drivers("ann", coins=10_000)
    nothing = SlotLimit(slot_start_s=FIRST_SLOT_S, import_limit_w=0, export_limit_w=0)
    hub.do(tx.PublishLimits, "grid", limits=(nothing,))
    hub.open().buy("ann")
    assert hub.gate() == ["cleared"]
    clearing = hub.round().clearing
    assert clearing is not None
    assert (clearing.price_ucoin_per_kwh, clearing.bought_wh) == (10**9, 0)
    assert decode(encode(hub.round()), type(hub.round())) == hub.round()


def test_a_reading_that_nobody_awaits_does_not_end_the_round_early() -> None:
    """Its settlement waits for its turn when the reading comes. It was due twice from then on,
    once to settle and once to end, and the end of the dispute window then stopped the node."""
    hub = SmallHub(max_work=1).site().drivers("ann").open()
    hub.buy("ann")
    hub.gate()
    readings = hub.readings({"": 2_000, "p1": 2_000})
    report = hub.sign(tx.ReportReadings, "operator", readings=readings)
    assert hub.block(report, at=end_s(0)) == [OK]
    assert (hub.round().status, hub.round().awaited_readings) == (RoundStatus.DELIVERED, 0)
    late = hub.sign(tx.ReportReadings, "operator", readings=hub.readings({"p2": 0}))
    assert hub.block(late, at=end_s(0) + 1) == [OK]
    assert hub.round().status == RoundStatus.SETTLED
    hub.block(at=end_s(0) + SETTLE_LAG_S + WINDOW_S)
    assert hub.round().status == RoundStatus.ENDED


def test_the_dispute_window_ends_by_the_blocks_time() -> None:
    hub = a_market()
    hub.report({"": 0, "p1": 2_000, "p2": -2_000})
    assert hub.round().status == RoundStatus.SETTLED
    [order] = [row.order_id for row in hub.rows("settlements").values() if row.port == "p1"]
    over = end_s(0) + SETTLE_LAG_S + WINDOW_S
    moves = hub.sign(tx.Tick, "clock", time_s=over)
    dispute = hub.sign(tx.OpenDispute, "ann", order_id=order, valid_until_s=over)
    hub.now_s = over
    assert hub.block(moves, dispute) == [OK, (Reason.TOO_LATE, "round_id")]


def test_readings_wait_for_a_gate_that_waits_for_its_turn() -> None:
    """Not "too late": they can be brought again when the round has been cleared."""
    hub = SmallHub(max_work=1).site().drivers("ann").open(0, 1, 2)
    hub.buy("ann", slot=2)
    hub.block(at=end_s(2))
    assert hub.round(2).status == RoundStatus.OPEN
    report = hub.sign(
        tx.ReportReadings, "operator", round_id=round_id(2), readings=hub.readings({"p1": 1}, 2)
    )
    assert hub.block(report) == [(Reason.TOO_EARLY, "round_id")]


def test_whoever_is_in_arrears_is_named() -> None:
    """The main meter shows less than the cars: the supplier would owe the operator."""
    hub = a_market()
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier"))
    hub.report({"": -5_000, "p1": 2_000, "p2": -2_000})
    totals = hub.round().totals
    assert totals is not None
    assert totals.flags & Flag.SUPPLIER_IN_ARREARS
    assert not totals.flags & Flag.OPERATOR_IN_ARREARS


def test_a_sites_own_main_meter_cannot_drain_its_supplier() -> None:
    """Its operator registered it. Paid is what the connection can carry and a twentieth, and a Wh
    for each of the two other meters: 5,252 Wh at 80,000 ucoin/kWh."""
    hub = a_market()
    before = hub.free("supplier") + hub.account("supplier").held_ucoin
    hub.report({"": -(10**9), "p1": 2_000, "p2": -2_000})
    assert before - hub.free("supplier") == 420_160
    totals = hub.round().totals
    assert totals is not None
    assert totals.flags == Flag.MAIN_METER_DISAGREES
