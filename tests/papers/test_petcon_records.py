"""PETCON's security claims (J. Kang et al., IEEE TII 13(6), 2017, section VI.A), 4 to 6: what is on
record is authentic, cannot be altered, and spends no coin twice. Tried on the code that runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from small_hub import (
    END_S,
    OK,
    Answer,
    SmallHub,
    answer,
    end_s,
    genesis,
    key,
    public,
    round_id,
)
from traded_hub import follower, receipt, traded

from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.replay import replay
from peerwatt.hosts.replica import BlockRefused
from peerwatt.hosts.store import Store
from peerwatt.records import transactions as tx
from peerwatt.records.bundles import ReceiptBundle, is_sound, verify_bundle
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.receipts import Reason
from peerwatt.simulation.forgeries import offer
from peerwatt.units import UCOIN_PER_COIN

# --- 4) transactions are authenticated by all


def test_4_a_forged_transaction_in_a_block_is_refused_on_record_by_everyone() -> None:
    """Its proposer passes it by admission; the block is good, the transaction in it is not."""
    hub = traded()
    message = tx.Transfer(
        chain_id=hub.chain_id,
        signer=public("ann"),
        nonce=hub.account("ann").nonce,
        valid_until_s=END_S,
        to=public("operator"),
        amount_ucoin=1,
    )
    before = hub.rows_by_slot()
    assert hub.block(tx.sign_message(message, key("operator"))) == [
        Answer(Reason.BAD_SIGNATURE, "signature")
    ]
    assert hub.rows_by_slot() == before
    audited = follower(hub)
    assert audited.receipts(hub.host.height) == hub.host.receipts(hub.host.height)
    assert audited.app_hash == hub.host.app_hash


def test_4_a_block_that_does_not_follow_is_refused_by_every_auditor() -> None:
    """State, results, history, time, author, content: each forged, signed by the proposer."""
    hub = traded()
    last = hub.host.block(hub.host.height)
    auditor = follower(hub, hub.host.height - 1)
    offer(auditor, last, key("operator"), key("eve"))
    assert auditor.head_id == hub.host.head_id, "the true one is taken"


# --- 5) what is on record cannot be altered


def test_5_a_byte_changed_anywhere_in_the_chain_is_found(tmp_path: Path) -> None:
    hub = traded()
    hub.host.export(tmp_path)
    assert replay(tmp_path, ledger).app_hash == hub.host.app_hash
    path = tmp_path / "blocks.bin"
    data = path.read_bytes()
    step = len(data) // 150
    for at in range(0, len(data), step):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises((ValueError, CodecError, BlockRefused)):
            replay(tmp_path, ledger)


def test_5_a_byte_changed_anywhere_in_a_receipt_is_found() -> None:
    hub = traded()
    bundle, head = receipt(hub), hub.host.head_id
    data = encode(bundle)
    assert is_sound(verify_bundle(bundle, trusted_head=head))
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        try:
            read = decode(changed, ReceiptBundle)
        except CodecError:
            continue
        assert not is_sound(verify_bundle(read, trusted_head=head)), f"byte {at}"


def test_5_a_reading_counts_as_its_meter_signed_it_and_no_other_way() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open()
    hub.buy("ann")
    hub.sell("bob")
    hub.block(at=end_s(0) + 30)
    true = hub.reading("p2", -1_000)
    for name in true.reading.__struct_fields__:
        value = getattr(true.reading, name)
        other = public("meter/p3") if isinstance(value, bytes) else value + 1
        lie = replace(true, reading=replace(true.reading, **{name: other}))
        report = hub.sign(tx.ReportReadings, "operator", round_id=round_id(), readings=(lie,))
        assert hub.rejected(report).reason == Reason.BAD_READING_SIGNATURE, name
    report = hub.sign(tx.ReportReadings, "operator", round_id=round_id(), readings=(true,))
    assert answer(hub.host.submit(report)) == OK


# --- 6) no coin is spent twice


def rich(coins: int = 3) -> SmallHub:
    return SmallHub().site().drivers("ann", "bob", "cat", coins=coins).open(0, 1)


def spends(hub: SmallHub, *nonces: int) -> list[bytes]:
    """Two coins of ann's three to bob and to cat."""
    first = hub.account("ann").nonce
    return [
        hub.sign(
            tx.Transfer,
            "ann",
            nonce=first + nonce,
            to=public(to),
            amount_ucoin=2 * UCOIN_PER_COIN,
        )
        for nonce, to in zip(nonces, ("bob", "cat"), strict=False)
    ]


