"""The one door: genesis, nonces, traces, both clocks, rules by height."""

from __future__ import annotations

from typing import Any

import pytest
from small_hub import (
    CHAIN_ID,
    OK,
    PRODUCTION_ID,
    START_S,
    USUAL,
    SmallHub,
    answer,
    genesis,
    key,
    public,
)

from peerwatt.contracts import ledger
from peerwatt.contracts.state import ACCOUNTS, CHAIN, CHAIN_KEY, MEMBERS, POT
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.records import transactions as tx
from peerwatt.records.codec import encode
from peerwatt.records.market import TariffStep
from peerwatt.records.members import Account, Member
from peerwatt.records.receipts import Reason

NOTHING = {"to": public("grid"), "amount_ucoin": 0}


def test_genesis_writes_the_chain_its_members_and_empty_accounts() -> None:
    hub = SmallHub()
    names = [member.name for _, member in hub.items(MEMBERS)]
    assert sorted(names) == ["authority", "grid", "issuer", "operator", "regulator", "supplier"]
    keys = {at for at, _ in hub.items(ACCOUNTS)}
    assert keys == {POT, public("clock"), *(public(name) for name in names)}
    assert {record for _, record in hub.items(ACCOUNTS)} == {Account()}
    chain = hub.get(CHAIN, CHAIN_KEY)
    assert (chain.chain_id, chain.market_time_s, chain.issued_ucoin) == (CHAIN_ID, START_S, 0)


TWO = genesis().members[:2]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"members": ()}, "members"),
        ({"members": TWO[::-1]}, "members"),
        ({"members": (TWO[0], TWO[0])}, "members"),
        ({"members": (Member(key=bytes(32), name="pot", roles=0),)}, "members"),
        ({"members": (Member(key=bytes([1]) * 32, name="x", roles=64),)}, "members"),
        ({"tick_key": b"short"}, "tick_key"),
        ({"tick_key": b""}, "chain_id"),
        ({"rules_version": 0}, "rules_version"),
        ({"rules_version": 2}, "rules_version"),
        ({"chain_id": "Not a name"}, "chain_id"),
        ({"start_s": -1}, "start_s"),
        ({"mint_epoch_s": 0}, "mint_epoch_s"),
        ({"mint_cap_ucoin": -1}, "mint_cap_ucoin"),
        ({"max_orders": 0}, "max_orders"),
        ({"max_orders": 100_001}, "max_orders"),
        ({"max_work": 0}, "max_work"),
        ({"dispute_window_s": -1}, "dispute_window_s"),
        ({"dispute_window_s": 366 * 86_400 + 1}, "dispute_window_s"),
    ],
)
def test_a_genesis_that_cannot_be_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    document = encode(genesis(**changes))
    with pytest.raises(ValueError, match=rf"^{field}\b"):
        EmbeddedHost(ledger, Store(None), key("operator"), document)


def test_a_refused_message_consumes_its_nonce_in_a_block_and_not_at_admission() -> None:
    hub = SmallHub()
    too_much = hub.sign(tx.Transfer, "operator", to=public("grid"), amount_ucoin=1)
    receipt = hub.host.submit(too_much)
    assert (receipt.reason, hub.account("operator").nonce) == (Reason.UNFUNDED, 0)
    assert hub.block(too_much) == [(Reason.UNFUNDED, "amount_ucoin")]
    assert hub.account("operator") == Account(nonce=1)
    assert hub.block(too_much) == [(Reason.WRONG_NONCE, "nonce")]
    assert hub.account("operator") == Account(nonce=1)


@pytest.mark.parametrize("changes", [{"chain_id": "sim-other"}, {"nonce": 1}])
def test_what_is_not_its_signers_next_message_here_leaves_no_trace(changes: dict[str, Any]) -> None:
    hub = SmallHub()
    before = hub.rows_by_slot()
    [refusal] = hub.block(hub.sign(tx.Transfer, "operator", **NOTHING, **changes))
    assert refusal.reason in (Reason.WRONG_CHAIN, Reason.WRONG_NONCE)
    assert hub.rows_by_slot() == before


def test_a_stranger_leaves_no_trace_either() -> None:
    """Else anyone could fill the state with accounts."""
    hub = SmallHub()
    before = hub.rows_by_slot()
    wallet = hub.sign(tx.OpenWallet, "eve", authority=public("authority"), token=bytes(64))
    assert answer(hub.host.submit(wallet)) == (Reason.BAD_COSIGNATURE, "token")
    answers = hub.block(wallet, hub.sign(tx.Transfer, "mallory", **NOTHING))
    assert [each.reason for each in answers] == [Reason.BAD_COSIGNATURE, Reason.UNKNOWN_SIGNER]
    assert hub.rows_by_slot() == before


