"""What a run folder says for readers, its summary and tables, held against what its chain gives.

Knows the tables and the summary's arithmetic. Names of cars, what they needed and what their own
energy costs them stand on no ledger; here they must only be in keeping with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import Finding, Verdict
from peerwatt.simulation.summary import facts_of, sums_by_car
from peerwatt.simulation.tables import COLUMNS, Row, chain_tables, frame, refused_rows

if TYPE_CHECKING:
    import polars as pl

SUMMARY = "summary.json"
FROM_CHAIN = ("rounds", "orders", "awards", "readings", "receipts")
ON_NO_LEDGER = (
    "on no ledger, so only as the operator signed it: who the cars are, what they needed and "
    "what their energy costs them, the yardsticks, the configuration, the page and the plots"
)


class Claims(NamedTuple):
    """What was found, and every refusal that the folder lists."""

    findings: list[Finding]
    refused: list[Row]


def check_claims(folder: Path, chain: Replica, changed: Collection[str]) -> Claims:
    """Compare summary and tables with the chain; `changed` files are known to be wrong and are not
    opened, for their bytes could be anything."""
    ours = chain_tables(chain, {}, next((key.decode() for key, _ in chain.items("sites")), ""))
    theirs = {name: _read(folder, name, changed) for name in COLUMNS}
    refused = refused_rows([], ours["receipts"])
    wrong = [f"{name}.parquet: cannot be read" for name, table in theirs.items() if table is None]
    read = {name: table for name, table in theirs.items() if table is not None}
    wrong += [
        f"{name}.parquet: says other than the ledger"
        for name in FROM_CHAIN
        if name in read and not _says_the_same(read[name], ours[name])
    ]
    if "refused" in read:
        wrong += _check_refused(read["refused"], refused)
        refused = read["refused"].to_dicts()
    if wrong or len(read) < len(theirs):
        return Claims([Finding(Verdict.FAILS, line) for line in wrong], refused)
    wrong += _check_cars(read, ours)
    findings = [Finding(Verdict.FAILS, line) for line in wrong]
    if not wrong:
        findings.append(Finding(Verdict.HOLDS, "the tables say what the ledger says"))
    facts = facts_of(chain, {**ours, "cars": read["cars"], "refused": read["refused"]})
    return Claims(findings + _check_summary(folder, facts, changed), refused)


def _read(folder: Path, name: str, changed: Collection[str]) -> pl.DataFrame | None:
    """A table with just the columns and types that it must have; none if it is not that."""
    import polars as pl

    file = f"{name}.parquet"
    if file in changed:
        return None
    try:
        table = pl.read_parquet(folder / file)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return table if table.schema == frame(name, []).schema else None


def _says_the_same(theirs: pl.DataFrame, ours: pl.DataFrame) -> bool:
    """Row for row; what cars are called stands on no ledger."""
    columns = [column for column in ours.columns if column != "car"]
    return theirs.select(columns).equals(ours.select(columns))


def _check_refused(theirs: pl.DataFrame, ours: list[Row]) -> Iterator[str]:
    in_blocks = theirs.filter(theirs["where"] != "admission")
    if in_blocks.to_dicts() != ours:
        yield "refused.parquet: says other than the ledger"


def _check_cars(theirs: dict[str, pl.DataFrame], ours: dict[str, pl.DataFrame]) -> Iterator[str]:
    """Every wallet has one name, and under it what the ledger settled with it."""
    named: dict[str, str] = {}
    for name in ("orders", "awards"):
        for wallet, car in zip(ours[name]["car"], theirs[name]["car"], strict=True):
            if named.setdefault(wallet, car) != car:
                yield f"{name}.parquet: car: one wallet has two names, {named[wallet]} and {car}"
                return
    if len(set(named.values())) < len(named):
        yield "awards.parquet: car: two wallets have one name"
        return
    settled = {named[row.pop("car")]: row for row in sums_by_car(ours["awards"]).to_dicts()}
    for row in theirs["cars"].to_dicts():
        sums = settled.pop(row["session_id"], None)
        said = {name: row[name] for name in sums or _SUMS}
        if said != (sums or dict.fromkeys(_SUMS, 0)):
            yield f"cars.parquet: {row['session_id']}: says other than the ledger"
        elif row["unmet_wh"] != row["need_wh"] - row["charged_wh"]:
            yield f"cars.parquet: {row['session_id']}: unmet_wh: is not need less charge"
    for car in settled:
        yield f"cars.parquet: {car}: is missing"


_SUMS = ("charged_wh", "sold_wh", "paid_ucoin", "received_ucoin", "penalty_ucoin")


def _check_summary(folder: Path, facts: Row, changed: Collection[str]) -> list[Finding]:
    """Every number of the summary that follows from ledger and tables, and the sums themselves."""
    try:
        data = b"" if SUMMARY in changed else (folder / SUMMARY).read_bytes()
        said = msgspec.json.decode(data, type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return [Finding(Verdict.FAILS, f"{SUMMARY}: cannot be read")]
    wrong = [
        Finding(Verdict.FAILS, f"{SUMMARY}: {key}: says {says!r:.60}, comes to {is_!r}")
        for key, says, is_ in _differing("", said, facts)
    ]
    energy, money = facts["energy_wh"], facts["money_ucoin"]
    sources = energy["from_cars"] + energy["from_grid"] + energy["from_pv"]
    uses = energy["needed"] - energy["unmet"] + energy["sold_to_grid"] + energy["losses"]
    supplier = facts["supplier_by_main_meter_ucoin"]
    sums = [
        ("money sums to zero", money["sum"] == 0),
        ("energy balances to the Wh", sources == uses),
        ("the supplier's part is its main meter times its tariff", supplier == money["supplier"]),
    ]
    holds = [Finding(Verdict.HOLDS if so else Verdict.FAILS, text) for text, so in sums]
    if not wrong:
        text = "the summary's energy, money, rounds and orders are those of the ledger"
        wrong.append(Finding(Verdict.HOLDS, text))
    return [*holds, *wrong]


def _differing(path: str, said: Any, facts: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(facts, dict):
        for key, fact in facts.items():
            theirs = said.get(key) if isinstance(said, dict) else None
            yield from _differing(f"{path}.{key}".removeprefix("."), theirs, fact)
    elif type(said) is not type(facts) or said != facts:
        yield path, said, facts
