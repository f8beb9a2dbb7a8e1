"""Receipts that stand alone: an order's entry in its round, tied up to a signed head of the chain.

Knows the records, Merkle proofs and signatures, and needs no host: whoever holds a bundle
checks it alone. What one operator signs proves nothing against that operator, so a check
without a trusted head or a witness says so.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from peerwatt.records.chain import UNSIGNED, WitnessSignature, is_signed
from peerwatt.records.codec import CodecError, Record, decode
from peerwatt.records.market import Round
from peerwatt.records.merkle import (
    Evidence,
    Proof,
    StoreProof,
    verify,
    verify_entry,
    verify_stored,
)
from peerwatt.records.receipts import SignedHeader
from peerwatt.units import Hash

ROUNDS = "rounds"
TREES = ("orders", "prices", "awards", "readings", "settlements")


class ProvedValue(Record):
    """The value under a store's key (none if there is none) after the block before `header`, whose
    app hash the proof leads to."""

    store: str
    key: bytes
    value: bytes | None
    proof: StoreProof
    header: SignedHeader

    def holds(self) -> bool:
        """Whether the proof leads to the header's app hash; the header's signature is not looked
        at."""
        app_hash = self.header.header.app_hash
        return verify_stored(app_hash, self.store, self.key, self.value, self.proof)


class ProvedItem(Record):
    """The entry of a sealed tree under an id (none if there is none); `scope` is whose tree."""

    tree: str
    scope: bytes
    key: bytes
    item: bytes | None
    evidence: Evidence
    root: Hash

    def holds(self) -> bool:
        """Whether the evidence leads to the root."""
        return verify_entry(self.root, self.key, self.item, self.evidence)


class ReceiptBundle(Record):
    """An entry of a round's sealed tree, the round, the header that commits to the round, and a
    head whose history holds that header (no `history`: the header is the head)."""

    entry: ProvedItem
    round: ProvedValue
    history: Proof | None
    head: SignedHeader
    witnesses: tuple[WitnessSignature, ...]


class Verdict(Enum):
    """What a check showed; NOT_SHOWN is neither for nor against."""

    HOLDS = "holds"
    FAILS = "does not hold"
    NOT_SHOWN = "not shown"


class Finding(NamedTuple):
    """One checked statement in plain words."""

    verdict: Verdict
    text: str


def verify_bundle(
    bundle: ReceiptBundle,
    *,
    proposer: bytes | None = None,
    trusted_head: bytes | None = None,
    witness: bytes | None = None,
    show_time: Callable[[int], str] = lambda time_s: f"unix time {time_s}",
) -> list[Finding]:
    """Every statement that the bundle makes, checked.

    Args:
        bundle: the receipt.
        proposer: the key that must have signed the headers, if it is known.
        trusted_head: a block id had from elsewhere; it must be the head or the header.
        witness: the key of a member that must have co-signed the head.
        show_time: how to write unix seconds for people.
    """
    findings = [*_entry_findings(bundle, show_time), *_chain_findings(bundle)]
    if proposer is not None:
        signers = [each.header.context.proposer for each in (bundle.head, bundle.round.header)]
        his = signers == [proposer, proposer] and not _is_decided(bundle)
        findings.append(_finding(his, f"the proposer is {_short(proposer)}"))
    return findings + _anchor_findings(bundle, trusted_head, witness)


def is_sound(findings: list[Finding]) -> bool:
    """Whether nothing that was checked failed."""
    return all(finding.verdict is not Verdict.FAILS for finding in findings)


def _finding(holds: bool, text: str) -> Finding:
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, text)


def _short(data: bytes) -> str:
    return data.hex()[:16] + "…"


def _entry_findings(bundle: ReceiptBundle, show_time: Callable[[int], str]) -> list[Finding]:
    """From the entry up to the state."""
    entry, stored = bundle.entry, bundle.round
    height = stored.header.header.context.height
    record = _round_of(stored.value)
    name = f"round {entry.scope.hex()}"
    if record is not None:
        name = f"the round of {record.site} at {show_time(record.slot_start_s)}"
    root = getattr(record, f"{entry.tree}_root") if record and entry.tree in TREES else None
    there = "no entry" if entry.item is None else "entry"
    in_state = stored.store == ROUNDS and stored.key == entry.scope and stored.holds()
    return [
        _finding(entry.holds(), f"{there} {_short(entry.key)} is in the sealed {entry.tree}"),
        _finding(root == entry.root, f"{name} has this root of its {entry.tree}"),
        _finding(in_state, f"{name} is in the state that header {height} commits to"),
    ]


def _round_of(value: bytes | None) -> Round | None:
    try:
        return None if value is None else decode(value, Round)
    except CodecError:
        return None


def _chain_findings(bundle: ReceiptBundle) -> list[Finding]:
    """From the header up to the head."""
    header, head = bundle.round.header.header, bundle.head.header
    below, above = f"header {header.context.height}", f"head {head.context.height}"
    if bundle.history is None:
        linked = _finding(header == head, f"{below} is the head")
    else:
        holds = verify(head.history_root, header.block_id, bundle.history)
        same_chain = header.chain_id == head.chain_id
        linked = _finding(holds and same_chain, f"{below} is in the history of {above}")
    if _is_decided(bundle):
        text = (
            f"that an engine's validators signed headers with the app hashes of {below} and {above}"
        )
        return [linked, Finding(Verdict.NOT_SHOWN, text)]
    return [
        _finding(is_signed(bundle.round.header), f"{below} is signed by its proposer"),
        linked,
        _finding(is_signed(bundle.head), f"{above} is signed by its proposer"),
    ]


def _is_decided(bundle: ReceiptBundle) -> bool:
    """Whether its headers leave signing to an engine's validators."""
    return bundle.round.header.signature == bundle.head.signature == UNSIGNED


def _anchor_findings(
    bundle: ReceiptBundle, trusted_head: bytes | None, witness: bytes | None
) -> list[Finding]:
    """What stands behind the head beside the operator's own word."""
    head = bundle.head.header
    findings = []
    if trusted_head is not None:
        ids = (head.block_id, bundle.round.header.header.block_id)
        text = f"the trusted head {_short(trusted_head)} stands behind it"
        findings.append(_finding(trusted_head in ids, text))
    valid = []
    for each in bundle.witnesses:
        of_head = (each.height, each.block_id) == (head.context.height, head.block_id)
        if of_head and each.is_valid(head.chain_id):
            valid.append(each.witness)
        else:
            text = f"the co-signature of {_short(each.witness)} is of head {head.context.height}"
            findings.append(_finding(False, text))
    if witness is not None:
        text = f"head {head.context.height} is co-signed by witness {_short(witness)}"
        findings.append(_finding(witness in valid, text))
    if trusted_head is None and witness is None:
        signers = ", ".join(_short(each) for each in valid)
        seen = f"; co-signed by {signers}, which you were not asked to trust" if valid else ""
        text = f"internally consistent, operator not independently witnessed{seen}"
        findings.append(Finding(Verdict.NOT_SHOWN, text))
    return findings
