"""Snapshots: all that a new node needs to go on from a height, checked before it is used.

Knows the store's rows, records and trees. A snapshot is made alike on every node. Its app hash
and the roots in its rounds prove the hashed tables and the sealed trees. Rows that no hash
covers (the orders of an open round, say) come on the word of who made it; where they were
changed, the first block that they matter to gives another app hash and stops that one node.
"""

from __future__ import annotations

import logging
from pathlib import Path

from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.parts import Snapshot
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.state import Items, Row, Slot
from peerwatt.hosts.store import KeptBlock, Store, Tip
from peerwatt.records.bundles import ROUNDS, TREES
from peerwatt.records.chain import transactions_root
from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.merkle import sealed_root
from peerwatt.units import Count, Hash

FORMAT = 1
CHUNK_BYTES = 1 << 20
MAX_CHUNKS = 1 << 12
KEPT = 2
SUFFIX = ".snapshot"
UNFINISHED = ".unfinished"
_NO_ROOT = bytes(32)

logger = logging.getLogger(__name__)


class SnapshotError(ValueError):
    """A snapshot that is not to be used; says why in one line."""


class Contents(Record):
    """All of a snapshot: where the chain stands, its last block and that block's result, the ids
    of all blocks, and every row (table, scope, key, value) and sealed tree in their order."""

    height: Count
    genesis: bytes
    app_hash: Hash
    undo: bytes
    block: bytes
    result: bytes
    block_ids: tuple[Hash, ...]
    rows: tuple[tuple[str, bytes, bytes, bytes], ...]
    sealed: tuple[tuple[str, bytes, tuple[tuple[bytes, bytes], ...]], ...]


def take(store: Store) -> bytes:
    """The snapshot of what a store holds, which must have a block."""
    tip = store.tip()
    block = None if tip is None else store.block(tip.height)
    result = None if tip is None else store.result(tip.height)
    if tip is None or block is None or result is None:
        raise ValueError(f"{store.name}: has no block at which to take a snapshot")
    rows = sorted(
        (name, scope, key, value or b"") for name, scope, key, value in store.state_rows()
    )
    sealed = [
        (name, scope, tuple(store.sealed_items(name, scope) or ()))
        for name, scope in sorted(store.sealed_slots())
    ]
    return encode(
        Contents(
            height=tip.height,
            genesis=tip.genesis,
            app_hash=tip.app_hash,
            undo=tip.undo,
            block=block,
            result=result,
            block_ids=tuple(store.block_ids()),
            rows=tuple(rows),
            sealed=tuple(sealed),
        )
    )


