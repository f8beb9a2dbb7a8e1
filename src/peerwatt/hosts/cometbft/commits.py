"""What stands behind a validators' chain in a folder: every header as the engine's validators
signed it.

Knows the light client's checks and the nodes' answers, and believes neither nodes nor files. Two
files stand beside the chain's own:

    engine-genesis.json   the engine's genesis document, with the first validators
    commits.jsonl         a line a block: the engine's header, the votes under it and, where they
                          are others than before, its validators, all in the engine's own JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.client import EngineGenesis, difference, read_genesis
from peerwatt.hosts.cometbft.light import (
    MAX_VALIDATORS,
    EngineHeader,
    Validators,
    read_header,
    read_validators,
    signers,
    validators_hash,
)
from peerwatt.hosts.cometbft.reader import results_hash
from peerwatt.hosts.cometbft.rpc import Nodes, Rpc, Unusable, field, number
from peerwatt.hosts.folder import GENESIS, FolderError
from peerwatt.hosts.folder import read_genesis as ledger_genesis
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis
from peerwatt.units import PPM

ENGINE_GENESIS = "engine-genesis.json"
COMMITS = "commits.jsonl"
Line = dict[str, Any]


class Signed(NamedTuple):
    """What was found under a chain: who signs its last block, the least share of the power that
    signed any (in ppm), and the hash by which the engine names each header."""

    validators: Validators
    least_ppm: int
    hashes: list[bytes]


class Signatures:
    """Checks lines of votes one after the other, from the genesis's validators on: each header's
    set is the one that the header before announced, and more than two thirds of its power signed.
    """

    def __init__(self, chain_id: str, validators: Validators) -> None:
        self.chain_id, self.validators, self.height = chain_id, validators, 0
        self._due = validators_hash(validators)

    @property
    def due(self) -> bytes:
        """The hash of the set that must have signed the next header."""
        return self._due

    def follow(self, line: Mapping[str, Any]) -> tuple[EngineHeader, int]:
        """The next header, and which part of the power signed it, in ppm; ValueError if it is not
        the next one that was signed."""
        height = self.height + 1
        header, chain_id = read_header(field(line, "header"))
        commit = field(line, "commit")
        signed = str(field(commit, "block_id", "hash")).lower()
        if (chain_id, header.height, number(commit, "height")) != (self.chain_id, height, height):
            raise ValueError("is of another height or chain")
        if signed != header.hash.hex():
            raise ValueError("the votes are for another header")
        validators = self.validators
        if "validators" in line:
            validators = read_validators(line["validators"])
        if not header.validators_hash == self._due == validators_hash(validators):
            raise ValueError("its validators are not those that were announced")
        power, total = signers(chain_id, commit, validators), sum(validators.values())
        if 3 * power <= 2 * total:
            raise ValueError(f"signed by a power of {power} of {total}, not more than two thirds")
        self.validators, self.height = validators, height
        self._due = header.next_validators_hash
        return header, power * PPM // total


def write(folder: Path, document: bytes, urls: Sequence[str], last: int) -> None:
    """Fetch what stands under the blocks up to the last one, check it, and write both files.

    Args:
        folder: where the chain's own files are.
        document: the engine's genesis document.
        urls: the network's nodes.
        last: the height of the last block.

    Raises:
        RpcError: no node can show what enough validators signed.
    """
    start = read_genesis(document)
    nodes = Nodes(urls, start.chain_id)
    signatures = Signatures(start.chain_id, start.validators)
    try:
        with (folder / COMMITS).open("w", encoding="utf-8") as file:
            for _ in range(last):
                line = nodes.ask(lambda node: _ask(node, signatures))
                file.write(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")
    finally:
        nodes.close()
    (folder / ENGINE_GENESIS).write_bytes(document)


def _ask(node: Rpc, signatures: Signatures) -> Line:
    """A node's line of the next block, checked."""
    height = str(signatures.height + 1)
    signed = field(node.call("commit", height=height), "signed_header")
    line = {"header": field(signed, "header"), "commit": field(signed, "commit")}
    if signatures.due != validators_hash(signatures.validators):
        words = {"height": height, "page": "1", "per_page": str(MAX_VALIDATORS)}
        line["validators"] = field(node.call("validators", **words), "validators")
    try:
        signatures.follow(line)
    except ValueError as error:
        raise Unusable(f"{node.url}: block {height}: {error}") from None
    return line


def are_in(folder: Path) -> bool:
    """Whether a chain's folder has validators' votes in it."""
    return (folder / COMMITS).exists()


def engine_genesis(folder: Path) -> EngineGenesis:
    """The engine's genesis in a chain's folder; FolderError if there is none, or one of another
    chain than the ledger's own, or with other validators than its members'."""
    try:
        start = read_genesis((folder / ENGINE_GENESIS).read_bytes())
    except OSError as error:
        raise FolderError(f"{ENGINE_GENESIS}: {error.strerror}") from None
    except ValueError as error:
        raise FolderError(f"{ENGINE_GENESIS}: {error}") from None
    if start.ledger != ledger_genesis(folder):
        raise FolderError(f"{ENGINE_GENESIS}: is of another chain than {GENESIS}")
    members = decode(start.ledger, Genesis).members
    named = {member.validator for member in members if member.validator}
    if named and named != start.validators.keys():
        raise FolderError(f"{ENGINE_GENESIS}: its validators are not those that members run")
    return start


def check(folder: Path, chain: DecidedChain) -> Signed:
    """Hold a chain that was executed again against the headers that its validators signed.

    Raises:
        FolderError: the first line that is not what it must be, or a file that cannot be read.
    """
    start = engine_genesis(folder)
    signatures, least, hashes = Signatures(start.chain_id, start.validators), PPM, []
    for height, line in enumerate(_lines(folder), 1):
        try:
            header, share_ppm = signatures.follow(line)
            _compare(chain, height, header)
        except ValueError as error:
            raise FolderError(f"{COMMITS}: block {height}: {error}") from None
        least = min(least, share_ppm)
        hashes.append(header.hash)
    if len(hashes) != chain.height:
        raise FolderError(f"{COMMITS}: ends at block {len(hashes)} of {chain.height}")
    return Signed(signatures.validators, least, hashes)


def _compare(chain: DecidedChain, height: int, header: EngineHeader) -> None:
    name = difference(chain.block(height).signed_header.header, header)
    if name is None and height > 1:
        same = header.results_hash == results_hash(chain.receipts(height - 1))
        name = None if same else "receipts of the block before"
    if name is not None:
        raise ValueError(f"its {name} differs from what the validators signed")


def _lines(folder: Path) -> Iterator[Line]:
    try:
        with (folder / COMMITS).open(encoding="utf-8") as file:
            for text in file:
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise ValueError("a line is no object")
                yield line
    except OSError as error:
        raise FolderError(f"{COMMITS}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{COMMITS}: cannot be read ({error})") from None
