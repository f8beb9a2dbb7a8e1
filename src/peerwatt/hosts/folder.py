"""A chain as a folder of three files, from which anyone can run it again.

Knows records and files. `genesis.bin` is the genesis; `blocks.bin` and `witnesses.bin` hold
one canonical record after another, each behind its length. Same chain, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from peerwatt.records.chain import WitnessSignature, frame, unframe
from peerwatt.records.codec import CodecError, R
from peerwatt.records.receipts import Block

GENESIS = "genesis.bin"
BLOCKS = "blocks.bin"
WITNESSES = "witnesses.bin"


class FolderError(ValueError):
    """A chain's file is missing, cut off or not in the form it must have."""


def write_chain(
    folder: Path, genesis: bytes, blocks: Iterable[bytes], witnesses: Iterable[bytes]
) -> None:
    """Write the three files, over those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GENESIS).write_bytes(genesis)
    for name, records in ((BLOCKS, blocks), (WITNESSES, witnesses)):
        with (folder / name).open("wb") as file:
            file.writelines(map(frame, records))


def read_genesis(folder: Path) -> bytes:
    """The genesis of a chain; FolderError if it is not there."""
    return _read(folder / GENESIS)


def read_blocks(folder: Path) -> Iterator[Block]:
    """The blocks of a chain in their order; FolderError names the first that is no block."""
    return _records(folder / BLOCKS, Block)


def read_witnesses(folder: Path) -> Iterator[WitnessSignature]:
    """The witnesses' signatures; FolderError names the first that is none."""
    return _records(folder / WITNESSES, WitnessSignature)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path.name}: {error.strerror}") from None


def _records(path: Path, record_type: type[R]) -> Iterator[R]:
    try:
        yield from unframe(_read(path), record_type)
    except CodecError as error:
        raise FolderError(f"{path.name}: {error}") from None
