"""What a run folder says for readers, its summary and tables, held against what its chain gives.

Knows the tables and the summary's arithmetic. Names of cars, what they needed and what their own
energy costs them stand on no ledger; here they must only be in keeping with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import Finding, Verdict
from peerwatt.simulation.region_summary import (
    HUB,
    RECEIPTS,
    of_hub,
    region_facts,
    region_tables,
    sites_of,
    with_hubs,
)
from peerwatt.simulation.summary import facts_of, sums_by_car
from peerwatt.simulation.tables import COLUMNS, Row, chain_tables, frame, refused_rows
from peerwatt.units import WH_PER_KWH

if TYPE_CHECKING:
    import polars as pl

SUMMARY = "summary.json"
CONFIG = "config.json"
UTC = "UTC"
FROM_CHAIN = ("rounds", "orders", "awards", "readings", "receipts")
ON_NO_LEDGER = (
    "on no ledger, so only as the operator signed it: who the cars are, when they come and go, "
    "what they need, what their energy costs them, the yardsticks, the configuration, the page and "
    "the plots"
)


class Claims(NamedTuple):
    """What was found, every refusal that the folder lists, and the clock that it tells time by."""

    findings: list[Finding]
    refused: list[Row]
    zone: str


def check_claims(folder: Path, chain: Replica, changed: Collection[str]) -> Claims:
    """Compare summary and tables with the chain; `changed` files are known to be wrong and are not
    opened, for their bytes could be anything."""
    said = _read_summary(folder, changed)
    several = isinstance(said, dict) and "hubs" in said
    ours = region_tables(chain, {}) if several else chain_tables(chain, {}, _only_site(chain))
    refused = refused_rows([], ours["receipts"])
    if several:
        refused = [{HUB: ""} | row for row in refused]
    zone = _zone(said)
    read, wrong = {}, []
    for name in COLUMNS:
        file = f"{name}.parquet"
        table = None if file in changed else _read(folder / file, name, several)
        if table is not None:
            read[name] = table
        elif file not in changed:
            wrong.append(f"{file}: cannot be read")
    wrong += [
        f"{name}.parquet: says other than the ledger"
        for name in FROM_CHAIN
        if name in read and not _says_the_same(read[name], ours[name])
    ]
    if "refused" in read:
        rows = read["refused"].to_dicts()
        admission = [row for row in rows if row["where"] == "admission"]
        if rows != admission + refused:
            wrong.append("refused.parquet: says other than the ledger")
        refused = admission + refused
    if wrong or len(read) < len(COLUMNS):
        return Claims([Finding(Verdict.FAILS, line) for line in wrong], refused, zone)
    fresh = _has_fresh_wallets(folder, changed)
    known = {**ours, "cars": read["cars"], "refused": read["refused"]}
    if several:
        for hub in sites_of(chain):
            here = _check_cars(of_hub(read, hub), of_hub(ours, hub), fresh=fresh)
            wrong += [f"{hub}: {line}" for line in here]
        summary = _check_hubs(said, region_facts(chain, known))
    else:
        wrong += _check_cars(read, ours, fresh=fresh)
        summary = _check_summary(said, facts_of(chain, known))
    findings = [Finding(Verdict.FAILS, line) for line in wrong]
    if not wrong:
        findings.append(Finding(Verdict.HOLDS, "the tables say what the ledger says"))
    return Claims(findings + summary, refused, zone)


def _only_site(chain: Replica) -> str:
    return next(iter(sites_of(chain)), "")


def _read(path: Path, name: str, several: bool) -> pl.DataFrame | None:
    """A table, of several hubs or of one, with just the columns and types that it must have, and no
    gaps where the ledger would not show them; none if it is not that."""
    import polars as pl

    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    like = with_hubs({}, name) if several and name != RECEIPTS else frame(name, [])
    if table.schema != like.schema:
        return None
    gaps = table.drop("height", strict=False).null_count().sum_horizontal().sum()
    return None if gaps and name not in FROM_CHAIN else table


def _says_the_same(theirs: pl.DataFrame, ours: pl.DataFrame) -> bool:
    """Row for row; what cars are called stands on no ledger."""
    columns = [column for column in ours.columns if column != "car"]
    return theirs.select(columns).equals(ours.select(columns))


def _has_fresh_wallets(folder: Path, changed: Collection[str]) -> bool:
    """Whether the configuration says that a car takes a wallet for each order."""
    try:
        data = b"" if CONFIG in changed else (folder / CONFIG).read_bytes()
        said = msgspec.json.decode(data, type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return False
    return said.get("pseudonyms") == "fresh"


def _check_cars(
    theirs: dict[str, pl.DataFrame], ours: dict[str, pl.DataFrame], *, fresh: bool
) -> Iterator[str]:
    """Every wallet has one name, each its own if wallets are not `fresh`, and under a name stands
    what the ledger settled with its wallets."""
    named: dict[str, str] = {}
    for name in ("orders", "awards"):
        for wallet, car in zip(ours[name]["car"], theirs[name]["car"], strict=True):
            if named.setdefault(wallet, car) != car:
                yield f"{name}.parquet: car: one wallet has two names, {named[wallet]} and {car}"
                return
    if len(set(named.values())) < len(named) and not fresh:
        yield "awards.parquet: car: two wallets have one name"
        return
    settled: dict[str, dict[str, int]] = {}
    for row in sums_by_car(ours["awards"]).to_dicts():
        mine = settled.setdefault(named[row["car"]], dict.fromkeys(_SUMS, 0))
        for name in _SUMS:
            mine[name] += row[name]
    ports = {named[row["car"]]: row["port"] for row in ours["orders"].to_dicts()}
    lost_load = max(ours["rounds"]["lost_load_ucoin_per_kwh"], default=0)
    for row in theirs["cars"].to_dicts():
        car = row["session_id"]
        sums = settled.pop(car, None) or dict.fromkeys(_SUMS, 0)
        spent = sums["paid_ucoin"] + sums["penalty_ucoin"] - sums["received_ucoin"]
        unmet_ucoin = round(row["unmet_wh"] * lost_load / WH_PER_KWH)
        due = {
            **sums,
            "port": ports.get(car, row["port"]),
            "unmet_wh": row["need_wh"] - row["charged_wh"],
            "market_cost_ucoin": spent + unmet_ucoin + row["own_cost_ucoin"],
        }
        for name, value in due.items():
            if row[name] != value:
                yield f"cars.parquet: {car}: {name}: is {row[name]}, must be {value}"
    for car in sorted(ports.keys() - set(theirs["cars"]["session_id"])):
        yield f"cars.parquet: {car}: is missing"


_SUMS = ("charged_wh", "sold_wh", "paid_ucoin", "received_ucoin", "penalty_ucoin")


def _read_summary(folder: Path, changed: Collection[str]) -> Row | None:
    try:
        data = b"" if SUMMARY in changed else (folder / SUMMARY).read_bytes()
        return msgspec.json.decode(data, type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return None


def _zone(said: Row | None) -> str:
    """The time zone that the summary names, if there is one of that name."""
    zone = (said or {}).get("zone")
    try:
        return ZoneInfo(zone).key if isinstance(zone, str) else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _check_summary(said: Row | None, facts: Row) -> list[Finding]:
    """Every number of the summary that follows from ledger and tables, and the sums themselves."""
    if said is None:
        return [Finding(Verdict.FAILS, f"{SUMMARY}: cannot be read")]
    supplier = facts["supplier_by_main_meter_ucoin"]
    return [*_sums(facts, supplier), *_wrong(said, facts)]


def _check_hubs(said: Any, facts: Row) -> list[Finding]:
    """The same of several hubs: each one's numbers, and all together."""
    supplier = sum(hub["supplier_by_main_meter_ucoin"] for hub in facts["hubs"].values())
    findings = [*_sums(facts["total"], supplier), *_wrong(said, facts)]
    hubs = said["hubs"] if isinstance(said["hubs"], dict) else {}
    more = sorted(hubs.keys() - facts["hubs"].keys())
    if more:
        text = f"{SUMMARY}: hubs: {more[0]!r:.60} is none of the ledger's"
        findings.append(Finding(Verdict.FAILS, text))
    return findings


