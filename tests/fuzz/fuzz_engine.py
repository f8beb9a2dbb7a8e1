"""Fuzzing targets: what CometBFT's process sends, and the genesis document that it is given.

Knows the wire and the genesis. Protobuf is not canonical, so that what holds is less: what was
read, written again, reads the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path

from fuzz_decoders import one_line, shape

from peerwatt.hosts.cometbft import genesis
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.wire import Frames, Union, WireError

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
        for each in chain.from_iterable(map(frames.feed, pieces)):
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
    return "\n".join(_read(reader).replace(str(home), "") for reader in readers)


def _read(reader: Callable[[], bytes]) -> str:
    try:
        reader()
    except genesis.GenesisError as error:
        return shape(one_line(error))
    return "read"


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
