"""Receipts that stand alone: what holds, what does not, what is not shown; in words."""

from __future__ import annotations

from typing import Any

import pytest
import toy_ledger as toy
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.host import NotYetProved
from peerwatt.hosts.store import Store
from peerwatt.records.bundles import ReceiptBundle, Verdict, is_sound, verify_bundle
from peerwatt.records.chain import WitnessSignature, sign_head
from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.merkle import tree_root
from peerwatt.records.receipts import HEADER_DOMAIN, SignedHeader
from peerwatt.records.signing import SigningKey
from peerwatt.records.trees import prove

KEY = SigningKey(bytes(32))
WITNESS = SigningKey(bytes([1] * 32))
STRANGER = SigningKey(bytes([2] * 32))
MOVES = [toy.move(1, nonce, 2, nonce) for nonce in range(5)]


def sealed_host() -> EmbeddedHost:
    """A chain whose block 1 sealed a round of five orders."""
    host = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    for each in [*MOVES, toy.move(1, 5, 0, 0)]:
        host.submit(each)
    host.seal(10)
    return host


def receipt_of(host: EmbeddedHost, number: int = 3) -> ReceiptBundle:
    return host.receipt("orders", toy.round_id(0), digest(MOVES[number]))


def failures(bundle: ReceiptBundle, **anchors: Any) -> list[str]:
    findings = verify_bundle(bundle, **anchors)
    assert is_sound(findings) == all(each.verdict is not Verdict.FAILS for each in findings)
    return [each.text for each in findings if each.verdict is Verdict.FAILS]


def test_a_receipt_waits_for_the_header_that_proves_it() -> None:
    host = sealed_host()
    with pytest.raises(NotYetProved, match="the header after block 1 will commit to this tree"):
        receipt_of(host)
    host.seal(11)
    assert receipt_of(host).entry.item == MOVES[3]


def test_a_receipt_says_what_holds_and_what_is_not_shown() -> None:
    host = sealed_host()
    host.seal(11)
    findings = verify_bundle(receipt_of(host), proposer=KEY.public)
    order = digest(MOVES[3]).hex()[:16]
    assert [(each.verdict, each.text) for each in findings] == [
        (Verdict.HOLDS, f"entry {order}… is in the sealed orders"),
        (Verdict.HOLDS, "the round of toy at unix time 10 has this root of its orders"),
        (
            Verdict.HOLDS,
            "the round of toy at unix time 10 is in the state that header 2 commits to",
        ),
        (Verdict.HOLDS, "header 2 is signed by its proposer"),
        (Verdict.HOLDS, "header 2 is the head"),
        (Verdict.HOLDS, "head 2 is signed by its proposer"),
        (Verdict.HOLDS, f"the proposer is {KEY.public.hex()[:16]}…"),
        (
            Verdict.NOT_SHOWN,
            "internally consistent, operator not independently witnessed",
        ),
    ]


def test_an_order_that_was_never_there_is_proved_absent() -> None:
    host = sealed_host()
    host.seal(11)
    bundle = host.receipt("orders", toy.round_id(0), bytes(32))
    assert bundle.entry.item is None
    findings = verify_bundle(bundle)
    assert is_sound(findings)
    assert findings[0].text == "no entry 0000000000000000… is in the sealed orders"
    absent_though_there = replace(bundle.entry, key=digest(MOVES[0]))
    assert failures(replace(bundle, entry=absent_though_there))


def test_a_receipt_moves_under_a_later_witnessed_head() -> None:
    host = sealed_host()
    host.seal(11)
    early = receipt_of(host)
    for time_s in range(12, 20):
        host.seal(time_s)
    host.witness(WITNESS)
    later = host.anchor(early, host.height)
    assert later.history is not None
    assert failures(later, witness=WITNESS.public) == []
    texts = [each.text for each in verify_bundle(later)]
    assert "header 2 is in the history of head 10" in texts
    assert texts[-1].endswith(f"{WITNESS.public.hex()[:16]}…, which you were not asked to trust")
    assert host.anchor(early, 5).head == host.block(5).signed_header
    with pytest.raises(ValueError, match="height: the receipt's header is 2, which comes after 1"):
        host.anchor(early, 1)
    with pytest.raises(ValueError, match="height: there is no block 11"):
        host.anchor(early, 11)


def test_anchors_that_do_not_stand_behind_it_fail() -> None:
    host = sealed_host()
    host.seal(11)
    early = receipt_of(host)
    host.seal(12)
    bundle = host.anchor(early, 3)
    head_id, header_id = (host.block(n).signed_header.header.block_id for n in (3, 2))
    assert failures(bundle, trusted_head=head_id) == []
    assert failures(bundle, trusted_head=header_id) == []
    assert failures(bundle, trusted_head=bytes(32)) == [
        "the trusted head 0000000000000000… stands behind it"
    ]
    assert failures(bundle, witness=WITNESS.public) == [
        f"head 3 is co-signed by witness {WITNESS.public.hex()[:16]}…"
    ]
    elsewhere = replace(bundle, witnesses=(sign_head(WITNESS, "sim-toy", 2, header_id),))
    assert failures(elsewhere, witness=WITNESS.public)
    assert failures(bundle, proposer=STRANGER.public) == [
        f"the proposer is {STRANGER.public.hex()[:16]}…"
    ]


