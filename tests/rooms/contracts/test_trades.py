"""Records of trade: histories that go on, one record a purchase, and what leaves with its round."""

from __future__ import annotations

import pytest
from recording import awards, record, settled
from small_hub import (
    OK,
    SETTLE_LAG_S,
    WINDOW_S,
    Answer,
    SmallHub,
    end_s,
    public,
    round_id,
)

from peerwatt.contracts.state import HISTORIES, TRADES
from peerwatt.records.market import NO_HASH
from peerwatt.records.receipts import Reason
from peerwatt.records.trades import WalletHistory


def history(hub: SmallHub, name: str) -> WalletHistory | None:
    found: WalletHistory | None = hub.get(HISTORIES, public(name))
    return found


def test_both_wallets_histories_go_on_with_each_record() -> None:
    hub = settled(slots=2)
    assert history(hub, "ann") is history(hub, "bob") is None
    first = hub.done(record(hub))
    assert history(hub, "ann") == history(hub, "bob") == WalletHistory(count=1, head=first)
    assert history(hub, "cat") is None
    second = hub.done(record(hub, slot=1, history=first, seller_history=first))
    assert history(hub, "ann") == history(hub, "bob") == WalletHistory(count=2, head=second)


def test_two_records_of_one_block_follow_one_another() -> None:
    hub = settled(slots=2)
    first, second = record(hub), record(hub, slot=1)
    assert hub.block(first, second) == [OK, Answer(Reason.WRONG_HISTORY, "history")]


def test_a_record_moves_no_coins() -> None:
    hub = settled()
    before = {name: hub.account(name) for name in ("ann", "bob", "operator", "supplier")}
    hub.done(record(hub))
    after = {name: hub.account(name) for name in before}
    assert after["ann"].nonce == before["ann"].nonce + 1
    assert after["bob"].nonce == before["bob"].nonce, "who signs too spends no nonce"
    for name, account in before.items():
        assert (after[name].free_ucoin, after[name].held_ucoin) == (
            account.free_ucoin,
            account.held_ucoin,
        )


def test_the_mark_of_a_record_leaves_with_its_round_and_histories_stay() -> None:
    hub = settled()
    head = hub.done(record(hub))
    bought, _ = awards(hub)
    assert hub.get(TRADES, bought, round_id()).record_hash == head
    hub.block(at=end_s(0) + SETTLE_LAG_S + WINDOW_S)
    assert hub.items(TRADES, round_id()) == []
    assert history(hub, "ann") == WalletHistory(count=1, head=head)
    assert hub.rejected(record(hub, sale_id=NO_HASH)) == Answer(Reason.TOO_LATE, "round_id")


@pytest.mark.parametrize("cosigner", ["", "cat", "operator"])
def test_only_the_sellers_own_signature_counts(cosigner: str) -> None:
    hub = settled()
    answer = Answer(Reason.BAD_COSIGNATURE, "cosigner")
    assert hub.rejected(record(hub, cosigner=cosigner)) == answer


def test_a_record_without_its_energy_is_refused_even_from_a_proposer() -> None:
    hub = settled(taken_wh=0)
    assert hub.block(record(hub)) == [Answer(Reason.NOTHING_TRADED, "order_id")]
    assert history(hub, "ann") is None
