"""What a chain says of itself to strangers: headers, proofs and receipts, checked with other trees.

Knows hosts as readers do, and the reference's trees; `records` checks the same proofs beside it,
and has to believe the true ones alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from random import Random

from msgspec.structs import replace

from peerwatt.hosts.host import NotYetProved
from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import TREES, ProvedValue, ReceiptBundle, is_sound, verify_bundle
from peerwatt.records.chain import WitnessSignature, sign_head
from peerwatt.records.codec import encode
from peerwatt.records.market import NO_HASH, RoundStatus
from peerwatt.records.merkle import Absence, Evidence, Neighbour, Proof
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.differential import Differential
from peerwatt.simulation.failures import require
from peerwatt.simulation.reference_rows import (
    HASHED,
    Rows,
    is_signed,
    proved_root,
    shows,
    tree_root,
)

HISTORIES = 0.1
"""In how many blocks the root over all blocks is computed again."""


class ProofChecks:
    """Asks one chain for proofs, and keeps what it was given to see that it stays true."""

    def __init__(self, witness: SigningKey, chance: Random) -> None:
        self._chance = chance
        self._key = witness
        self._witnessed: list[WitnessSignature] = []
        self._receipt: ReceiptBundle | None = None

    def check(self, host: Replica, ledger: Differential) -> None:
        """Ask for a value, for an entry, and for an old receipt under the newest head."""
        self._check_value(host, ledger.before)
        self._check_item(host, ledger.rows)
        self._check_old(host)
        if self._chance.random() < 0.3:
            signed = host.witness(self._key)
            if signed not in self._witnessed:  # one a block
                self._witnessed.append(signed)
            self._offer_false_witnesses(host, signed)

    def check_header(self, host: Replica, ids: Sequence[bytes]) -> None:
        """The newest header commits to its transactions and to all that was before it.

        Args:
            ids: of the blocks before it, by height.
        """
        block, height = host.block(host.height), host.height
        header = block.signed_header.header
        digests = [sha256(data).digest() for data in block.transactions]
        require(header.transactions_root == _tree(digests), "header", "transactions_root")
        before: list[bytes] = []
        if height > 1:
            result = host.result(height - 1)
            before = [encode(each) for each in (*result.receipts, *result.events)]
        require(header.results_root == _tree(before), "header", "results_root")
        by = (header.context.proposer, "header", host.chain_id, encode(header))
        require(is_signed(*by, block.signed_header.signature), "header", "signature")
        require(header.block_id == sha256(encode(header)).digest(), "header", "block_id")
        if self._chance.random() < HISTORIES:
            require(header.history_root == _tree(ids), "header", "history_root")

    def after_restart(self, host: Replica) -> None:
        """What a member has co-signed is still there."""
        kept = host.witnesses()
        require(kept == self._witnessed, "nothing lost", "a witness's signature")

    def _offer_false_witnesses(self, host: Replica, true: WitnessSignature) -> None:
        other = sign_head(self._key, host.chain_id, host.height, bytes(32))
        for false in (other, replace(true, signature=bytes(64))):
            try:
                host.add_witness(false)
            except ValueError:
                continue
            require(False, "proofs", "a false witness is believed")

    def _check_value(self, host: Replica, before: Rows) -> None:
        """A row of the state before the head, or that it is not there, is proved as it is."""
        chance, table = self._chance, self._chance.choice(HASHED)
        shelf = before.shelf(table)
        key = chance.randbytes(3)
        if shelf and chance.random() < 0.7:
            key = chance.choice(sorted(shelf))
        record = shelf.get(key)
        value = None if record is None else encode(record)
        proved = host.prove(table, key)
        require(proved.value == value, "proofs", f"{table}: another value is proved")
        require(_holds(proved), "proofs", f"{table}: a value's proof is wrong")
        require(proved.holds(), "proofs", f"{table}: a true proof is not believed")
        header = proved.header.header
        require(header.context.height == host.height, "proofs", "of another block")
        require(header.app_hash == before.app_hash(), "header", "app_hash")
        for false in (*_spoilt(proved, chance), *self._false_gaps(host, proved, sorted(shelf))):
            require(not false.holds(), "proofs", f"{table}: a false proof is believed")

    def _false_gaps(
        self, host: Replica, proved: ProvedValue, keys: Sequence[bytes]
    ) -> Iterator[ProvedValue]:
        """A key that is there is told to be absent, between its true neighbours; or the proof of a
        gap is told to be of another key."""
        if proved.value is None:
            for key in (b"\0", b"\xff" * 60, *keys[:1], *keys[-1:]):
                if not _in_gap(key, proved.proof.entry):
                    yield replace(proved, key=key)
            return
        at = keys.index(proved.key)
        sides = [
            self._neighbour(host, proved.store, keys[side]) if 0 <= side < len(keys) else None
            for side in (at - 1, at + 1)
        ]
        gap = Absence(left=sides[0], right=sides[1])
        yield replace(proved, value=None, proof=replace(proved.proof, entry=gap))

    def _neighbour(self, host: Replica, table: str, key: bytes) -> Neighbour | None:
        found = host.prove(table, key)
        if found.value is None or not isinstance(found.proof.entry, Proof):
            return None
        value_hash = sha256(found.value).digest()
        return Neighbour(key=key, value_hash=value_hash, proof=found.proof.entry)

    def _check_item(self, host: Replica, rows: Rows) -> None:
        """An entry of a sealed tree, or its absence, is proved under its round's root."""
        chance, done = self._chance, (RoundStatus.SETTLED, RoundStatus.ENDED)
        rounds = [(key, each) for key, each in rows.shelf("rounds").items() if each.status in done]
        if not rounds:
            return
        round_id, market_round = chance.choice(rounds)
        sealed = [name for name in TREES if getattr(market_round, f"{name}_root") != NO_HASH]
        name = chance.choice(sealed)
        entries = dict(host.sealed(name, round_id))
        key = chance.choice(sorted(entries)) if chance.random() < 0.6 and entries else b"nobody"
        proved = host.prove_item(name, round_id, key)
        due = (getattr(market_round, f"{name}_root"), entries.get(key))
        require((proved.root, proved.item) == due, "proofs", f"{name}: of another tree")
        shown = shows(proved.root, proved.key, proved.item, proved.evidence)
        require(shown, "proofs", f"{name}: an entry's proof is wrong")
        require(proved.holds(), "proofs", f"{name}: a true proof is not believed")
        for false in (
            replace(proved, item=b"other" if proved.item is None else None),
            replace(proved, item=b"other"),
            replace(proved, root=chance.randbytes(32)),
        ):
            require(not false.holds(), "proofs", f"{name}: a false proof is believed")
        with suppress(NotYetProved):
            self._receipt = host.receipt(name, round_id, key)

    def _of_other_rounds(self, host: Replica, receipt: ReceiptBundle) -> Iterator[ReceiptBundle]:
        """The receipt with a true entry of another round's tree."""
        name, kept = receipt.entry.tree, receipt.entry
        for round_id, _ in host.items("rounds")[-6:]:
            if round_id != kept.scope and host.sealed(name, round_id):
                other = host.prove_item(name, round_id, kept.key)
                if other.root != kept.root:
                    yield replace(receipt, entry=replace(other, scope=kept.scope))

    def _check_old(self, host: Replica) -> None:
        """A stranger can check a receipt under any later head; spoilt ones fail."""
        if self._receipt is None:
            return
        receipt, chance = host.anchor(self._receipt, host.height), self._chance
        require(is_sound(verify_bundle(receipt)), "proofs", "a true receipt is not believed")
        require(_holds(receipt.round), "proofs", "a receipt's round is not proved")
        if receipt.history is not None:
            leaf = sha256(b"\0" + receipt.round.header.header.block_id).digest()
            shown = receipt.history.leaf_hash == leaf and proved_root(receipt.history)
            root = receipt.head.header.history_root
            require(shown == root, "proofs", "a block is not in the history")
        for false in (
            replace(receipt, head=replace(receipt.head, signature=bytes(64))),
            replace(receipt, entry=replace(receipt.entry, item=b"other")),
            replace(receipt, entry=replace(receipt.entry, root=chance.randbytes(32))),
            replace(receipt, round=replace(receipt.round, value=None)),
            replace(receipt, round=_elsewhere(receipt.round, chance)),
            *self._of_other_rounds(host, receipt),
        ):
            require(not is_sound(verify_bundle(false)), "proofs", "a false receipt is believed")


