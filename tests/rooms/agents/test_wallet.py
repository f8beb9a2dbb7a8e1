"""A served history: the true one passes, and every lie about it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from msgspec.structs import replace
from recording import record, settled
from small_hub import SmallHub, key, public

from peerwatt.agents.wallet import HistoryRefused, Wallet
from peerwatt.aggregator.memory_pool import MemoryPool
from peerwatt.records import transactions as tx
from peerwatt.records.chain import UNSIGNED
from peerwatt.records.codec import encode
from peerwatt.records.histories import ProvedTransaction, ServedHistory
from peerwatt.records.receipts import HEADER_DOMAIN, Reason, SignedHeader

Lie = Callable[[ServedHistory], ServedHistory]


@cache
def traded() -> tuple[SmallHub, tuple[bytes, ...]]:
    """Ann bought of Bob in two slots and recorded it; one of her orders was refused in between."""
    hub = settled(slots=2)
    first = hub.done(record(hub))
    hub.block(hub.sign(tx.PlaceBuyOrder, "ann", round_id=b"not a round", port="p1"))
    second = hub.done(record(hub, slot=1, history=first, seller_history=first))
    hub.block()
    hub.block()
    return hub, (first, second)


def wallet(hub: SmallHub, name: str = "ann", *, index: tuple[bytes, ...] = ()) -> Wallet:
    return Wallet(public(name), hub.chain_id, public("operator"), index=index)


def served(name: str = "ann", known_height: int = 0) -> ServedHistory:
    hub, _ = traded()
    return MemoryPool(hub.host).history(public(name), known_height)


def refused(lie: Lie, name: str = "ann", *, index: bool = True) -> str:
    hub, records = traded()
    mine = wallet(hub, name, index=records if index else ())
    before = (mine.height, mine.block_id, mine.index)
    with pytest.raises(HistoryRefused) as error:
        mine.check(lie(served(name)))
    assert (mine.height, mine.block_id, mine.index) == before, "nothing is remembered of a lie"
    return str(error.value)


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_a_true_history_shows_account_messages_and_trades(name: str) -> None:
    hub, records = traded()
    mine = wallet(hub, name)
    checked = mine.check(served(name))
    assert checked.account == hub.account(name)
    assert checked.own_messages == hub.account(name).nonce
    assert [each.history for each in checked.records] == [bytes(32), records[0]]
    assert mine.index == records
    assert mine.record_head == records[1]
    assert mine.height == hub.host.height


def test_a_wallet_that_never_did_anything_has_an_empty_history() -> None:
    hub, _ = traded()
    checked = wallet(hub, "eve").check(served("eve"))
    assert (checked.own_messages, checked.records) == (0, ())


def test_messages_refused_on_record_belong_to_it() -> None:
    reasons = [each.receipt.reason for each in served().transactions]
    assert Reason.UNKNOWN_ROUND in reasons


def test_an_old_wallet_goes_on_from_the_head_that_it_knows() -> None:
    hub, records = traded()
    mine = wallet(hub)
    mine.check(served())
    hub.block()
    hub.block()
    later = MemoryPool(hub.host).history(public("ann"), mine.height)
    assert mine.check(later).records
    assert mine.height == hub.host.height
    assert mine.index == records


# --- withheld


def without(at: int) -> Lie:
    return lambda h: replace(h, transactions=h.transactions[:at] + h.transactions[at + 1 :])


def test_a_message_left_out_leaves_a_gap() -> None:
    kinds = [type(each.message).__name__ for each in served().transactions]
    for at, kind in enumerate(kinds[:-1]):
        assert f"message {at} of the wallet is missing" in refused(without(at)), kind


def test_messages_left_off_the_end_are_counted() -> None:
    last = len(served().transactions) - 1
    assert "1 of the" in refused(without(last), index=False)
    assert "messages that it signed are missing" in refused(lambda h: replace(h, transactions=()))


def test_a_sale_left_out_of_the_middle_breaks_the_chain() -> None:
    """Bob signed it as seller only, so that no counter of his tells."""
    at = next(
        i for i, t in enumerate(served("bob").transactions) if isinstance(t.message, tx.RecordTrade)
    )
    assert "does not follow the record before it" in refused(without(at), "bob", index=False)


def test_a_sale_left_off_the_end_is_in_the_index() -> None:
    last = len(served("bob").transactions) - 1
    assert refused(without(last), "bob") == "records: are not the ones that the car knows of"


def test_what_a_lost_index_cannot_show() -> None:
    """The one absence that nothing proves: a newest sale that the car never saw."""
    hub, records = traded()
    mine = wallet(hub, "bob")
    last = len(served("bob").transactions) - 1
    mine.check(without(last)(served("bob")))
    assert mine.index == records[:1]


def test_an_older_head_is_no_news() -> None:
    hub, records = traded()
    old = served()
    mine = wallet(hub, index=records)
    hub.block()
    mine.check(MemoryPool(hub.host).history(public("ann")))
    with pytest.raises(HistoryRefused, match="head: is older than block"):
        mine.check(old)


# --- altered and reordered


def changed(at: int, **fields: object) -> Lie:
    def lie(h: ServedHistory) -> ServedHistory:
        each = replace(h.transactions[at], **fields)
        return replace(h, transactions=(*h.transactions[:at], each, *h.transactions[at + 1 :]))

    return lie


def test_another_message_under_the_same_proof() -> None:
    other = served("bob").transactions[0].transaction
    assert "in_block: the transaction is not in this block" in refused(
        changed(0, transaction=other)
    )


def test_bytes_that_are_no_transaction() -> None:
    assert refused(changed(0, transaction=b"\xc1")).startswith("transactions[0]: transaction: ")


def test_a_refusal_that_is_said_to_be_an_acceptance() -> None:
    found = served().transactions
    at = next(at for at, each in enumerate(found) if not each.receipt.ok)
    fine = replace(found[at].receipt, reason=0, field="")
    assert "in_results: the answer is not among" in refused(changed(at, receipt=fine))
    other = found[0].receipt
    assert "receipt: is another transaction's" in refused(changed(at, receipt=other))


def test_an_answer_from_another_block() -> None:
    found = served().transactions
    header, proof = found[-1].answer_header, found[-1].answer_in_history
    line = refused(changed(0, answer_header=header, answer_in_history=proof))
    assert line.startswith("transactions[0]: ")


def test_a_block_that_is_not_on_the_chain() -> None:
    found = served().transactions[0]
    forged = replace(found.header, block_time_s=found.header.block_time_s + 1)
    assert refused(changed(0, header=forged)).startswith("transactions[0]: ")
    assert "is not in the history of the head" in refused(changed(0, in_history=None))


def test_two_messages_in_another_order() -> None:
    def swap(h: ServedHistory) -> ServedHistory:
        first, second, *rest = h.transactions
        return replace(h, transactions=(second, first, *rest))

    assert "message 0 of the wallet is missing" in refused(swap)


def test_the_same_message_twice() -> None:
    def twice(h: ServedHistory) -> ServedHistory:
        return replace(h, transactions=(h.transactions[0], *h.transactions))

    assert "is not after the one before" in refused(twice)


def test_somebody_elses_message() -> None:
    def more(h: ServedHistory) -> ServedHistory:
        first = served("cat").transactions[0]
        merged = sorted([first, *h.transactions], key=_place)
        return replace(h, transactions=tuple(merged))

    assert "is not of this wallet" in refused(more)


def _place(each: ProvedTransaction) -> tuple[int, int]:
    return each.header.context.height, each.in_block.index


# --- whose, and on which chain


def test_another_wallets_history() -> None:
    assert refused(lambda _: served("bob")) == "wallet: is another one"


def test_another_wallets_account() -> None:
    line = refused(lambda h: replace(h, account=served("bob").account))
    assert line == "account: is not this wallet's under this head"


def test_an_account_with_more_coins() -> None:
    def richer(h: ServedHistory) -> ServedHistory:
        hub, _ = traded()
        rich = replace(hub.account("ann"), free_ucoin=10**9)
        return replace(h, account=replace(h.account, value=encode(rich)))

    assert refused(richer) == "account: is not in the state that the head commits to"


def _headed(h: ServedHistory, signed: SignedHeader) -> ServedHistory:
    return replace(h, head=signed, account=replace(h.account, header=signed))


def test_a_head_that_nobody_signed_or_somebody_else_did() -> None:
    header = served().head.header
    for signer, why in (("ann", "not signed by its proposer"), ("operator", "")):
        signature = key(signer).sign(HEADER_DOMAIN, header.chain_id, encode(header))
        signed = SignedHeader(header=header, signature=signature)
        if why:
            assert why in refused(lambda h, s=signed: _headed(h, s))  # type: ignore[misc]
        else:
            assert _headed(served(), signed) == served()
    unsigned = SignedHeader(header=header, signature=UNSIGNED)
    assert "an engine's" in refused(lambda h: _headed(h, unsigned))


def test_a_chain_by_another_proposer() -> None:
    hub, _ = traded()
    with pytest.raises(HistoryRefused, match="head: is another chain's"):
        Wallet(public("ann"), hub.chain_id, public("ann")).check(served())
    with pytest.raises(HistoryRefused, match="head: is another chain's"):
        Wallet(public("ann"), "another", public("operator")).check(served())


def test_a_second_chain_of_the_same_proposer() -> None:
    """The operator signs another block at the height that the car knows."""
    hub, _ = traded()
    mine = wallet(hub)
    mine.check(served())
    mine.block_id = bytes(32)
    with pytest.raises(HistoryRefused, match=r"head: is another block \d+ than the car knows"):
        mine.check(served())
    mine.height -= 1
    with pytest.raises(HistoryRefused, match="known: block"):
        mine.check(served(known_height=mine.height))
    with pytest.raises(HistoryRefused, match="known: block"):
        mine.check(served())
