"""Checks a run folder: manifest, replay from genesis, awards, money, tables, and who witnessed it.

Knows the ledger, replicas, run folders and tables. Nothing in the folder is believed: the chain
is executed again from its genesis and everything else is compared with what came out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from peerwatt.audit.claims import ON_NO_LEDGER, UTC, check_claims
from peerwatt.audit.rederive import Certified, Rederived, rederive
from peerwatt.audit.validators import LiveNetwork, check_votes
from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.state import InvariantError
from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.folder import (
    BLOCKS,
    GENESIS,
    WITNESSES,
    FolderError,
    read_blocks,
    read_genesis,
    read_witnesses,
)
from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.hosts.store import Store
from peerwatt.records.bundles import Finding, Verdict
from peerwatt.records.chain import UNSIGNED
from peerwatt.records.signing import SIMULATION_PREFIX
from peerwatt.reporting.clearing_gap import at_most, gap_ppb
from peerwatt.reporting.day_words import count
from peerwatt.reporting.manifest import Manifest, ManifestError, check_manifest, read_manifest
from peerwatt.simulation.tables import Row

LEDGER = "ledger"
PROPOSED = ("welfare-pairs", "welfare-proposed")
AUCTION = "iterative-auction"
Progress = Callable[[int], None]


class Report(NamedTuple):
    """What was found, and what was refused, in the ledger's words: at admission, which the operator
    alone saw, and in blocks; and how good each round's clearing is, at most."""

    findings: list[Finding]
    refused: list[Row]
    clearings: list[Certified]
    zone: str
    """On whose clock the site lives, as the summary says; UTC where it says nothing."""


def verify_folder(
    folder: Path,
    *,
    trusted_head: bytes | None = None,
    witness: bytes | None = None,
    network: LiveNetwork | None = None,
    progress: Progress = lambda height: None,
) -> Report:
    """All that can be said of a run folder, which without a readable manifest is nothing; beside
    a network, whether its blocks are the ones that the network's validators signed."""
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return Report([Finding(Verdict.FAILS, str(error))], [], [], UTC)
    problems = check_manifest(folder)
    findings = [Finding(Verdict.FAILS, problem) for problem in problems]
    if not problems:
        findings.append(Finding(Verdict.HOLDS, _as_signed(manifest)))
    chain, replayed = _replay(folder / LEDGER, progress)
    findings += replayed
    if chain is None:
        return Report(findings, [], [], UTC)
    findings.append(_signer_finding(chain, manifest))
    derived = rederive(chain)
    findings += _round_findings(derived)
    claims = check_claims(folder, chain, {problem.split(": ")[0] for problem in problems})
    findings += claims.findings
    votes, hashes = check_votes(folder / LEDGER, chain, network)
    findings += votes
    if network is None or trusted_head or witness:
        findings += _anchor_findings(chain, hashes, trusted_head, witness)
    findings.append(Finding(Verdict.NOT_SHOWN, ON_NO_LEDGER))
    if chain.chain_id.startswith(SIMULATION_PREFIX):
        text = "a simulation: anyone can derive its keys, so its signatures name nobody"
        findings.append(Finding(Verdict.NOT_SHOWN, text))
    return Report(findings, claims.refused, derived.certified, claims.zone)


def _as_signed(manifest: Manifest) -> str:
    text = f"all {len(manifest.files)} files are as signed by {manifest.public_key[:16]}…"
    return text + f" (not signed: {', '.join(manifest.unsigned)})" if manifest.unsigned else text


def _signer_finding(chain: Replica, manifest: Manifest) -> Finding:
    """Who signed the folder: on a chain that one party runs its proposer, else some member."""
    here = manifest.chain_id == chain.chain_id
    if not isinstance(chain, DecidedChain):
        own = here and manifest.public_key == (chain.proposer or b"").hex()
        return _finding(own, "the folder is signed by its chain's own proposer")
    members = {key.hex(): member.name for key, member in chain.items("members")}
    name = members.get(manifest.public_key)
    text = f"the folder is signed by {'a member of its chain' if name is None else name}"
    return _finding(here and name is not None, text)


def _finding(holds: bool, text: str) -> Finding:
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, text)


def _replay(folder: Path, progress: Progress) -> tuple[Replica | None, list[Finding]]:
    """The chain executed again, with the invariants checked after every block."""
    file = GENESIS
    try:
        chain = _kind(folder)(ledger, Store(None), read_genesis(folder))
        file = BLOCKS
        for block in read_blocks(folder):
            chain.accept(block)
            for line in broken_invariants(chain.state):
                raise InvariantError(f"after block {chain.height}: {line}")
            progress(chain.height)
    except (FolderError, BlockRefused, InvariantError, ValueError) as error:
        why = str(error).removeprefix(f"{file}: ")
        return None, [Finding(Verdict.FAILS, f"{LEDGER}/{file}: {why}")]
    messages = sum(len(chain.block(h).transactions) for h in range(1, chain.height + 1))
    return chain, [
        Finding(
            Verdict.HOLDS,
            f"{chain.height} {_made(chain)} blocks follow from genesis; {messages} messages, "
            "executed again, give the same receipts and the same state",
        ),
        Finding(Verdict.HOLDS, "coins, holds and energy balance after every block"),
        *_witness_findings(chain, folder),
    ]


