"""What a day of several hubs came to, hub by hub and in all, and the tables behind it.

Knows the tables and the summary of a single hub. A table of several hubs has one column more, in
front: whose row it is; the receipts are the whole chain's, and have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from peerwatt.hosts.replica import Replica
from peerwatt.records.transactions import RecordTrade
from peerwatt.simulation.summary import facts_of
from peerwatt.simulation.tables import COLUMNS, Row, frame, receipts_table, site_tables

if TYPE_CHECKING:
    import polars as pl

HUB = "hub"
RECEIPTS = "receipts"
SUMMED = ("energy_wh", "money_ucoin", "rounds", "orders")


def sites_of(chain: Replica) -> list[str]:
    """The hubs on a chain, by name."""
    return [key.decode() for key, _ in chain.items("sites")]


def with_hubs(tables: Mapping[str, pl.DataFrame], name: str) -> pl.DataFrame:
    """One table of all hubs, from each hub's own; columns and types even where nobody has a row."""
    import polars as pl

    own = [table.select(pl.lit(hub).alias(HUB), *table.columns) for hub, table in tables.items()]
    empty = frame(name, [])
    return pl.concat([empty.select(pl.lit("").alias(HUB), *empty.columns), *own])


def of_hub(tables: Mapping[str, pl.DataFrame], hub: str) -> dict[str, pl.DataFrame]:
    """One hub's tables, as those of a day with a single one; the receipts are everybody's."""
    return {
        name: table if name == RECEIPTS else table.filter(table[HUB] == hub).drop(HUB)
        for name, table in tables.items()
    }


def region_tables(chain: Replica, cars: Mapping[bytes, str]) -> dict[str, pl.DataFrame]:
    """Every table that the chain alone gives; `cars` names the owners of wallets."""
    by_hub = {hub: site_tables(chain, cars, hub) for hub in sites_of(chain)}
    names = [name for name in COLUMNS if all(name in each for each in by_hub.values())]
    tables = {
        name: with_hubs({hub: each[name] for hub, each in by_hub.items()}, name) for name in names
    }
    return tables | {RECEIPTS: receipts_table(chain)}


def region_facts(chain: Replica, tables: Mapping[str, pl.DataFrame]) -> Row:
    """What the summary says that whoever holds chain and tables can work out again."""
    hubs = {hub: facts_of(chain, of_hub(tables, hub), hub) for hub in sites_of(chain)}
    ledger = next(iter(hubs.values()))["ledger"]
    for facts in hubs.values():
        del facts["ledger"], facts["chain_id"]
    return {
        "chain_id": chain.chain_id,
        "ledger": ledger,
        "trades_recorded": recorded_trades(tables[RECEIPTS]),
        "hubs": hubs,
        "total": {
            **{part: _sum(facts[part] for facts in hubs.values()) for part in SUMMED},
            "baselines": summed_baselines(hubs),
        },
    }


def recorded_trades(receipts: pl.DataFrame) -> int:
    """How many trades stand on the ledger, recorded by buyer and seller."""
    return receipts.filter(message=RecordTrade.__name__, reason=0).height


def summed_baselines(hubs: Mapping[str, Row]) -> Row:
    """The yardsticks of all hubs together, each hub on its own: no car goes to another one."""
    rows = [facts["baselines"] for facts in hubs.values()]
    names = dict.fromkeys(name for row in rows for name in row)
    summed = {name: _sum(row[name] for row in rows) for name in names}
    return {
        name: {key: round(value, 4 if key == "cost_usd" else 3) for key, value in row.items()}
        for name, row in summed.items()
    }


def _sum(rows: Iterable[Row]) -> Row:
    """Numbers of one name added up."""
    total: Row = {}
    for row in rows:
        for key, value in row.items():
            total[key] = total.get(key, 0) + value
    return total