def test_messages_of_one_signer_follow_one_another_in_a_block() -> None:
    hub = SmallHub()
    several = [hub.sign(tx.Transfer, "operator", **NOTHING) for _ in range(3)]
    assert hub.block(*several) == [OK] * 3
    swapped = [hub.sign(tx.Transfer, "operator", **NOTHING) for _ in range(2)]
    assert hub.block(*reversed(swapped)) == [(Reason.WRONG_NONCE, "nonce"), OK]


def test_validity_ends_after_its_last_second() -> None:
    hub = SmallHub()
    last = hub.sign(tx.Transfer, "operator", valid_until_s=START_S + 5, **NOTHING)
    assert hub.block(last, at=START_S + 5) == [OK]
    late = hub.sign(tx.Transfer, "operator", valid_until_s=START_S + 5, **NOTHING)
    assert hub.block(late, at=START_S + 6) == [(Reason.EXPIRED, "valid_until_s")]


def test_ticks_alone_move_market_time_on_a_tick_chain() -> None:
    hub = SmallHub()
    hub.now_s = START_S + 1_000
    hub.block()
    assert hub.get(CHAIN, CHAIN_KEY).market_time_s == START_S
    hub.do(tx.Tick, "clock", time_s=START_S + 60)
    assert hub.get(CHAIN, CHAIN_KEY).market_time_s == START_S + 60
    assert hub.host.head is not None
    assert hub.host.head.header.context.market_time_s == START_S + 60


def test_block_time_is_market_time_on_any_other_chain() -> None:
    hub = SmallHub(chain_id=PRODUCTION_ID, tick_key=b"")
    hub.block(at=START_S + 9)
    assert hub.get(CHAIN, CHAIN_KEY).market_time_s == START_S + 9
    refusal = hub.refused(tx.Tick, "operator", time_s=START_S + 10)
    assert refusal == (Reason.NOT_TICK_CLOCK, "signer")


def test_a_whole_market_on_block_time() -> None:
    hub = SmallHub(chain_id=PRODUCTION_ID, tick_key=b"").site().drivers("ann", "bob").open()
    hub.buy("ann")
    hub.sell("bob")
    assert hub.gate() == ["cleared"]
    assert hub.report({"": 0, "p1": 2_000, "p2": -2_000}) == [OK]
    assert hub.round().totals is not None


def test_new_rules_hold_from_their_height_and_old_software_stops_there() -> None:
    hub = SmallHub(members=(Member(key=public("operator"), name="operator", roles=1),))
    hub.do(tx.ProposeChange, "operator", change=tx.UpgradeRules(rules_version=2, height=4))
    hub.block()
    hub.block()
    assert (hub.host.height, hub.get(CHAIN, CHAIN_KEY).rules_version) == (3, 1)
    before = hub.rows_by_slot()
    with pytest.raises(RuntimeError, match="rules version 2 needs newer software"):
        hub.block()
    assert (hub.host.height, hub.rows_by_slot()) == (3, before)


def test_every_message_has_its_usual_form() -> None:
    assert set(USUAL) == set(tx.Message.__args__)


def test_lists_have_bounds() -> None:
    """A thousand entries a message, and not one more."""
    hub = SmallHub().site()
    fees = {name: 0 for name in USUAL[tx.PublishTariff] if "fee" in name or "levy" in name}

    def steps(count: int) -> bytes:
        listed = tuple(
            TariffStep(from_s=second, retail_ucoin_per_kwh=2, feed_in_ucoin_per_kwh=0)
            for second in range(count)
        )
        return hub.sign(tx.PublishTariff, "supplier", cosigner="grid", tariff="long",
                        steps=listed, **fees)  # fmt: skip

    assert hub.rejected(steps(1_001)) == (Reason.TOO_MANY, "steps")
    assert hub.block(steps(1_000)) == [OK]
    reading = hub.reading("p1", 0)
    hub.open()
    hub.drivers("ann")
    hub.buy("ann")
    hub.gate()
    hub.block(at=USUAL[tx.OpenRound]["slot_end_s"])
    many = {"readings": (reading,) * 1_001}
    assert hub.refused(tx.ReportReadings, "operator", **many) == (Reason.TOO_MANY, "readings")
