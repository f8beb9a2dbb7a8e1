"""Merkle trees in the form of RFC 6962 and CometBFT, with proofs of inclusion and of absence.

Knows SHA-256 and the codec; a light client needs no more. A leaf is hashed behind a byte 0,
an inner node behind a byte 1, and a tree of n leaves splits at the largest power of two
below n. An entry's leaf is its key and the hash of its value, each behind its length, and
entries ascend by key: the form that CometBFT's value operator checks. Two levels, store and
key, make the state's hash. (CometBFT's light proxy knows no empty key, and reads one that
starts with "x:" as hexadecimal: such keys are provable, but not through that proxy.) Proofs
come from anywhere, so checking one never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record
from peerwatt.units import Count, Hash

EMPTY_ROOT = sha256().digest()
MAX_AUNTS = 100


class Proof(Record, tag=1):
    """That a leaf is at `index` of `total`; `aunts` are the hashes beside the way from the leaf
    up to the root, the leaf's own sibling first."""

    total: Count
    index: Count
    leaf_hash: Hash
    aunts: Annotated[tuple[Hash, ...], Meta(max_length=MAX_AUNTS)]


class Neighbour(Record):
    """An entry beside the place where a missing key would stand."""

    key: bytes
    value_hash: Hash
    proof: Proof


class Absence(Record, tag=2):
    """That no entry has a key: the two entries around it stand side by side, or the one entry at
    an end of the tree does, or the tree is empty."""

    left: Neighbour | None
    right: Neighbour | None


Evidence = Proof | Absence


class StoreProof(Record):
    """What ties a key of a store to the state's hash: the entry (or its absence) under the
    store's root, and that root under the store's name."""

    store_root: Hash
    entry: Evidence
    store: Proof


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


def _root_of(nodes: list[bytes]) -> bytes:
    """The root over leaf hashes: pairs are hashed level by level, an odd last node moves up, which
    splits every tree at the largest power of two."""
    if not nodes:
        return EMPTY_ROOT
    while len(nodes) > 1:
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        above = [sha256(b"\1" + left + right).digest() for left, right in pairs]
        if len(nodes) & 1:
            above.append(nodes[-1])
        nodes = above
    return nodes[0]


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root of a tree of leaves in their order."""
    return _root_of([sha256(b"\0" + leaf).digest() for leaf in leaves])


def verify(root: bytes, leaf: bytes, proof: Proof) -> bool:
    """Whether the proof shows that this leaf is in the tree with this root, at its index."""
    return proof.leaf_hash == leaf_hash(leaf) and _root_shown(proof) == root


def _root_shown(proof: Proof) -> bytes | None:
    """The root that a proof's hashes lead to (RFC 9162, 2.1.3.2); none if it is malformed."""
    at, last, node = proof.index, proof.total - 1, proof.leaf_hash
    if not 0 <= at <= last:
        return None
    for aunt in proof.aunts:
        if last == 0 or len(aunt) != 32:
            return None
        if at & 1 or at == last:
            node = sha256(b"\1" + aunt + node).digest()
            while not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + aunt).digest()
        at, last = at >> 1, last >> 1
    return node if last == 0 else None


def shown_root(evidence: Evidence) -> bytes | None:
    """The root that evidence leads to, whatever it may show; none if it leads to none."""
    if isinstance(evidence, Proof):
        return _root_shown(evidence)
    beside = evidence.left or evidence.right
    return EMPTY_ROOT if beside is None else _root_shown(beside.proof)


def _uvarint(number: int) -> bytes:
    """A length as Go's unsigned varint: seven bits a byte, lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def entry_hash(key: bytes, value_hash: bytes) -> bytes:
    """The leaf hash of an entry."""
    return sha256(b"\0" + _uvarint(len(key)) + key + b"\x20" + value_hash).digest()


def sealed_root(items: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The root of a sealed tree: entries (id, bytes), strictly ascending by id.

    Raises:
        ValueError: an id does not come after the one before it.
    """
    check_ascending(items)
    return _root_of([entry_hash(key, sha256(value).digest()) for key, value in items])


def check_ascending(items: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse entries that are not strictly ascending by id."""
    for position in range(1, len(items)):
        if items[position - 1][0] >= items[position][0]:
            raise ValueError(f"items[{position}]: ids must be strictly ascending")


def verify_entry(root: bytes, key: bytes, value: bytes | None, evidence: Evidence) -> bool:
    """Whether the evidence shows that, in the tree of entries with this root, the key has this
    value, or (value None) that no entry has the key."""
    if isinstance(evidence, Absence):
        return value is None and _is_absent(root, key, evidence)
    return value is not None and _is_entry(root, key, sha256(value).digest(), evidence)


def _is_entry(root: bytes, key: bytes, value_hash: bytes, proof: Proof) -> bool:
    return proof.leaf_hash == entry_hash(key, value_hash) and _root_shown(proof) == root


def _is_absent(root: bytes, key: bytes, absence: Absence) -> bool:
    """Whether the neighbours are in the tree, on either side of the key, with nothing between.

    The index and total of a proof only say where its way turns left and right, so a false total
    could not move a neighbour: the ways of adjacent leaves part once and then hug each other.
    """
    left, right = absence.left, absence.right
    for each in (left, right):
        if each is not None and not _is_entry(root, each.key, each.value_hash, each.proof):
            return False
    if left is None and right is None:
        return root == EMPTY_ROOT
    if left is None or right is None:
        if right is not None:
            return key < right.key and right.proof.index == 0
        return left is not None and left.key < key and left.proof.index == left.proof.total - 1
    return (
        left.key < key < right.key
        and left.proof.total == right.proof.total
        and left.proof.index + 1 == right.proof.index
    )


def verify_stored(
    app_hash: bytes, store: str, key: bytes, value: bytes | None, proof: StoreProof
) -> bool:
    """Whether the proof shows that a store of the state with this hash has this value under the
    key, or (value None) that it has nothing there."""
    name, root = store.encode(), proof.store_root
    return verify_entry(app_hash, name, root, proof.store) and verify_entry(
        root, key, value, proof.entry
    )