def _kind(folder: Path) -> type[Replica]:
    """One party's chain, or one that an engine's validators decided; the first block tells."""
    with suppress(FolderError):
        for block in read_blocks(folder):
            return DecidedChain if block.signed_header.signature == UNSIGNED else Replica
    return Replica


def _made(chain: Replica) -> str:
    return "unsigned" if isinstance(chain, DecidedChain) else "signed"


def _witness_findings(chain: Replica, folder: Path) -> list[Finding]:
    """A signature in the folder that is none; the good ones are kept with the chain."""
    try:
        for signature in read_witnesses(folder):
            chain.add_witness(signature)
    except ValueError as error:
        why = str(error).removeprefix(f"{WITNESSES}: ")
        return [Finding(Verdict.FAILS, f"{LEDGER}/{WITNESSES}: {why}")]
    return []


def _round_findings(derived: Rederived) -> list[Finding]:
    if derived.differing:
        return [Finding(Verdict.FAILS, f"derived again, differs: {d}") for d in derived.differing]
    return [
        Finding(
            Verdict.HOLDS,
            f"{derived.awards} awards of {len(derived.certified)} rounds follow from the sealed "
            f"books, and {derived.settled} settlements from the signed readings",
        ),
        *_gap_findings(derived.certified),
    ]


def _gap_findings(clearings: list[Certified]) -> list[Finding]:
    """By how much another clearing could be better at most, over all rounds of which that is
    certified, and of how many it is not; of an auction, another allocation of its last bids."""
    gaps, auctions = (
        [
            gap_ppb(each.gap_ucoin, each.traded_ucoin)
            for each in clearings
            if each.gap_ucoin is not None and (each.mechanism == AUCTION) is auctioned
        ]
        for auctioned in (False, True)
    )
    findings = []
    if auctions:
        text = f"no allocation of the last bids of {count(len(auctions), 'auction')} can be beaten "
        text += f"by more than {at_most(max(auctions))} of what was traded (counted as at least "
        text += "one coin), up to the rounding to whole Wh"
        findings.append(Finding(Verdict.HOLDS, text))
    if gaps:
        text = f"no clearing of {count(len(gaps), 'round')} can be beaten by more than "
        text += f"{at_most(max(gaps))} of what it traded (counted as at least one coin)"
        proposed = any(each.mechanism in PROPOSED for each in clearings)
        text += ", up to the rounding to whole Wh" if proposed else ""
        findings.append(Finding(Verdict.HOLDS, text))
    left_over = len(clearings) - len(gaps) - len(auctions)
    if left_over:
        left = count(left_over, "round")
        text = f"how much better {left} could have been cleared than against the grid alone"
        findings.append(Finding(Verdict.NOT_SHOWN, text))
    return findings


def _anchor_findings(
    chain: Replica,
    engine_hashes: list[bytes],
    trusted_head: bytes | None,
    witness: bytes | None,
) -> list[Finding]:
    """What stands behind the chain beside its operator's own word."""
    findings = []
    ids = [chain.block(h).signed_header.header.block_id for h in range(1, chain.height + 1)]
    if trusted_head is not None:
        text = f"the head that you trust, {trusted_head.hex()[:16]}…, is on this chain"
        findings.append(_finding(trusted_head in ids + engine_hashes, text))
    signers = [each.witness for each in chain.witnesses() if each.height == chain.height]
    if witness is not None:
        text = f"the head is co-signed by {witness.hex()[:16]}…, whom you trust"
        findings.append(_finding(witness in signers, text))
    if not findings:
        seen = ", ".join(_name(chain, each) for each in signers)
        text = "internally consistent; its operator is not independently witnessed"
        if isinstance(chain, DecidedChain):
            text = "internally consistent; you named no head of it that you trust"
        text += f" (co-signed by {seen}: trust it with --witness)" if seen else ""
        findings.append(Finding(Verdict.NOT_SHOWN, text))
    return findings


def _name(chain: Replica, key: bytes) -> str:
    member = chain.get("members", key)
    return f"{'no member' if member is None else member.name}, {key.hex()}"


def open_chain(folder: Path) -> Replica:
    """The chain of a run folder, executed again; ValueError where that fails."""
    read_manifest(folder)
    chain, findings = _replay(folder / LEDGER, lambda height: None)
    if chain is None:
        raise ValueError(findings[0].text)
    return chain
