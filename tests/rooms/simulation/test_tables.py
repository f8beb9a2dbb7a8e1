"""The tables of a day: every row of the chain, in the ledger's own units."""

from __future__ import annotations

import polars as pl
import pytest
from msgspec.structs import replace

from peerwatt.records.receipts import Reason, Receipt
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.tables import (
    COLUMNS,
    TEXT,
    TOTALS,
    chain_tables,
    cleared_by,
    frame,
    kind_and_signer,
    refused_rows,
)


def test_every_table_has_its_columns_and_types(small_run: DayRun) -> None:
    assert set(small_run.tables) == set(COLUMNS)
    for name, table in small_run.tables.items():
        assert tuple(table.columns) == COLUMNS[name]
        assert table.schema == frame(name, []).schema
        assert table.height > 0
        for column, kind in table.schema.items():
            text = pl.Boolean if column == "oracle" else pl.String if column in TEXT else pl.Int64
            assert kind == text, f"{name}.{column}"


def test_every_message_of_every_block_has_a_receipt(small_run: DayRun) -> None:
    host, receipts = small_run.world.host, small_run.tables["receipts"]
    for height in range(1, host.height + 1):
        rows = receipts.filter(pl.col("height") == height)
        of_record = host.receipts(height)
        assert rows["transaction_id"].to_list() == [r.transaction_id.hex() for r in of_record]
        assert rows["reason"].to_list() == [r.reason for r in of_record]
        assert rows["index"].to_list() == list(range(len(of_record)))
    names = {visit.signer.key.public.hex() for visit in small_run.world.visits}
    orders = receipts.filter(pl.col("message").is_in(["PlaceBuyOrder", "PlaceSellOrder"]))
    accepted = orders.filter(pl.col("reason") == 0)
    assert set(accepted["signer"]) <= names
    assert accepted.height == small_run.tables["orders"].height


def test_rounds_add_up_from_their_awards(small_run: DayRun) -> None:
    tables = small_run.tables
    assert tables["rounds"]["orders"].sum() == tables["orders"].height
    awards = (
        tables["awards"]
        .group_by("slot_start_s", maintain_order=True)
        .agg(
            bought_wh=pl.col("metered_wh").filter(pl.col("side") == "buy").sum(),
            sold_wh=pl.col("metered_wh").filter(pl.col("side") == "sell").sum(),
            paid_ucoin=pl.col("paid_ucoin").sum(),
            received_ucoin=pl.col("received_ucoin").sum(),
            penalty_ucoin=pl.col("penalty_ucoin").sum(),
        )
    )
    rounds = awards.join(tables["rounds"], on="slot_start_s", suffix="_round")
    assert rounds.height == awards.height > 40
    for column in awards.columns[1:]:
        assert (rounds[column] == rounds[f"{column}_round"]).all(), column
    void = tables["rounds"].filter(pl.col("status") == "void")
    assert void.select(TOTALS).sum().row(0) == (0,) * len(TOTALS)
    assert void["price_ucoin_per_kwh"].null_count() == void.height


def test_rounds_say_who_cleared_them_and_how_well(small_run: DayRun, pairs_run: DayRun) -> None:
    for run, who in ((small_run, "ledger"), (pairs_run, "aggregator")):
        records = {each.slot_start_s: each for _, each in run.world.host.items("rounds")}
        for row in run.tables["rounds"].to_dicts():
            clearing = records[row["slot_start_s"]].clearing
            said = (row["cleared_by"], row["gap_ucoin"], row["traded_ucoin"])
            if clearing is None:
                assert said == (None, None, None)
            else:
                assert said == (who, clearing.gap_ucoin, clearing.traded_ucoin)


def test_a_proposer_that_is_no_member_any_more_is_named_by_its_key(pairs_run: DayRun) -> None:
    host = pairs_run.world.host
    clearing = next(each.clearing for _, each in host.items("rounds") if each.clearing)
    assert cleared_by(host, clearing) == "aggregator"
    assert cleared_by(host, replace(clearing, proposer=bytes(32))) == "00" * 32
    assert cleared_by(host, replace(clearing, proposer=b"")) == "ledger"
    assert cleared_by(host, replace(clearing, sellers_dropped=True)) == "grid alone"


def test_the_roof_is_told_from_the_cars(small_run: DayRun) -> None:
    roof = small_run.tables["awards"].filter(pl.col("port") == "pv")
    assert roof["metered_wh"].sum() == small_run.tables["rounds"]["pv_wh"].sum() > 0
    assert set(roof["car"]) == {"pv"}


def test_orders_name_cars_and_leave_the_other_sides_columns_empty(small_run: DayRun) -> None:
    orders = small_run.tables["orders"]
    cars = set(small_run.tables["cars"]["session_id"])
    assert set(orders["car"]) <= cars
    buys, sells = orders.filter(pl.col("side") == "buy"), orders.filter(pl.col("side") == "sell")
    assert buys["min_wh"].null_count() == 0 == sells["ask_ucoin_per_kwh"].null_count()
    assert buys["ask_ucoin_per_kwh"].null_count() == buys.height > 0
    assert sells["price_high_ucoin_per_kwh"].null_count() == sells.height > 0


def test_without_names_a_car_is_its_wallet(small_run: DayRun) -> None:
    bare = chain_tables(small_run.world.host, {}, "caltech")["orders"]
    wallets = {visit.name: visit.signer.key.public.hex() for visit in small_run.world.visits}
    named = small_run.tables["orders"]
    assert bare["car"].to_list() == [wallets[car] for car in named["car"]]
    assert bare.drop("car").equals(named.drop("car"))


def test_another_site_has_no_rounds(small_run: DayRun) -> None:
    tables = chain_tables(small_run.world.host, {}, "jpl")
    assert [tables[name].height for name in ("rounds", "orders", "awards", "readings")] == [0] * 4
    assert tables["rounds"].schema == small_run.tables["rounds"].schema


def test_registers_never_run_backwards(small_run: DayRun) -> None:
    for _, meter in small_run.tables["readings"].group_by("port"):
        rows = meter.sort("slot_start_s")
        for register in ("import", "export"):
            start, end = rows[f"{register}_start_wh"], rows[f"{register}_end_wh"]
            assert (end >= start).all()
            assert (start[1:] >= end[:-1]).all()
        assert rows["sequence"].is_sorted()
        assert rows["sequence"].n_unique() == rows.height


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, bytes(range(256)) * 8])
def test_what_cannot_be_read_is_named_so(data: bytes) -> None:
    assert kind_and_signer(data) == ("unreadable", "")


def test_refusals_come_in_words_admission_first() -> None:
    late = Receipt(transaction_id=bytes(32), reason=int(Reason.TOO_LATE), field="round_id")
    blocks = frame(
        "receipts",
        [
            {"height": 2, "message": "Tick", "reason": 0, "field": ""},
            {"height": 3, "message": "Mint", "reason": int(Reason.OVER_CAP), "field": "amount"},
        ],
    )
    rows = refused_rows([("CheckIn", late)], blocks)
    assert [(row["where"], row["height"], row["message"]) for row in rows] == [
        ("admission", None, "CheckIn"),
        ("block", 3, "Mint"),
    ]
    assert rows[0]["words"] == "The time for this is over."
    assert (rows[1]["reason_name"], rows[1]["field"]) == ("OVER_CAP", "amount")
