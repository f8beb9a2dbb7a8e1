"""Fuzzing targets: what CometBFT's process sends, other nodes' snapshots, the genesis document.

Knows the wire, snapshots and the genesis. Protobuf is not canonical, so that less holds of it: what
was read, written again, reads the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from itertools import chain as chained
from pathlib import Path

from fuzz_bench import SETTLED_GENESIS, settled_hub
from fuzz_decoders import one_line, shape

from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import genesis
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.parts import Snapshot
from peerwatt.hosts.cometbft.snapshots import Arrival, SnapshotError, chunk_hashes, describe, take
from peerwatt.hosts.cometbft.wire import Frames, Union, WireError
from peerwatt.hosts.replica import Replica
from peerwatt.hosts.store import Store
from peerwatt.records.codec import digest, encode

MAX_BYTES = 1 << 12


def abci(data: bytes) -> str:
    """A stream of requests; and of responses, which are read from other nodes' recordings."""
    said = []
    for union in (REQUEST, RESPONSE):
        whole = _cut(data, len(data))
        assert whole == _cut(data, 1), "what arrives by the byte is cut otherwise"
        said += [f"{union.name}: {_decoded(each, union)}" for each in whole[0]]
        said.append(f"{union.name}: {whole[1]}")
    return "\n".join(said)


def _cut(data: bytes, step: int) -> tuple[list[bytes], str]:
    """The stream's messages where so many bytes arrive at a time, and why it ended."""
    frames, messages = Frames(MAX_BYTES), []
    pieces = [data[at : at + step] for at in range(0, len(data), step or 1)]
    try:
        for each in chained.from_iterable(map(frames.feed, pieces)):
            messages.append(each)
    except WireError as error:
        return messages, shape(one_line(error))
    return messages, "waits" if frames.held else "all"


def _decoded(data: bytes, union: Union) -> str:
    try:
        message = union.decode(data)
    except WireError as error:
        return shape(one_line(error))
    assert union.decode(union.encode(message)) == message
    return type(message).__name__


def engine_genesis(data: bytes) -> str:
    """The engine's genesis document, and its part that is handed to the ledger."""
    home = Path(_home().name)
    (home / "config").mkdir(exist_ok=True)
    (home / genesis.FILE).write_bytes(data)
    readers = (lambda: genesis.read_genesis_document(home), lambda: genesis.read_app_state(data))
    return "\n".join(map(_read, readers))


def _read(reader: Callable[[], bytes]) -> str:
    try:
        reader()
    except genesis.GenesisError as error:
        return shape(one_line(error).rpartition("genesis.json: ")[2])
    return "read"


def snapshot(data: bytes) -> str:
    """A snapshot from another node, described as it is, that must be of a known state; and a
    description that was made of these bytes."""
    genesis_bytes, app_hash, height = snapshot_of()[1:]
    listed = Snapshot(height=1, format=1, chunks=1, hash=digest(data), metadata=data)
    said = [_refused(lambda: chunk_hashes(listed))]

    def opened() -> None:
        arrival = Arrival(describe(height, data), app_hash)
        assert arrival.add(0, data)
        contents = arrival.open(ledger, genesis_bytes)
        assert encode(contents) == data
        assert contents.app_hash == app_hash

    said.append(_refused(opened))
    return "\n".join(said)


def _refused(step: Callable[[], object]) -> str:
    try:
        step()
    except SnapshotError as error:
        return shape(one_line(error))
    return "taken"


@cache
def snapshot_of() -> tuple[bytes, bytes, bytes, int]:
    """A snapshot of a chain with a settled round; its genesis, app hash and height."""
    made, kept = settled_hub(), Store(None)
    chain = Replica(ledger, kept, encode(SETTLED_GENESIS))
    for at in range(1, made.host.height + 1):
        chain.accept(made.host.block(at))
    return take(kept), encode(SETTLED_GENESIS), chain.app_hash, chain.height


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