def _sums(facts: Row, supplier_ucoin: int) -> Iterator[Finding]:
    """What has to come out whatever happened."""
    energy, money = facts["energy_wh"], facts["money_ucoin"]
    sources = energy["from_cars"] + energy["from_grid"] + energy["from_pv"]
    uses = energy["needed"] - energy["unmet"] + energy["sold_to_grid"] + energy["losses"]
    for text, so in (
        ("money sums to zero", money["sum"] == 0),
        ("energy balances to the Wh", sources == uses),
        (
            "the supplier's part is its main meter times its tariff",
            supplier_ucoin == money["supplier"],
        ),
    ):
        yield Finding(Verdict.HOLDS if so else Verdict.FAILS, text)


def _wrong(said: Any, facts: Row) -> list[Finding]:
    """Where the summary says other than the facts, or that it does not."""
    wrong = [
        Finding(Verdict.FAILS, f"{SUMMARY}: {key}: says {says!r:.60}, comes to {is_!r}")
        for key, says, is_ in _differing("", said, facts)
    ]
    if wrong:
        return wrong
    text = "the summary's energy, money, rounds and orders are those of the ledger"
    return [Finding(Verdict.HOLDS, text)]


def _differing(path: str, said: Any, facts: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(facts, dict):
        for key, fact in facts.items():
            theirs = said.get(key) if isinstance(said, dict) else None
            yield from _differing(f"{path}.{key}".removeprefix("."), theirs, fact)
    elif type(said) is not type(facts) or said != facts:
        yield path, said, facts