def test_a_witness_signs_only_this_chains_blocks() -> None:
    host, other = sealed_host(), EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    with pytest.raises(ValueError, match="height: there is no block 0"):
        other.witness(WITNESS)
    other.seal(99)
    foreign = other.witness(WITNESS)
    with pytest.raises(ValueError, match="block_id: is not that of block 1"):
        host.add_witness(foreign)
    forged = replace(host.witness(WITNESS), witness=STRANGER.public)
    with pytest.raises(ValueError, match="signature: is not the witness's of block 1"):
        host.add_witness(forged)
    assert [each.witness for each in host.witnesses()] == [WITNESS.public]
    assert host.witnesses(2) == []
    assert host.witnesses(1)[0].is_valid("sim-toy")
    assert not host.witnesses(1)[0].is_valid("sim-other")


def test_a_witness_replays_and_the_operator_keeps_its_signature() -> None:
    host = sealed_host()
    host.seal(11)
    second = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    for height in (1, 2):
        second.accept(host.block(height))
    host.add_witness(second.witness(WITNESS))
    assert failures(receipt_of(host), witness=WITNESS.public) == []


def signed_by(signed: SignedHeader, key: SigningKey, **changes: Any) -> SignedHeader:
    header = replace(signed.header, **changes)
    signature = key.sign(HEADER_DOMAIN, header.chain_id, encode(header))
    return SignedHeader(header=header, signature=signature)


def test_every_false_part_is_named() -> None:
    host = sealed_host()
    host.seal(11)
    early = receipt_of(host)
    host.seal(12)
    bundle = host.anchor(early, 3)
    entry, stored = bundle.entry, bundle.round
    order = digest(MOVES[3]).hex()[:16]
    name = "the round of toy at unix time 10"
    other_round = host.prove("rounds", toy.round_id(1))
    foreign = signed_by(stored.header, KEY, chain_id="sim-other")
    in_history = prove([foreign.header.block_id], 0)
    head = signed_by(bundle.head, KEY, history_root=tree_root([foreign.header.block_id]))
    cases: list[tuple[ReceiptBundle, list[str]]] = [
        (
            replace(bundle, entry=replace(entry, item=b"more")),
            [f"entry {order}… is in the sealed orders"],
        ),
        (
            replace(bundle, entry=replace(entry, tree="awards")),
            [f"{name} has this root of its awards"],
        ),
        (
            replace(bundle, entry=replace(entry, tree="book_hash")),
            [f"{name} has this root of its book_hash"],
        ),
        (
            replace(bundle, entry=replace(entry, scope=b"12345678other")),
            [f"{name} is in the state that header 2 commits to"],
        ),
        (
            replace(bundle, round=replace(stored, store="accounts")),
            [f"{name} is in the state that header 2 commits to"],
        ),
        (
            replace(bundle, round=replace(stored, header=bundle.head)),
            ["header 3 is in the history of head 3"],
        ),
        (
            replace(bundle, round=replace(stored, header=foreign), history=in_history, head=head),
            ["header 2 is in the history of head 3"],
        ),
        (replace(bundle, history=None), ["header 2 is the head"]),
        (
            replace(bundle, head=replace(bundle.head, signature=bytes(64))),
            ["head 3 is signed by its proposer"],
        ),
        (
            replace(bundle, head=signed_by(bundle.head, KEY, history_root=bytes(32))),
            ["header 2 is in the history of head 3"],
        ),
        (
            replace(bundle, round=replace(stored, header=signed_by(stored.header, STRANGER))),
            ["header 2 is signed by its proposer"],
        ),
        (
            replace(bundle, round=other_round),
            [
                f"round {toy.round_id(0).hex()} has this root of its orders",
                f"round {toy.round_id(0).hex()} is in the state that header 3 commits to",
                "header 3 is in the history of head 3",
            ],
        ),
    ]
    for changed, expected in cases:
        assert failures(changed) == expected
    assert failures(bundle) == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject) -> None:
    """With the head known, a receipt is sound only if it says what it said, but for indexes and
    totals that lead the same way."""
    host = sealed_host()
    host.seal(11)
    early = receipt_of(host)
    host.seal(12)
    host.witness(WITNESS)
    bundle = host.anchor(early, 3)
    changed = bytearray(encode(bundle))
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(bytes(changed), ReceiptBundle)
    except CodecError:
        return
    if is_sound(verify_bundle(read, trusted_head=bundle.head.header.block_id)):
        assert (read.entry.item, read.entry.key) == (MOVES[3], digest(MOVES[3]))
        assert (read.entry.tree, read.entry.scope) == ("orders", toy.round_id(0))
        assert (read.round.value, read.head) == (bundle.round.value, bundle.head)


def test_a_witness_signature_is_a_record() -> None:
    host = sealed_host()
    signature = host.witness(WITNESS)
    assert decode(encode(signature), WitnessSignature) == signature
