"""A disk that fails: it loses power inside a commit, tears what it was writing, or refuses.

Knows the store's file and its log. All chance comes from one seeded generator. What SQLite may
rely on is kept: a write is either synced whole, or any first part of it has reached the disk.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from peerwatt.hosts.state import Items, Slot
from peerwatt.hosts.store import KeptBlock, Store, Tip

STATEMENTS = 7
"""How many statements a commit of a block has."""


class PowerCut(BaseException):
    """The machine went dark; nothing of the process is left."""


class Disk:
    """The files of one chain, and what is on them at a power cut."""

    def __init__(self, path: Path, chance: Random) -> None:
        self.path = path
        self._chance = chance
        self._files = (path, Path(f"{path}-wal"))
        self._before: list[bytes] = []
        self._at_cut: list[bytes] = []

    def remember(self) -> None:
        """What is synced now."""
        self._before = self._read()

    def cut(self) -> None:
        """What has reached the disk when the power goes: of the bytes that the commit wrote to
        the log any first part; where it came to the file itself, the log was synced before."""
        (old_file, old_log), (file, log) = self._before, self._read()
        if file == old_file:
            torn = self._chance.random() < 0.7
            at = self._chance.randint(*_changed(old_log, log)) if torn else len(log)
            log = log[:at] + old_log[at:]
        elif self._chance.random() < 0.5:
            at = self._chance.randint(0, len(file))
            file = file[:at] + old_file[at:]
        self._at_cut = [file, log]

    def restore(self) -> None:
        """After the process is gone, the files are what they were at the cut."""
        for path, data in zip(self._files, self._at_cut, strict=True):
            path.write_bytes(data)

    def _read(self) -> list[bytes]:
        return [path.read_bytes() if path.exists() else b"" for path in self._files]


def _changed(before: bytes, after: bytes) -> tuple[int, int]:
    """About where the bytes begin to differ, and where they end to."""
    size = 512
    places = [
        at for at in range(0, len(after), size) if after[at : at + size] != before[at : at + size]
    ]
    return (places[0], places[-1] + size) if places else (len(after), len(after))


class FailingStore(Store):
    """A store on such a disk; `fail_at` arms it for the next commit."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk.path)
        # The log comes to the file often, so that power goes during that too; what is synced at a
        # cut is this disk's to say, so that no time is spent on the real one.
        self._db.execute("PRAGMA wal_autocheckpoint = 30")
        self._db.execute("PRAGMA synchronous = OFF")
        self._disk = disk
        self._connection = self._db
        self.intended: Tip | None = None

    def fail_at(self, statement: int, *, dark: bool) -> None:
        """Let the next commit fail before its statement of this number (from 0; `STATEMENTS`:
        when all have run), by a power cut or, where not `dark`, by the disk's refusal."""
        self._disk.remember()
        self._db = _Failing(self._connection, self._disk, statement, dark)  # type: ignore[assignment]

    def mend(self) -> None:
        """The disk works again."""
        self._db = self._connection

    def _commit(
        self, tip: Tip, rows: Any, sealed: dict[Slot, Items], kept: KeptBlock | None
    ) -> None:
        self.intended = tip
        super()._commit(tip, rows, sealed, kept)
        if isinstance(self._db, _Failing):
            self._db.spend()


class _Failing:
    """A connection that fails at a statement; a reader sees none of it."""

    def __init__(
        self, connection: sqlite3.Connection, disk: Disk, statement: int, dark: bool
    ) -> None:
        self._connection, self._disk = connection, disk
        self._left, self._dark = statement, dark

    @property
    def in_transaction(self) -> bool:
        """Whether there is something to roll back: a dark machine rolls nothing back."""
        return self._connection.in_transaction

    def spend(self) -> None:
        """One more statement; the failure when it is that one's turn."""
        self._left -= 1
        if self._left == -1 and self._dark:
            self._disk.cut()
            raise PowerCut
        if self._left == -1:
            raise sqlite3.OperationalError("disk I/O error")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement, or fail."""
        self.spend()
        return self._connection.execute(statement, *values)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        """Run a statement for each row, or fail."""
        self.spend()
        return self._connection.executemany(statement, rows)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
