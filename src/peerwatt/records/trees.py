"""Trees that are kept and proved from: leaf hashes, a map by key, the proofs of a sealed tree.

Knows the form of `merkle`, which checks what is proved here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from peerwatt.records.merkle import (
    EMPTY_ROOT,
    Absence,
    Evidence,
    Neighbour,
    Proof,
    StoreProof,
    check_ascending,
    entry_hash,
    leaf_hash,
)

StoreChanges = Mapping[str, Mapping[bytes, bytes | None]]


class HashTree:
    """Leaf hashes with all the nodes above them: append and change cost O(log n) hashes.

    Changes are gathered; nodes above them are hashed again, each once, when the root is asked
    for. Proofs and roots can be had for any earlier size, as an append-only log needs them.
    """

    __slots__ = ("_changed", "_changed_from", "_levels")

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels = [list(leaf_hashes)]
        self._changed: dict[int, None] = {}
        self._changed_from = 0

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, hashed: bytes) -> None:
        """Add one leaf hash at the end."""
        self.replace_from(len(self), [hashed])

    def replace(self, index: int, hashed: bytes) -> None:
        """Change one leaf hash."""
        self._levels[0][index] = hashed
        self._changed[index] = None

    def replace_from(self, index: int, hashes: Sequence[bytes]) -> None:
        """Put these leaf hashes in the place of all from `index` on."""
        self._levels[0][index:] = hashes
        self._changed_from = min(self._changed_from, index)

    def root(self, total: int | None = None) -> bytes:
        """The root over the first `total` leaves, all by default."""
        self._rehash()
        total = len(self) if total is None else total
        return self._range_root(0, total) if total else EMPTY_ROOT

    def prove(self, index: int, total: int | None = None) -> Proof:
        """The proof of the leaf at `index` in the tree of the first `total` leaves, all by default.

        Raises:
            IndexError: there is no such leaf.
        """
        total = len(self) if total is None else total
        if not 0 <= index < total <= len(self):
            raise IndexError(f"index: no leaf {index} among the first {total} of {len(self)}")
        self._rehash()
        aunts, start, end = [], 0, total
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                aunts.append(self._range_root(middle, end))
                end = middle
            else:
                aunts.append(self._range_root(start, middle))
                start = middle
        leaf = self._levels[0][index]
        return Proof(total=total, index=index, leaf_hash=leaf, aunts=tuple(reversed(aunts)))

    def _range_root(self, start: int, end: int) -> bytes:
        """The root over leaves [start, end), a subtree of the whole: a kept node if it is full."""
        size = end - start
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            return self._levels[level][start >> level]
        middle = start + _split(size)
        left, right = self._range_root(start, middle), self._range_root(middle, end)
        return sha256(b"\1" + left + right).digest()

    def _rehash(self) -> None:
        """Hash again, level by level, the nodes above changed leaves."""
        first, changed, size = self._changed_from, self._changed, len(self)
        if not changed and first == size:
            return
        level = 0
        while size > 1:
            below = self._levels[level]
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            nodes = self._levels[level]
            first, last = first >> 1, size >> 1
            changed = {child >> 1: None for child in changed if child >> 1 < first}
            for at in changed:
                nodes[at] = sha256(b"\1" + below[2 * at] + below[2 * at + 1]).digest()
            pairs = zip(below[2 * first : 2 * last : 2], below[2 * first + 1 :: 2], strict=False)
            nodes[first:] = [sha256(b"\1" + left + right).digest() for left, right in pairs]
            if size & 1:
                nodes.append(below[-1])
            size = len(nodes)
        del self._levels[level + 1 :]
        self._changed, self._changed_from = {}, len(self)


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


class MerkleMap:
    """Values by key under one root: changed values and new largest keys cost O(log n) hashes, a
    key that comes in or goes elsewhere rehashes the tree from its place on."""

    __slots__ = ("_hashes", "_keys", "_tree", "_values")

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._hashes: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._tree = HashTree()

    def __len__(self) -> int:
        return len(self._keys)

    def apply(self, changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
        """Set values, or take keys out (None); returns the changes that would undo it."""
        values, before = self._values, {}
        for key, value in changes.items():
            if (old := values.get(key)) == value:
                continue
            before[key] = old
            if value is None:
                del values[key], self._hashes[key]
            else:
                values[key] = value
                self._hashes[key] = entry_hash(key, sha256(value).digest())
        self._place(before)
        return before

    def _place(self, before: Mapping[bytes, bytes | None]) -> None:
        """Bring keys and tree in line with the hashes, where `before` says what has changed."""
        added = [key for key, old in before.items() if old is None]
        removed = {key: None for key in before if key not in self._values}
        first = len(self._keys)
        if added or removed:
            first = bisect_left(self._keys, min([*added, *removed]))
            kept = [key for key in self._keys[first:] if key not in removed]
            self._keys[first:] = sorted(kept + added)
            self._tree.replace_from(first, [self._hashes[key] for key in self._keys[first:]])
        for key in before:
            at = bisect_left(self._keys, key)
            if at < first:
                self._tree.replace(at, self._hashes[key])

    def root(self) -> bytes:
        """The root over all entries."""
        return self._tree.root()

    def prove(self, key: bytes) -> tuple[bytes | None, Evidence]:
        """The value under a key (none if there is none), and the proof of it or of its absence."""
        at = bisect_left(self._keys, key)
        if key in self._values:
            return self._values[key], self.prove_entry(key)
        left = self._neighbour(at - 1) if at > 0 else None
        right = self._neighbour(at) if at < len(self._keys) else None
        return None, Absence(left=left, right=right)

    def prove_entry(self, key: bytes) -> Proof:
        """The proof of a key that is there; KeyError if it is not."""
        if key not in self._values:
            raise KeyError(key)
        return self._tree.prove(bisect_left(self._keys, key))

    def _neighbour(self, at: int) -> Neighbour:
        key = self._keys[at]
        value_hash = sha256(self._values[key]).digest()
        return Neighbour(key=key, value_hash=value_hash, proof=self._tree.prove(at))


class MerkleStores:
    """Named stores, each a map, under one hash: the state of a ledger."""

    __slots__ = ("_roots", "_stores")

    def __init__(self, names: Iterable[str]) -> None:
        self._stores = {name: MerkleMap() for name in names}
        self._roots = MerkleMap()
        self._roots.apply({name.encode(): EMPTY_ROOT for name in self._stores})

    def apply(self, changes: StoreChanges) -> StoreChanges:
        """Set values, or take keys out (None), by store; returns the changes that would undo it."""
        undo = {name: self._stores[name].apply(values) for name, values in changes.items()}
        self._roots.apply({name.encode(): self._stores[name].root() for name in changes})
        return undo

    def root(self) -> bytes:
        """The hash of all stores: the app hash."""
        return self._roots.root()

    def prove(self, store: str, key: bytes) -> tuple[bytes | None, StoreProof]:
        """The value under a store's key (none if there is none), and the proof of it or of its
        absence.

        Raises:
            KeyError: there is no such store.
        """
        entries = self._stores[store]
        value, entry = entries.prove(key)
        proof = self._roots.prove_entry(store.encode())
        return value, StoreProof(store_root=entries.root(), entry=entry, store=proof)


def prove(leaves: Iterable[bytes], index: int) -> Proof:
    """The proof that the leaf at `index` is in the tree of these leaves.

    Raises:
        IndexError: there is no such leaf.
    """
    return HashTree([leaf_hash(leaf) for leaf in leaves]).prove(index)


def sealed_map(items: Sequence[tuple[bytes, bytes]]) -> MerkleMap:
    """The map that proves the entries of a sealed tree; its root is `merkle.sealed_root`.

    Raises:
        ValueError: an id does not come after the one before it.
    """
    check_ascending(items)
    sealed = MerkleMap()
    sealed.apply(dict(items))
    return sealed
