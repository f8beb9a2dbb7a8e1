"""Running a chain again from its genesis, trusting nothing that its blocks say.

Knows the files of a chain, replicas and, by parameter, a ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from peerwatt.hosts.folder import (
    WITNESSES,
    FolderError,
    read_blocks,
    read_genesis,
    read_witnesses,
)
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.replica import Replica
from peerwatt.hosts.store import Store
from peerwatt.records.receipts import Block


def replay_blocks(
    genesis: bytes, blocks: Iterable[Block], ledger: Ledger, store: Store | None = None
) -> Replica:
    """Execute blocks from the genesis on, checking each against what came before it.

    Raises:
        BlockRefused: the first block that does not follow; says its height, and what differs.
        ValueError: the ledger refuses the genesis.
    """
    replica = Replica(ledger, Store(None) if store is None else store, genesis)
    for block in blocks:
        replica.accept(block)
    return replica


def replay(folder: Path, ledger: Ledger, store: Store | None = None) -> Replica:
    """Execute an exported chain from its genesis on, and check who witnessed it.

    Raises:
        FolderError: a file is missing or not in its form, or a witness's signature is not valid.
        BlockRefused, ValueError: as `replay_blocks`.
    """
    replica = replay_blocks(read_genesis(folder), read_blocks(folder), ledger, store)
    for signature in read_witnesses(folder):
        try:
            replica.add_witness(signature)
        except ValueError as error:
            raise FolderError(f"{WITNESSES}: {error}") from None
    return replica
