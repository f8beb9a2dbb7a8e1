"""Checks a run folder: manifest, replay from genesis, awards, money, tables, and who witnessed it.

Knows the ledger, replicas, run folders and tables. Nothing in the folder is believed: the chain
is executed again from its genesis and everything else is compared with what came out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from peerwatt.audit.rederive import rederive
from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.folder import FolderError, read_blocks, read_genesis, read_witnesses
from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.hosts.store import Store
from peerwatt.records.bundles import Finding, Verdict
from peerwatt.reporting.manifest import check_manifest, read_manifest
from peerwatt.simulation.summary import energy_wh, money_ucoin, supplier_by_main_meter_ucoin
from peerwatt.simulation.tables import Row, chain_tables, refused_rows

if TYPE_CHECKING:
    import polars as pl

LEDGER = "ledger"
FROM_CHAIN = ("orders", "awards", "readings", "receipts", "rounds")
Progress = Callable[[int], None]


class Report(NamedTuple):
    """What was found, and what blocks refused, in the ledger's words."""

    findings: list[Finding]
    refused: list[Row]


def verify_folder(
    folder: Path,
    *,
    trusted_head: bytes | None = None,
    witness: bytes | None = None,
    progress: Progress = lambda height: None,
) -> Report:
    """All that can be said of a run folder; ManifestError where it is none."""
    manifest = read_manifest(folder)
    problems = check_manifest(folder)
    findings = [Finding(Verdict.FAILS, problem) for problem in problems]
    if not problems:
        text = f"all {len(manifest.files)} files are as signed by {manifest.public_key[:16]}…"
        findings.append(Finding(Verdict.HOLDS, text))
    chain, broken = _replay(folder / LEDGER, progress)
    findings += broken
    if chain is None:
        return Report(findings, [])
    operator = chain.proposer is not None and chain.proposer.hex() == manifest.public_key
    findings.append(_finding(operator, "the folder is signed by the chain's own proposer"))
    findings += _round_findings(chain)
    tables = chain_tables(chain, {}, _site(chain))
    findings += _money_findings(folder, tables)
    findings += _table_findings(folder, tables)
    findings += _anchor_findings(chain, trusted_head, witness)
    return Report(findings, refused_rows([], tables["receipts"]))


def _finding(holds: bool, text: str) -> Finding:
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, text)


def _replay(folder: Path, progress: Progress) -> tuple[Replica | None, list[Finding]]:
    """The chain executed again, with the invariants checked after every block."""
    try:
        chain = Replica(ledger, Store(None), read_genesis(folder))
        for block in read_blocks(folder):
            chain.accept(block)
            for line in broken_invariants(chain.state):
                why = f"after block {chain.height}: {line}"
                return None, [Finding(Verdict.FAILS, why)]
            progress(chain.height)
        for signature in read_witnesses(folder):
            chain.add_witness(signature)
    except (FolderError, BlockRefused, ValueError) as error:
        return None, [Finding(Verdict.FAILS, f"{LEDGER}: {error}")]
    messages = sum(len(chain.block(h).transactions) for h in range(1, chain.height + 1))
    return chain, [
        Finding(
            Verdict.HOLDS,
            f"{chain.height} signed blocks follow from genesis; {messages} messages, executed "
            "again, give the same receipts and the same state",
        ),
        Finding(Verdict.HOLDS, "coins, holds and energy balance after every block"),
    ]


def _round_findings(chain: Replica) -> list[Finding]:
    derived = rederive(chain)
    if derived.differing:
        return [Finding(Verdict.FAILS, f"derived again, differs: {d}") for d in derived.differing]
    return [
        Finding(
            Verdict.HOLDS,
            f"{derived.awards} awards of {derived.cleared} rounds follow from the sealed books, "
            f"and {derived.settled} settlements from the signed readings",
        )
    ]


def _site(chain: Replica) -> str:
    return next((key.decode() for key, _ in chain.items("sites")), "")


def _money_findings(folder: Path, tables: dict[str, pl.DataFrame]) -> list[Finding]:
    """The summary against what the ledger's own tables come to."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        said = {name: summary[name] for name in ("money_ucoin", "energy_wh")}
        needed, unmet = said["energy_wh"]["needed"], said["energy_wh"]["unmet"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [Finding(Verdict.FAILS, f"summary.json: cannot be read ({error!r})")]
    money = money_ucoin(tables["rounds"])
    energy = energy_wh(tables, needed, unmet)
    sources = energy["from_cars"] + energy["from_grid"] + energy["from_pv"]
    uses = needed - unmet + energy["sold_to_grid"] + energy["losses"]
    metered = supplier_by_main_meter_ucoin(tables)
    return [
        _finding(said["money_ucoin"] == money and money["sum"] == 0, "money sums to zero"),
        _finding(said["energy_wh"] == energy and sources == uses, "energy balances to the Wh"),
        _finding(
            metered == money["supplier"], "the supplier's part is its main meter times its tariff"
        ),
    ]


def _table_findings(folder: Path, tables: dict[str, pl.DataFrame]) -> list[Finding]:
    """The tables for readers against the ledger's; names of cars stand on no ledger."""
    import polars as pl

    wrong = []
    for name in FROM_CHAIN:
        ours = tables[name]
        columns = [column for column in ours.columns if column != "car"]
        try:
            theirs = pl.read_parquet(folder / f"{name}.parquet").select(columns)
        except (OSError, pl.exceptions.PolarsError):
            wrong.append(name)
            continue
        if not theirs.equals(ours.select(columns)):
            wrong.append(name)
    if wrong:
        return [Finding(Verdict.FAILS, f"{n}.parquet says other than the ledger") for n in wrong]
    return [Finding(Verdict.HOLDS, "the tables say what the ledger says")]


def _anchor_findings(
    chain: Replica, trusted_head: bytes | None, witness: bytes | None
) -> list[Finding]:
    """What stands behind the chain beside its operator's own word."""
    findings = []
    ids = [chain.block(h).signed_header.header.block_id for h in range(1, chain.height + 1)]
    if trusted_head is not None:
        text = f"the head that you trust, {trusted_head.hex()[:16]}…, is on this chain"
        findings.append(_finding(trusted_head in ids, text))
    signers = [each.witness for each in chain.witnesses() if each.height == chain.height]
    if witness is not None:
        text = f"the head is co-signed by {witness.hex()[:16]}…, whom you trust"
        findings.append(_finding(witness in signers, text))
    if not findings:
        seen = ", ".join(f"{each.hex()[:16]}…" for each in signers)
        text = "internally consistent; its operator is not independently witnessed"
        text += f" (co-signed by {seen}: trust it with --witness)" if seen else ""
        findings.append(Finding(Verdict.NOT_SHOWN, text))
    return findings


def open_chain(folder: Path) -> Replica:
    """The chain of a run folder, executed again; ValueError where that fails."""
    read_manifest(folder)
    chain, findings = _replay(folder / LEDGER, lambda height: None)
    if chain is None:
        raise ValueError(findings[0].text)
    return chain
