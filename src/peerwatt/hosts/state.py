"""The state in memory: committed records with their hash, and overlays of writes above them.

Knows the records and the trees; neither the contracts nor where it is all kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from peerwatt.hosts.host import R, Table
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.merkle import StoreProof, sealed_root
from peerwatt.records.trees import MerkleStores, StoreChanges

_KEY = itemgetter(0)
_MISSING: Any = object()
Slot = tuple[str, bytes]
Items = Sequence[tuple[bytes, bytes]]


class Row(NamedTuple):
    """A record in its encoded form; `value` None takes it out."""

    table: str
    scope: bytes
    key: bytes
    value: bytes | None


class Readable(Protocol):
    """What an overlay stands on."""

    def get(self, table: Table[R], key: bytes, scope: bytes = b"") -> R | None:
        """The record under a key, or none."""

    def items(self, table: Table[R], scope: bytes = b"") -> list[tuple[bytes, R]]:
        """All records of a table (of one scope of it), ascending by key."""

    def is_sealed(self, name: str, scope: bytes) -> bool:
        """Whether that tree is sealed."""


class Overlay:
    """Writes above a state that does not see them; a `State` for contracts."""

    __slots__ = ("_base", "changes", "sealed")

    def __init__(self, base: Readable) -> None:
        self._base = base
        self.changes: dict[Slot, dict[bytes, Any]] = {}
        self.sealed: dict[Slot, Items] = {}

    def get(self, table: Table[R], key: bytes, scope: bytes = b"") -> R | None:
        """The record under a key, or none."""
        shelf = self.changes.get((table.name, scope))
        if shelf is not None:
            record: R | None = shelf.get(key, _MISSING)
            if record is not _MISSING:
                return record
        return self._base.get(table, key, scope)

    def put(self, table: Table[R], key: bytes, record: R, scope: bytes = b"") -> None:
        """Write a record."""
        self._shelf(table, scope)[key] = record

    def delete(self, table: Table[Any], key: bytes, scope: bytes = b"") -> None:
        """Take a record out, if it is there."""
        self._shelf(table, scope)[key] = None

    def _shelf(self, table: Table[Any], scope: bytes) -> dict[bytes, Any]:
        shelf = self.changes.get((table.name, scope))
        if shelf is None:
            if scope and table.hashed:
                raise ValueError(f"scope: the hashed table '{table.name}' has none")
            shelf = self.changes[table.name, scope] = {}
        return shelf

    def items(self, table: Table[R], scope: bytes = b"") -> list[tuple[bytes, R]]:
        """All records of a table (of one scope of it), ascending by key."""
        below = self._base.items(table, scope)
        shelf = self.changes.get((table.name, scope))
        if not shelf:
            return below
        merged = dict(below)
        merged.update(shelf)
        kept = [(key, record) for key, record in merged.items() if record is not None]
        kept.sort(key=_KEY)
        return kept

    def seal(self, name: str, scope: bytes, items: Items) -> bytes:
        """Keep entries (id, bytes) to prove them later; their tree's root."""
        if self.is_sealed(name, scope):
            raise ValueError(f"name: '{name}' of {scope.hex()} is sealed already")
        root = sealed_root(items)
        self.sealed[name, scope] = tuple(items)
        return root

    def is_sealed(self, name: str, scope: bytes) -> bool:
        """Whether that tree is sealed."""
        return (name, scope) in self.sealed or self._base.is_sealed(name, scope)

    def merge_into(self, below: Overlay) -> None:
        """Hand every write down to the overlay below; this one is done with."""
        for slot, shelf in self.changes.items():
            known = below.changes.get(slot)
            if known is None:
                below.changes[slot] = shelf
            else:
                known.update(shelf)
        below.sealed.update(self.sealed)