def _in_gap(key: bytes, evidence: Evidence) -> bool:
    """Whether a gap's proof is one of this key's too."""
    if isinstance(evidence, Proof):
        return False
    left, right = evidence.left, evidence.right
    return (left is None or left.key < key) and (right is None or key < right.key)


def _elsewhere(proved: ProvedValue, chance: Random) -> ProvedValue:
    """The same value, proved in a state that never was."""
    return replace(proved, proof=replace(proved.proof, store_root=chance.randbytes(32)))


def _tree(leaves: Iterable[bytes]) -> bytes:
    return tree_root([sha256(b"\0" + leaf).digest() for leaf in leaves])


def _holds(proved: ProvedValue) -> bool:
    proof, app_hash = proved.proof, proved.header.header.app_hash
    below = shows(proof.store_root, proved.key, proved.value, proof.entry)
    return below and shows(app_hash, proved.store.encode(), proof.store_root, proof.store)


def _spoilt(proved: ProvedValue, chance: Random) -> list[ProvedValue]:
    """Proofs that show nothing: another value, another key, another hash on the way."""
    proof, nothing = proved.proof, b"other" if proved.value is None else None
    aunts = list(proof.store.aunts)
    aunts[chance.randrange(len(aunts))] = chance.randbytes(32)
    bent = replace(proof.store, aunts=tuple(aunts))
    return [
        replace(proved, value=nothing),
        replace(proved, value=b"other"),
        replace(proved, key=proved.key + b"\0", value=b"other"),
        replace(proved, proof=replace(proof, store=bent)),
        replace(proved, proof=replace(proof, store_root=chance.randbytes(32))),
    ]
