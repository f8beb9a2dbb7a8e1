"""What validators say of a chain: the votes that a run's folder keeps, and a network that runs.

Knows the ledger, the engine's headers and the light client. Which validators are to be believed
the folder cannot say of itself; whoever holds the network's own genesis can.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.cometbft import commits
from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.client import CometHost, EngineGenesis, difference, read_genesis
from peerwatt.hosts.cometbft.localnet import GENESIS, Network
from peerwatt.hosts.cometbft.reader import Reader, results_hash
from peerwatt.hosts.cometbft.rpc import Nodes, RpcError
from peerwatt.hosts.folder import FolderError
from peerwatt.hosts.folder import read_genesis as read_ledger_genesis
from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import Finding, ReceiptBundle, Verdict
from peerwatt.reporting.day_words import count
from peerwatt.units import PPM


class LiveNetwork:
    """A running network as its folder describes it: the genesis is believed, the nodes are not.

    Raises:
        FilesError, GenesisError: the folder is none, or its genesis will not do.
    """

    def __init__(self, folder: Path) -> None:
        network = Network(folder)
        self.folder = folder
        self.document = (network.folder / GENESIS).read_bytes()
        self.start: EngineGenesis = read_genesis(self.document)
        self.urls = [node.rpc for node in network.nodes]

    def check_chain(self, chain: Replica, genesis: bytes) -> list[Finding]:
        """Whether a chain that was executed again is this network's, block by block."""
        same = genesis == self.start.ledger
        findings = [_finding(same, f"the chain begins as the network in {self.folder} does")]
        if not same:
            return findings
        nodes = Nodes(self.urls, self.start.chain_id)
        try:
            reader = Reader(nodes, self.start.validators)
            latest = reader.height()
            why = _first_difference(chain, reader, latest)
        except (RpcError, TimeoutError) as error:
            findings.append(_not_reached(error))
            return findings
        finally:
            nodes.close()
        text = f"the network's validators signed these {count(chain.height, 'block')}"
        text += f"; the network stands at block {latest}" if why is None else f": {why}"
        return [*findings, _finding(why is None, text)]

    def check_receipt(self, bundle: ReceiptBundle) -> list[Finding]:
        """Whether the header that a receipt leads to is one that the network's validators
        signed."""
        header = bundle.round.header.header
        height, nodes = header.context.height, Nodes(self.urls, self.start.chain_id)
        reader = Reader(nodes, self.start.validators)
        try:
            if header.chain_id != self.start.chain_id:
                what: str | None = "chain id"
            elif height > reader.height():
                what = "height"
            else:
                what = difference(header, reader.header(height))
        except (RpcError, TimeoutError) as error:
            return [_not_reached(error)]
        finally:
            nodes.close()
        text = f"header {height} is what the validators of the network in {self.folder} signed"
        return [_finding(what is None, text if what is None else f"{text}: its {what} differs")]

    def check_live(self) -> list[Finding]:
        """The network's chain as it stands, executed from its genesis on."""
        host = CometHost(ledger, self.urls, self.document)
        try:
            host.sync()
        except (RpcError, TimeoutError) as error:
            return [_not_reached(error)]
        finally:
            host.close()
        messages = sum(len(host.receipts(h)) for h in range(1, host.height + 1))
        text = f"{count(host.height, 'block')} follow from the genesis in {self.folder}, each "
        text += "signed by more than two thirds of the validators' power; "
        text += f"{count(messages, 'message')}, executed again, give the same receipts and state"
        broken = broken_invariants(host.state)
        balance = "coins, holds and energy balance after the last block"
        return [
            Finding(Verdict.HOLDS, text),
            _finding(not broken, "; ".join([balance, *broken])),
        ]


def _first_difference(chain: Replica, reader: Reader, latest: int) -> str | None:
    """The first block that is not the network's, which stands at `latest`, if there is one."""
    for height in range(1, chain.height + 1):
        if height > latest:
            return f"block {height}: the network has come to {latest} only"
        header = reader.header(height)
        what = difference(chain.block(height).signed_header.header, header)
        if what is None and height > 1:
            same = header.results_hash == results_hash(chain.receipts(height - 1))
            what = None if same else "receipts of the block before"
        if what is not None:
            return f"block {height}: its {what} differs"
    return None


class Votes(NamedTuple):
    """What validators show of a chain, and the hash by which the engine names each header."""

    findings: list[Finding]
    hashes: list[bytes]


def check_votes(folder: Path, chain: Replica, network: LiveNetwork | None) -> Votes:
    """Hold an executed chain against the votes beside it and, if one is named, a network. Of a
    chain that one process made without either there is nothing to say."""
    findings, hashes = _kept_votes(folder, chain) if isinstance(chain, DecidedChain) else ([], [])
    if network is not None:
        findings += network.check_chain(chain, read_ledger_genesis(folder))
    elif hashes:
        text = "that these are the validators you mean: the folder itself names the first of them; "
        findings.append(Finding(Verdict.NOT_SHOWN, text + "hold it against theirs with --network"))
    return Votes(findings, hashes)


def _kept_votes(folder: Path, chain: DecidedChain) -> tuple[list[Finding], list[bytes]]:
    if not commits.are_in(folder):
        text = "that a network's validators decided these blocks: the folder keeps no votes"
        return [Finding(Verdict.NOT_SHOWN, text)], []
    try:
        signed = commits.check(folder, chain)
    except FolderError as error:
        return [Finding(Verdict.FAILS, f"{folder.name}/{error}")], []
    text = f"{count(chain.height, 'block')} and their receipts are what validators signed, each "
    text += f"with at least {100 * signed.least_ppm // PPM} % of the power; "
    text += f"at the end there are {count(len(signed.validators), 'validator')}"
    return [Finding(Verdict.HOLDS, text)], signed.hashes


def _finding(holds: bool, text: str) -> Finding:
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, text)


def _not_reached(error: Exception) -> Finding:
    return Finding(Verdict.FAILS, f"the network could not be asked, or did not agree: {error}")
