"""Made-up hub days, and what a run's summary says of them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.reporting.clearing_gap import gap_ppb
from peerwatt.reporting.day_tables import DAY_TABLES

sys.path.insert(0, str(Path(__file__).parent))

from made_up_day import Row, frame, trade_a_day


@dataclass
class Day:
    """What a report is written from."""

    summary: Row
    tables: dict[str, pl.DataFrame]


def make_day(
    *, seed: int = 1, forged: bool = True, limit_kw: float | None = 72.0, **given: Any
) -> Day:
    """A day as `trade_a_day` makes it, with receipts, refusals and a summary."""
    rows = trade_a_day(seed=seed, limit_kw=limit_kw, **given)
    rows["receipts"], rows["refused"] = _receipts(rows, forged)
    tables = {name: frame(name, rows.get(name, [])) for name in DAY_TABLES}
    return Day(_summary(tables, limit_kw, seed), tables)


@pytest.fixture(scope="session")
def day() -> Day:
    """A hub day of about 70 rounds and 50 orders each."""
    return make_day()


@pytest.fixture(scope="session")
def make() -> Callable[..., Day]:
    """Makes other days."""
    return make_day


REFUSALS = (
    ("submit reading", 501, "BAD_READING_SIGNATURE", "signature", "the meter did not sign it"),
    ("place order", 106, "WRONG_NONCE", "nonce", "this message was already used once"),
    ("place order", 410, "UNFUNDED", "held_ucoin", "the account holds less than it could cost"),
)


def _receipts(rows: dict[str, list[Row]], forged: bool) -> tuple[list[Row], list[Row]]:
    receipts: list[Row] = []
    refused: list[Row] = []
    for kind, count in (("place order", len(rows["orders"])), ("submit reading", 900)):
        receipts += [_receipt(1 + at // 40, at, kind) for at in range(count)]
    for kind, reason, name, what, words in REFUSALS if forged else ():
        named = {"message": kind, "reason": reason, "reason_name": name, "field": what}
        receipts.append(_receipt(400, len(refused), kind) | named)
        for where, height in (("admission", None), ("block", 400)):
            refused.append({"where": where, "height": height, "words": words, **named})
    return receipts, refused


def _receipt(height: int, index: int, kind: str) -> Row:
    transaction_id = hashlib.sha256(f"{kind} {height} {index}".encode()).hexdigest()
    return {
        "height": height,
        "index": index,
        "transaction_id": transaction_id,
        "message": kind,
        "signer": hashlib.sha256(b"signer").hexdigest(),
        "reason": 0,
        "reason_name": "OK",
        "field": "",
    }


def _rounds(rounds: pl.DataFrame) -> Row:
    void = int((rounds["status"] == "void").sum())
    return {"opened": len(rounds), "cleared": len(rounds) - void, "void": void}


def _clearings(rounds: pl.DataFrame) -> Row:
    cleared = rounds.filter(pl.col("cleared_by").is_not_null())
    kept = cleared.filter(pl.col("cleared_by") != "grid alone")
    gaps = kept.select("gap_ucoin", "traded_ucoin").rows()
    by_ledger = kept.filter(pl.col("cleared_by") == "ledger").height
    return {
        "by_ledger": by_ledger,
        "by_members": kept.height - by_ledger,
        "grid_alone": cleared.height - kept.height,
        "gap_ucoin": sum(gap for gap, _ in gaps),
        "traded_ucoin": sum(traded for _, traded in gaps),
        "largest_gap_ppb": max((gap_ppb(*each) for each in gaps), default=0),
    }


def _summary(tables: dict[str, pl.DataFrame], limit_kw: float | None, seed: int) -> Row:
    rounds, cars = tables["rounds"], tables["cars"]
    total = {
        name: int(rounds[name].sum()) for name in rounds.columns if rounds[name].dtype == pl.Int64
    }
    buyers = cars.filter(pl.col("role") == "buyer")
    sellers = cars.filter(pl.col("role") == "seller")
    needed, unmet = int(buyers["need_wh"].sum()), int(buyers["unmet_wh"].sum())
    plug_unmet = needed - int(buyers["plug_charged_wh"].sum())
    plug = int(buyers["plug_cost_ucoin"].sum()) / 1e6
    market = int(cars["market_cost_ucoin"].sum()) / 1e6
    from_cars = (total["sold_wh"] - total["pv_wh"]) / 1000
    optimum = market * 0.94
    mechanism = rounds["mechanism"][0] if len(rounds) else "welfare"
    pairs = mechanism == "welfare-pairs"
    return {
        "version": "0.1.0",
        "chain_id": f"sim-made-up-{seed}",
        "seed": seed,
        "mechanism": mechanism,
        "price_rule": "pairwise" if pairs else "midpoint",
        "site": "jpl",
        "date": "2019-08-21",
        "zone": "America/Los_Angeles",
        "battery": "ideal",
        "planning": {"departure": "stated", "stay_factor": 0.75},
        "labels": [],
        "limit_kw": limit_kw,
        "sessions": {
            "source": "ACN-Data",
            "rows_read": 22_492,
            "dropped": {"another date": 22_416, "stay over 16 h": 2, "stay under 15 min": 1},
            "oracle_rows": int(cars["oracle"].sum()),
            "buyers": len(buyers),
            "sellers": len(sellers),
            "for_sale_wh": int(sellers["for_sale_wh"].sum()),
        },
        "energy_wh": {
            "needed": needed,
            "from_cars": total["sold_wh"] - total["pv_wh"],
            "from_grid": total["import_wh"] + total["site_loss_wh"],
            "from_pv": total["pv_wh"],
            "sold_to_grid": total["export_wh"],
            "unmet": unmet,
            "losses": total["site_loss_wh"],
        },
        "money_ucoin": _money(total),
        "rounds": _rounds(rounds),
        "clearings": _clearings(rounds),
        "orders": {
            "placed": len(tables["orders"]),
            "refused": len(tables["refused"]) // 2,
            "awarded": len(tables["awards"]),
        },
        "ledger": {
            "height": 400,
            "messages": len(tables["receipts"]),
            "app_hash": hashlib.sha256(b"app").hexdigest(),
            "head": hashlib.sha256(b"head").hexdigest(),
        },
        "baselines": {
            "plug_and_charge": _baseline(plug, plug_unmet / 1000, needed / 1000, 0),
            "best_grid_only": _baseline(plug * 0.97, plug_unmet * 0.6 / 1000, needed / 1000, 0),
            "market": _baseline(market, unmet / 1000, needed / 1000, from_cars),
            "optimum": _baseline(optimum, unmet * 0.4 / 1000, needed / 1000, from_cars * 1.1),
        },
        "captured": (plug - market) / (plug - optimum) if plug > optimum else None,
    }


def _money(total: dict[str, int]) -> Row:
    return {
        "paid_by_buyers": -total["paid_ucoin"],
        "received_by_sellers": total["received_ucoin"],
        "supplier": total["supplier_ucoin"],
        "fees": total["fees_ucoin"],
        "penalties": -total["penalty_ucoin"],
        "site_operator": total["operator_ucoin"],
        "pot": total["pot_ucoin"],
        "sum": 0,
    }


def _baseline(cost_usd: float, unmet_kwh: float, needed_kwh: float, cars_kwh: float) -> Row:
    return {
        "cost_usd": cost_usd,
        "unmet_kwh": unmet_kwh,
        "grid_kwh": needed_kwh - unmet_kwh - cars_kwh,
        "cars_kwh": cars_kwh,
    }