def describe(height: int, data: bytes) -> Snapshot:
    """How a snapshot is offered: its metadata are the hashes of its chunks, its hash is theirs."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    metadata = encode(tuple(map(digest, chunks)))
    return Snapshot(
        height=height,
        format=FORMAT,
        chunks=len(chunks),
        hash=digest(metadata),
        metadata=metadata,
    )


def chunk_hashes(offered: Snapshot) -> tuple[bytes, ...]:
    """The hashes of an offered snapshot's chunks.

    Raises:
        SnapshotError: what is said of it does not fit together.
    """
    if digest(offered.metadata) != offered.hash:
        raise SnapshotError("metadata: is not what the snapshot's hash is of")
    try:
        hashes = decode(offered.metadata, tuple[Hash, ...])
    except CodecError as error:
        raise SnapshotError(f"metadata: {error}") from None
    if not 0 < len(hashes) == offered.chunks <= MAX_CHUNKS:
        raise SnapshotError(
            f"chunks: {offered.chunks} are announced, {len(hashes)} have hashes, "
            f"1 to {MAX_CHUNKS} are allowed"
        )
    return hashes


class Arrival:
    """An accepted snapshot, as its chunks come in.

    Args:
        offered: how it was described.
        app_hash: of the state at its height, as a light client verified it.

    Raises:
        SnapshotError: the description does not fit together.
    """

    def __init__(self, offered: Snapshot, app_hash: bytes) -> None:
        if offered.height < 1:
            raise SnapshotError(f"height: is {offered.height}, must be 1 or more")
        self._height = offered.height
        self._app_hash = app_hash
        self._hashes = chunk_hashes(offered)
        self._chunks: dict[int, bytes] = {}

    def add(self, index: int, chunk: bytes) -> bool:
        """Take in a chunk; False if it is not the one that was announced."""
        if not 0 <= index < len(self._hashes) or digest(chunk) != self._hashes[index]:
            return False
        self._chunks[index] = chunk
        return True

    @property
    def is_complete(self) -> bool:
        """Whether every chunk has come."""
        return len(self._chunks) == len(self._hashes)

    def open(self, ledger: Ledger, genesis: bytes) -> Contents:
        """What is in it, checked as far as hashes reach.

        Raises:
            SnapshotError: it is of another chain, height or state, or does not fit together.
        """
        data = b"".join(self._chunks[index] for index in range(len(self._hashes)))
        try:
            contents = decode(data, Contents)
        except CodecError as error:
            raise SnapshotError(f"contents: {error}") from None
        if contents.genesis != genesis:
            raise SnapshotError("genesis: is another chain's")
        if (contents.height, contents.app_hash) != (self._height, self._app_hash):
            raise SnapshotError("app_hash: is not the one that the validators signed")
        _check_rows(contents, ledger)
        with Store(None) as store:
            try:
                restore(contents, store)
                chain = DecidedChain(ledger, store, genesis)
                _check_roots(contents, chain)
            except ValueError as error:
                why = str(error).removeprefix(f"{store.name}: ")
                raise SnapshotError(f"contents: {why}") from None
        return contents


def restore(contents: Contents, store: Store) -> None:
    """Put a snapshot in the place of all that a store holds."""
    rows = [Row(*row) for row in contents.rows]
    sealed: dict[Slot, Items] = {(name, scope): items for name, scope, items in contents.sealed}
    tip = Tip(contents.height, contents.genesis, contents.app_hash, contents.undo)
    block_id = contents.block_ids[-1] if contents.block_ids else b""
    kept = KeptBlock(block_id, contents.block, contents.result)
    store.replace(tip, rows, sealed, contents.block_ids[:-1], kept)


def _check_rows(contents: Contents, ledger: Ledger) -> None:
    """Each row once, and in a hashed table by its key alone: what is read is what is hashed."""
    hashed = [table.name for table in ledger.TABLES if table.hashed]
    last: tuple[str, bytes, bytes] | None = None
    for name, scope, key, _ in contents.rows:
        if last is not None and last >= (name, scope, key):
            raise SnapshotError(f"rows: those of {name!r} do not ascend")
        if scope and name in hashed:
            raise SnapshotError(f"rows: the hashed table {name!r} has no scopes")
        last = (name, scope, key)


def _check_roots(contents: Contents, chain: DecidedChain) -> None:
    """Every sealed tree has the root that its round says, no round misses one, and the last block
    holds what its header says."""
    roots = {
        (tree, round_id): getattr(record, f"{tree}_root")
        for round_id, record in chain.items(ROUNDS)
        for tree in TREES
    }
    block = chain.block(chain.height)
    header = block.signed_header.header
    if transactions_root(block.transactions) != header.transactions_root:
        raise SnapshotError("block: its transactions are not those of its header")
    for name, scope, items in contents.sealed:
        if roots.pop((name, scope), None) != sealed_root(items):
            raise SnapshotError(f"sealed: {name!r} of {scope.hex()} has not its round's root")
    for (name, scope), root in roots.items():
        if root != _NO_ROOT:
            raise SnapshotError(f"sealed: {name!r} of {scope.hex()} is missing")


class Shelf:
    """The newest snapshots of a node, in a folder; `every` is in how many blocks one is taken."""

    def __init__(self, folder: Path, every: int) -> None:
        if every < 0:
            raise ValueError(f"every: is {every}, must be 0 (never) or more")
        self._folder = folder
        self._every = every
        self._offered: dict[int, Snapshot] = {}
        for path in folder.glob(f"*{UNFINISHED}"):
            path.unlink()
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            self._know(path)

    def _know(self, path: Path) -> None:
        """Offer a file that is whole; take one away that is not."""
        height, _, known = path.name.removesuffix(SUFFIX).partition("-")
        snapshot = describe(int(height), path.read_bytes()) if height.isdigit() else None
        if snapshot is not None and snapshot.hash.hex() == known:
            self._offered[snapshot.height] = snapshot
        else:
            logger.warning("snapshot %s: damaged, removed", path.name)
            path.unlink()

    @property
    def offered(self) -> tuple[Snapshot, ...]:
        """All that can be had, the newest first."""
        return tuple(self._offered[height] for height in sorted(self._offered, reverse=True))

    @property
    def blocks_covered(self) -> int:
        """How far back the oldest snapshot can lie: whoever starts from it asks for its header."""
        return self._every * (KEPT + 1)

    def take_if_due(self, store: Store, height: int) -> None:
        """Take a snapshot where the height asks for one, and let go of the oldest. A disk that has
        no room for it must not stop a validator."""
        if self._every == 0 or height % self._every:
            return
        try:
            self._keep(height, take(store))
        except OSError as error:
            logger.warning("snapshot of %d not kept: %s", height, error.strerror)

    def _keep(self, height: int, data: bytes) -> None:
        snapshot = describe(height, data)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(snapshot)
        unfinished = path.with_suffix(UNFINISHED)
        unfinished.write_bytes(data)
        unfinished.replace(path)
        self._offered[height] = snapshot
        for old in sorted(self._offered)[:-KEPT]:
            self._path(self._offered.pop(old)).unlink(missing_ok=True)

    def chunk(self, height: int, snapshot_format: int, index: int) -> bytes:
        """A chunk; empty if there is none."""
        snapshot = self._offered.get(height)
        if snapshot is None or snapshot_format != FORMAT or not 0 <= index < snapshot.chunks:
            return b""
        try:
            with self._path(snapshot).open("rb") as file:
                file.seek(index * CHUNK_BYTES)
                return file.read(CHUNK_BYTES)
        except OSError as error:
            logger.warning("snapshot of %d not read: %s", height, error.strerror)
            return b""

    def _path(self, snapshot: Snapshot) -> Path:
        return self._folder / f"{snapshot.height}-{snapshot.hash.hex()}{SUFFIX}"