class Committed:
    """The state after the last block, decoded in memory, and its hash.

    A block comes in by `prepare`, which brings the hash in line, then `finish`, or `cancel` where
    it could not be kept. Proofs are of the state *before* the last block, which is the one that
    the head commits to: the trees turn back by the block's undo while proofs are asked for.
    """

    def __init__(
        self, tables: Sequence[Table[Any]], rows: Iterable[Row], sealed: Iterable[Slot]
    ) -> None:
        self.tables = {table.name: table for table in tables}
        self._records: dict[Slot, dict[bytes, Any]] = {}
        self._ascending: dict[Slot, list[bytes]] = {}
        self._sealed = set(sealed)
        self._stores = MerkleStores(name for name, table in self.tables.items() if table.hashed)
        self._undo: StoreChanges = {}
        self._cancelled_undo: StoreChanges = {}
        self._turned_back = False
        self._load(rows)
        self.app_hash = self._stores.root()

    def _load(self, rows: Iterable[Row]) -> None:
        hashed: list[Row] = []
        for row in rows:
            table = self.tables.get(row.table)
            if table is None or row.value is None:
                raise CodecError("table", f"there is no table {row.table!r}")
            record = decode(row.value, table.record)
            self._records.setdefault((row.table, row.scope), {})[row.key] = record
            if table.hashed:
                hashed.append(row)
        self._stores.apply(_by_store(hashed))

    def get(self, table: Table[R], key: bytes, scope: bytes = b"") -> R | None:
        """The record under a key, or none."""
        shelf = self._records.get((table.name, scope))
        return None if shelf is None else shelf.get(key)

    def items(self, table: Table[R], scope: bytes = b"") -> list[tuple[bytes, R]]:
        """All records of a table (of one scope of it), ascending by key."""
        slot = (table.name, scope)
        shelf = self._records.get(slot)
        if shelf is None:
            return []
        keys = self._ascending.get(slot)
        if keys is None:
            keys = self._ascending[slot] = sorted(shelf)
        return [(key, shelf[key]) for key in keys]

    def is_sealed(self, name: str, scope: bytes) -> bool:
        """Whether that tree is sealed."""
        return (name, scope) in self._sealed

    def prepare(self, overlay: Overlay) -> list[Row]:
        """Encode an overlay's writes, each once, and bring the hash in line with them."""
        rows = list(self._rows(overlay))
        self._turn(back=False)
        self._cancelled_undo = self._undo
        self._undo = self._stores.apply(
            _by_store([row for row in rows if self.tables[row.table].hashed])
        )
        self.app_hash = self._stores.root()
        return rows

    def _rows(self, overlay: Overlay) -> Iterator[Row]:
        for (name, scope), shelf in overlay.changes.items():
            if name not in self.tables:
                raise ValueError(f"table: there is no table {name!r}")
            for key, record in shelf.items():
                yield Row(name, scope, key, None if record is None else encode(record))

    def cancel(self) -> None:
        """Take back what `prepare` did."""
        self._turn(back=False)
        self._stores.apply(self._undo)
        self._undo = self._cancelled_undo
        self.app_hash = self._stores.root()

    def finish(self, overlay: Overlay) -> None:
        """Take in the records of an overlay that was prepared and is kept."""
        for slot, changes in overlay.changes.items():
            shelf = self._records.setdefault(slot, {})
            size = len(shelf)
            shelf.update(changes)
            gone = [key for key, record in changes.items() if record is None]
            if gone or len(shelf) != size:
                self._ascending.pop(slot, None)
            for key in gone:
                del shelf[key]
            if not shelf:
                del self._records[slot]
        self._sealed.update(overlay.sealed)

    @property
    def undo(self) -> StoreChanges:
        """What would turn the hashed tables back to before the last block."""
        self._turn(back=False)
        return self._undo

    def restore_undo(self, undo: StoreChanges) -> bytes:
        """Take the last block's undo from where it was kept; the hash that it turns back to.

        Raises:
            KeyError: it names a store that there is not.
        """
        self._undo = undo
        self._turn(back=True)
        return self._stores.root()

    def prove(self, name: str, key: bytes) -> tuple[bytes | None, StoreProof]:
        """The encoded value of a hashed table before the last block (none if there was none), and
        the proof of it or of its absence."""
        self._turn(back=True)
        return self._stores.prove(name, key)

    def _turn(self, *, back: bool) -> None:
        """Move the trees to before the last block, or to after it."""
        if back is not self._turned_back:
            self._undo = self._stores.apply(self._undo)
            self._turned_back = back


def _by_store(rows: Iterable[Row]) -> StoreChanges:
    changes: dict[str, dict[bytes, bytes | None]] = {}
    for row in rows:
        changes.setdefault(row.table, {})[row.key] = row.value
    return changes
