"""Envelopes, clocks: what is refused before a message's own contract is asked."""

from __future__ import annotations

from book import Book
from msgspec.structs import replace
from small_hub import PRODUCTION_ID, START_S, SmallHub, key, public

from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, encode
from peerwatt.records.receipts import Reason


def envelopes(book: Book) -> None:
    hub = SmallHub().drivers()
    good = hub.sign(tx.Transfer, "operator", to=public("grid"), amount_ucoin=0)
    oversized = bytes(tx.MAX_TRANSACTION_BYTES + 1)
    cases = [
        ("one byte too many", oversized, Reason.OVERSIZED, "transaction"),
        ("no transaction", b"\x90", Reason.MALFORMED, "encoding"),
        ("cut off", good[:-1], Reason.MALFORMED, "encoding"),
        ("one byte more", good + b"\x00", Reason.MALFORMED, "encoding"),
        (
            "short signature",
            good.replace(b"\xc4\x40", b"\xc4\x3f", 1)[:-1],
            Reason.MALFORMED,
            "signature",
        ),
    ]
    for note, data, reason, field in cases:
        book.refused_bytes(hub, tx.Transfer, data, reason, field, note)
    transfer = {"to": public("grid"), "amount_ucoin": 0}
    fields = [
        ("below zero", {"amount_ucoin": -1}, Reason.MALFORMED, "amount_ucoin"),
        ("above all bounds", {"amount_ucoin": 2**63}, Reason.MALFORMED, "amount_ucoin"),
        ("short key", {"to": b"short"}, Reason.MALFORMED, "to"),
        ("", {"chain_id": "sim-other"}, Reason.WRONG_CHAIN, "chain_id"),
        ("used before", {"nonce": hub.account("operator").nonce - 1}, Reason.WRONG_NONCE, "nonce"),
        ("left one out", {"nonce": hub.account("operator").nonce + 1}, Reason.WRONG_NONCE, "nonce"),
        ("", {"valid_until_s": START_S - 1}, Reason.EXPIRED, "valid_until_s"),
    ]
    for note, changes, reason, field in fields[:4]:
        book.refused(hub, tx.Transfer, "operator", reason, field, note=note, **transfer | changes)
    hub.do(tx.Transfer, "operator", **transfer)
    for note, changes, reason, field in fields[4:]:
        if "nonce" in changes:
            changes = {"nonce": hub.account("operator").nonce + (1 if "left" in note else -1)}
        book.refused(hub, tx.Transfer, "operator", reason, field, note=note, **transfer | changes)
    book.accepted(
        hub, tx.Transfer, "operator", note="in its last second", valid_until_s=START_S, **transfer
    )


def signatures(book: Book) -> None:
    hub = SmallHub()
    transfer = {"to": public("grid"), "amount_ucoin": 0}
    forged = decode(hub.sign(tx.Transfer, "operator", **transfer), tx.Transaction)
    by_grid = key("grid").sign(tx.TRANSACTION_DOMAIN, hub.chain_id, forged.message)
    book.refused_bytes(
        hub,
        tx.Transfer,
        encode(replace(forged, signature=by_grid)),
        Reason.BAD_SIGNATURE,
        "signature",
        "signed by another",
    )
    book.refused(hub, tx.Transfer, "nobody", Reason.UNKNOWN_SIGNER, "signer", **transfer)
    message = decode(hub.sign(tx.Transfer, "operator", **transfer), tx.Transaction).message
    cosignature = key("grid").sign(tx.TRANSACTION_DOMAIN, hub.chain_id, message)
    signature = key("operator").sign(
        tx.TRANSACTION_DOMAIN, hub.chain_id, message + public("grid") + cosignature
    )
    book.refused_bytes(
        hub,
        tx.Transfer,
        encode(
            tx.Transaction(
                message=message,
                signature=signature,
                cosigner=public("grid"),
                cosignature=cosignature,
            )
        ),
        Reason.BAD_COSIGNATURE,
        "cosignature",
        "signed for another purpose",
    )


def ticks(book: Book) -> None:
    hub = SmallHub()
    book.accepted(hub, tx.Tick, "clock", note="moves the clock", time_s=START_S + 60)
    book.accepted(hub, tx.Tick, "clock", note="stands still", time_s=START_S + 60)
    book.refused(hub, tx.Tick, "clock", Reason.CLOCK_BACKWARDS, "time_s", time_s=START_S + 59)
    book.refused(hub, tx.Tick, "operator", Reason.NOT_PERMITTED, "signer")
    late = START_S + 61
    book.refused(
        hub, tx.Tick, "clock", Reason.EXPIRED, "valid_until_s", time_s=late, valid_until_s=late - 1
    )
    first = hub.sign(tx.Transfer, "operator", to=public("grid"), amount_ucoin=0)
    second = hub.sign(tx.Tick, "clock", time_s=late)
    book.block(
        hub, "a tick that is not the first: OUT_OF_ORDER", first, second, at=hub.now_s, events=[]
    )
    production = SmallHub(chain_id=PRODUCTION_ID, tick_key=b"")
    book.refused(production, tx.Tick, "operator", Reason.NOT_TICK_CLOCK, "signer")
    book.block(production, "block time is market time", at=START_S + 7, events=[])
    book.block(production, "block time never runs backwards", at=START_S + 7, events=[])


def nonces(book: Book) -> None:
    """In a block a refused message consumes its nonce, and a forged one does not."""
    hub = SmallHub().site().drivers("ann")
    too_much = hub.sign(tx.Transfer, "ann", to=public("grid"), amount_ucoin=10**12)
    enough = hub.sign(tx.Transfer, "ann", to=public("grid"), amount_ucoin=1)
    book.block(
        hub, "a refused message consumes its nonce", too_much, enough, at=hub.now_s, events=[]
    )
    again = hub.sign(tx.Transfer, "ann", to=public("grid"), amount_ucoin=1)
    forged = hub.sign(tx.Transfer, "ann", to=public("bob"), amount_ucoin=1, chain_id="sim-other")
    book.block(
        hub,
        "the same bytes twice, and another chain's",
        again,
        again,
        forged,
        at=hub.now_s,
        events=[],
    )


CASES = (envelopes, signatures, ticks, nonces)
