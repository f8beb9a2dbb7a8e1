"""Where a chain is kept: one SQLite file, one transaction a block.

Knows SQLite and bytes; what they mean is for others. Killed at any instant, the file holds
the last block whole or not at all. One process holds it at a time, by one thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from peerwatt.hosts.state import Items, Row, Slot
from peerwatt.records.codec import CodecError, decode, encode

FORMAT = 1
APPLICATION_ID = 0x70777474
_TABLES = """
CREATE TABLE chain (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    height INTEGER NOT NULL, genesis BLOB NOT NULL, app_hash BLOB NOT NULL, undo BLOB NOT NULL
);
CREATE TABLE state (
    name TEXT NOT NULL, scope BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (name, scope, key)
) WITHOUT ROWID;
CREATE TABLE sealed (
    name TEXT NOT NULL, scope BLOB NOT NULL, items BLOB NOT NULL, UNIQUE (name, scope)
);
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY, block_id BLOB NOT NULL, block BLOB NOT NULL, result BLOB NOT NULL
);
CREATE TABLE witnesses (
    height INTEGER NOT NULL, witness BLOB NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (height, witness)
) WITHOUT ROWID;
"""


class StoreError(ValueError):
    """The store cannot be used: in use, damaged, newer, or not one; says which in one line."""


class Tip(NamedTuple):
    """Where the kept chain stands; `undo` turns the hashed tables back by one block."""

    height: int
    genesis: bytes
    app_hash: bytes
    undo: bytes


class KeptBlock(NamedTuple):
    """A block as it is kept: its id, its bytes and the bytes of its result."""

    block_id: bytes
    block: bytes
    result: bytes


class Store:
    """A chain in a file (or, with `path` None, in memory).

    Raises:
        StoreError: another process has it open, it is damaged or newer, or not a chain's file.
    """

    def __init__(self, path: Path | str | None) -> None:
        self.name = ":memory:" if path is None else str(path)
        try:
            # Autocommit: transactions start and end where this module says, nowhere else.
            self._db = sqlite3.connect(self.name, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{self.name}: {error}") from None
        try:
            with self._checked():
                self._open()
        except StoreError:
            self._db.close()
            raise

    def _open(self) -> None:
        """Lock the file for good, then see what it is; make the tables where it is new."""
        run = self._db.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = run("PRAGMA application_id").fetchone()
        (written,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if application not in (0, APPLICATION_ID) or (application == 0 and tables):
            raise StoreError(f"{self.name}: not a peerwatt ledger")
        if written > FORMAT:
            raise StoreError(
                f"{self.name}: written in format {written}, newer than {FORMAT}, the newest that "
                "this version knows"
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")
        if not tables:
            for statement in _TABLES.split(";")[:-1]:
                run(statement)
            run(f"PRAGMA application_id = {APPLICATION_ID}")
            run(f"PRAGMA user_version = {FORMAT}")
        run("COMMIT")

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Turn SQLite's errors into one line, and leave no transaction open after any error."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._roll_back()
            raise StoreError(f"{self.name}: {_why(error)}") from None
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def commit(
        self, tip: Tip, rows: Iterable[Row], sealed: dict[Slot, Items], kept: KeptBlock | None
    ) -> None:
        """Keep a block (none at genesis) and all that it changed, whole or not at all.

        Raises:
            StoreError: it could not be kept; nothing changed.
        """
        try:
            self._commit(tip, rows, sealed, kept)
        except StoreError:
            # SQLite can report an interruption of a COMMIT that has taken effect.
            if self.tip() != tip:
                raise

    def _commit(
        self, tip: Tip, rows: Iterable[Row], sealed: dict[Slot, Items], kept: KeptBlock | None
    ) -> None:
        with self._checked():
            self._db.execute("BEGIN IMMEDIATE")
            self._write(tip, rows, sealed, kept)
            self._db.execute("COMMIT")

    def replace(
        self,
        tip: Tip,
        rows: Iterable[Row],
        sealed: dict[Slot, Items],
        earlier: Sequence[bytes],
        kept: KeptBlock,
    ) -> None:
        """Put a state that was had from elsewhere in the place of all that is kept.

        Args:
            tip, rows, sealed: the whole state.
            earlier: the ids of all blocks before the last, by height; no more is kept of them.
            kept: the last block.

        Raises:
            StoreError: it could not be kept; nothing changed.
        """
        ids = enumerate(earlier, start=1)
        with self._checked():
            self._db.execute("BEGIN IMMEDIATE")
            for table in ("state", "sealed", "blocks", "witnesses"):
                self._db.execute(f"DELETE FROM {table}")
            self._db.executemany("INSERT INTO blocks VALUES (?, ?, x'', x'')", ids)
            self._write(tip, rows, sealed, kept)
            self._db.execute("COMMIT")

    def forget_blocks(self, first: int, below: int) -> None:
        """Keep no more than the ids of the blocks of these heights."""
        with self._checked():
            self._db.execute(
                "UPDATE blocks SET block = x'', result = x'' "
                "WHERE height >= ? AND height < ? AND block != x''",
                (first, below),
            )

    def _write(
        self, tip: Tip, rows: Iterable[Row], sealed: dict[Slot, Items], kept: KeptBlock | None
    ) -> None:
        written, gone = [], []
        for row in rows:
            if row.value is None:
                gone.append(row[:3])
            else:
                written.append(row)
        written.sort()  # neighbours in the file are then written together
        trees = [(name, scope, encode(items)) for (name, scope), items in sealed.items()]
        run, run_all = self._db.execute, self._db.executemany
        run_all("DELETE FROM state WHERE name = ? AND scope = ? AND key = ?", gone)
        run_all("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", written)
        run_all("INSERT INTO sealed VALUES (?, ?, ?)", trees)
        if kept is not None:
            run("INSERT INTO blocks VALUES (?, ?, ?, ?)", (tip.height, *kept))
        run("INSERT OR REPLACE INTO chain VALUES (1, ?, ?, ?, ?)", tip)

    def tip(self) -> Tip | None:
        """Where the kept chain stands; none if nothing has been kept yet."""
        rows = self._rows("SELECT height, genesis, app_hash, undo FROM chain")
        return Tip(*rows[0]) if rows else None

    def state_rows(self) -> list[Row]:
        """Every kept record."""
        rows = self._rows("SELECT name, scope, key, value FROM state")
        return [Row(*row) for row in rows]

    def sealed_slots(self) -> list[Slot]:
        """The name and scope of every sealed tree."""
        return self._rows("SELECT name, scope FROM sealed")

    def sealed_items(self, name: str, scope: bytes) -> Items | None:
        """The entries of a sealed tree; none if there is no such tree."""
        rows = self._rows("SELECT items FROM sealed WHERE name = ? AND scope = ?", name, scope)
        if not rows:
            return None
        try:
            return decode(rows[0][0], tuple[tuple[bytes, bytes], ...])
        except CodecError as error:
            raise StoreError(f"{self.name}: damaged tree '{name}' ({error})") from None

    def block_ids(self) -> list[bytes]:
        """The ids of all blocks, by height."""
        return [row[0] for row in self._rows("SELECT block_id FROM blocks ORDER BY height")]

    def block(self, height: int) -> bytes | None:
        """The bytes of a block; none if there is no such height, or no more than its id is kept."""
        rows = self._rows("SELECT block FROM blocks WHERE height = ?", height)
        return (rows[0][0] or None) if rows else None

    def result(self, height: int) -> bytes | None:
        """The bytes of a block's result; none if there is none, as with `block`."""
        rows = self._rows("SELECT result FROM blocks WHERE height = ?", height)
        return (rows[0][0] or None) if rows else None

    def add_witness(self, height: int, witness: bytes, record: bytes) -> None:
        """Keep a witness's signature."""
        with self._checked():
            self._db.execute(
                "INSERT OR REPLACE INTO witnesses VALUES (?, ?, ?)", (height, witness, record)
            )

    def witnesses(self, height: int | None = None) -> list[bytes]:
        """The bytes of every witness's signature (of one height), by height and key."""
        query = "SELECT record FROM witnesses WHERE ? IN (height, -1) ORDER BY height, witness"
        return [row[0] for row in self._rows(query, -1 if height is None else height)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._checked():
            return self._db.execute(query, values).fetchall()


def _why(error: sqlite3.Error | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "damaged, or not a peerwatt ledger (text that is none)"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "in use by another process"
    # A damaged file's own bytes can stand in the message.
    text = "".join(each if each.isprintable() else "?" for each in str(error))
    damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return f"damaged, or not a peerwatt ledger ({text})" if damaged else text