UNFUNDED = Answer(Reason.UNFUNDED, "amount_ucoin")
REPLAYED = Answer(Reason.WRONG_NONCE, "nonce")


def test_6_not_in_one_block() -> None:
    hub = rich()
    assert hub.block(*spends(hub, 0, 1)) == [OK, UNFUNDED]
    hub = rich()
    assert hub.block(*spends(hub, 0, 0)) == [OK, REPLAYED]


def test_6_not_in_two_blocks() -> None:
    hub = rich()
    first, second = spends(hub, 0, 1)
    assert [hub.block(first), hub.block(second)] == [[OK], [UNFUNDED]]


def test_6_not_by_changing_their_order() -> None:
    hub = rich()
    first, second = spends(hub, 0, 1)
    assert hub.block(second, first) == [REPLAYED, OK]
    assert hub.block(second) == [UNFUNDED]
    assert hub.free("ann") == UCOIN_PER_COIN


def test_6_not_by_sending_the_same_again() -> None:
    hub = rich()
    [transfer] = spends(hub, 0)
    assert hub.block(transfer, transfer) == [OK, REPLAYED]
    assert hub.rejected(transfer) == REPLAYED
    assert hub.free("bob") == 5 * UCOIN_PER_COIN


def test_6_not_from_under_an_order() -> None:
    """What backs an order is no longer free, for money or for a second order."""
    hub = rich(coins=1)
    hub.buy("ann")
    free = hub.free("ann")
    assert free < UCOIN_PER_COIN
    for kind, fields in ((tx.Transfer, {"to": public("bob")}), (tx.Withdraw, {})):
        assert hub.refused(kind, "ann", amount_ucoin=free + 1, **fields) == UNFUNDED
    again = {"round_id": round_id(1), "port": "p1", "max_wh": 2_750, "min_wh": 2_750}
    assert hub.refused(tx.PlaceBuyOrder, "ann", **again) == Answer(Reason.UNFUNDED, "max_wh")


def twin() -> EmbeddedHost:
    """Another process with the operator's key, at the chain's beginning."""
    return EmbeddedHost(ledger, Store(None), key("operator"), encode(genesis()))


def test_6_not_at_two_nodes() -> None:
    """Each of two nodes lets in what the other has not seen; the one order that blocks have decides
    alike everywhere."""
    hub = rich()
    twins = [twin(), twin()]
    for height in range(1, hub.host.height + 1):
        for node in twins:
            node.seal(hub.now_s, hub.host.block(height).transactions)
    assert twins[0].app_hash == twins[1].app_hash == hub.host.app_hash
    here, there = spends(hub, 0, 0)
    assert answer(twins[0].submit(here)) == answer(twins[1].submit(there)) == OK
    decided = twins[0].seal(hub.now_s, (there,))
    twins[1].accept(decided)
    assert twins[0].app_hash == twins[1].app_hash
    for node in twins:
        assert list(map(answer, node.receipts(node.height))) == [OK, REPLAYED]
        paid = [node.get("accounts", public(name)).free_ucoin for name in ("ann", "bob", "cat")]
        assert paid == [UCOIN_PER_COIN, 5 * UCOIN_PER_COIN, 3 * UCOIN_PER_COIN]


def test_6_not_in_two_blocks_of_one_height() -> None:
    """A proposer signs two blocks; whoever has one of them takes no other."""
    hub = rich()
    auditor = follower(hub)
    blocks = []
    for transfer in spends(hub, 0, 0):
        node = twin()
        for height in range(1, hub.host.height + 1):
            node.seal(hub.now_s, hub.host.block(height).transactions)
        assert node.head_id == hub.host.head_id
        blocks.append(node.seal(hub.now_s, (transfer,)))
    auditor.accept(blocks[0])
    with pytest.raises(BlockRefused):
        auditor.accept(blocks[1])
    assert blocks[0].signed_header.header.context.height == auditor.height
    assert auditor.get("accounts", public("cat")).free_ucoin == 3 * UCOIN_PER_COIN
