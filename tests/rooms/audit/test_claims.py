"""Summaries and tables that lie, signed by the operator: each lie is named, or said to be beyond
what a ledger can show."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.audit.claims import ON_NO_LEDGER, check_claims
from peerwatt.records.bundles import Verdict
from peerwatt.reporting.manifest import canonical_json
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.tables import COLUMNS

WORD_ONLY = {
    *("role", "oracle", "arrival_s", "departure_s", "planned_departure_s", "for_sale_wh"),
    *("plug_charged_wh", "plug_cost_ucoin"),
}
"""Columns of a car's row that stand on no ledger and follow from nothing that does."""
LEDGER_KEYS = {
    *(
        "chain_id",
        "site",
        "mechanism",
        "price_rule",
        "energy_wh",
        "money_ucoin",
        "rounds",
        "orders",
        "ledger",
    ),
    *("clearings", "supplier_by_main_meter_ucoin", "baselines"),
}


@pytest.fixture
def wrong(folder: Path, small_run: DayRun) -> Callable[[], list[str]]:
    """What does not hold of the folder's claims, against the chain that made it."""

    def check() -> list[str]:
        findings = check_claims(folder, small_run.world.host, ()).findings
        return [each.text for each in findings if each.verdict is Verdict.FAILS]

    return check


def other(value: Any) -> Any:
    """A value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}x"


def lie(path: Path, column: str, row: int = 0) -> None:
    """Another value in the first cell, from a row on, that has one; a value where none has."""
    table = pl.read_parquet(path)
    values = table[column].to_list()
    at = next((i for i in range(row, len(values)) if values[i] is not None), row)
    values[at] = 1 if values[at] is None else other(values[at])
    table.with_columns(pl.Series(column, values, dtype=table.schema[column])).write_parquet(path)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_of_every_table_is_compared(
    name: str, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    path = folder / f"{name}.parquet"
    good = path.read_bytes()
    for column in COLUMNS[name]:
        lie(path, column, row=3)
        found = wrong()
        if name == "cars" and column in WORD_ONLY:
            assert found == [], column
        else:
            blamed = {line.split(":")[0] for line in found}
            assert f"{name}.parquet" in blamed or (column, blamed) == (
                "own_cost_ucoin",
                {"summary.json"},
            ), (column, found)
        path.write_bytes(good)


def test_what_cannot_be_compared_is_said() -> None:
    for words in ("when they come and go", "what they need", "their energy costs", "yardsticks"):
        assert words in ON_NO_LEDGER


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_left_out_added_or_moved_are_found(
    name: str, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    path = folder / f"{name}.parquet"
    table = pl.read_parquet(path)
    for changed in (table.head(-1), pl.concat([table, table.tail(1)]), table.clear()):
        changed.write_parquet(path)
        assert any(line.startswith(f"{name}.parquet: ") for line in wrong()), changed.height
    if name != "cars":  # whose order says nothing
        table.reverse().write_parquet(path)
        assert wrong() == [f"{name}.parquet: says other than the ledger"]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_of_another_form_is_not_read(
    name: str, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    path = folder / f"{name}.parquet"
    table = pl.read_parquet(path)
    first = table.columns[0]
    for changed in (
        table.drop(first),
        table.rename({first: "other"}),
        table.with_columns(more=1),
        table.with_columns(pl.col(first).cast(pl.String).cast(pl.Categorical)),
        table.select(reversed(table.columns)),
    ):
        changed.write_parquet(path)
        assert wrong() == [f"{name}.parquet: cannot be read"]


@pytest.mark.parametrize(("name", "column"), [("cars", "need_wh"), ("refused", "message")])
def test_gaps_where_the_ledger_would_not_show_them_are_found(
    name: str, column: str, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    path = folder / f"{name}.parquet"
    table = pl.read_parquet(path)
    empty = pl.lit(None, dtype=table.schema[column]).alias(column)
    table.with_columns(empty).write_parquet(path)
    assert wrong() == [f"{name}.parquet: cannot be read"]


def test_two_names_for_one_wallet_or_one_for_two_are_found(
    folder: Path, wrong: Callable[[], list[str]]
) -> None:
    path = folder / "orders.parquet"
    orders = pl.read_parquet(path)
    first, second = orders["car"].unique(maintain_order=True)[:2]
    orders.with_columns(pl.col("car").replace(first, second)).write_parquet(path)
    (line,) = wrong()
    assert " has two names" in line or "two wallets have one name" in line
    lie(path, "car")
    assert "one wallet has two names" in wrong()[0]


def test_a_renamed_car_is_missing_under_its_old_name(
    folder: Path, wrong: Callable[[], list[str]]
) -> None:
    car = pl.read_parquet(folder / "awards.parquet")["car"][0]
    for name in ("orders", "awards"):
        path = folder / f"{name}.parquet"
        pl.read_parquet(path).with_columns(pl.col("car").replace(car, "ghost")).write_parquet(path)
    assert "cars.parquet: ghost: is missing" in wrong()
    assert any(line.startswith(f"cars.parquet: {car}: ") for line in wrong())


def test_turned_away_at_admission_is_the_operators_word(
    folder: Path, small_run: DayRun, wrong: Callable[[], list[str]]
) -> None:
    """Which the summary's count of refused orders must then be in keeping with."""
    path = folder / "refused.parquet"
    refused = pl.read_parquet(path)
    refused.filter(pl.col("where") == "block").write_parquet(path)
    assert wrong() == ["summary.json: orders.refused: says 4, comes to 2"]
    told = check_claims(folder, small_run.world.host, ()).refused
    assert {row["where"] for row in told} == {"block"}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def test_every_number_of_the_summary_that_the_ledger_gives_is_compared(
    folder: Path, small_run: DayRun, wrong: Callable[[], list[str]]
) -> None:
    path = folder / "summary.json"
    for where in leaves(small_run.summary):
        said = json.loads(json.dumps(small_run.summary))
        *parents, last = where
        inner = said
        for key in parents:
            inner = inner[key]
        inner[last] = other(inner[last]) if inner[last] is not None else 1
        path.write_bytes(canonical_json(said))
        name = ".".join(where)
        yardstick = where[0] == "baselines" and where[1] != "market"
        if where[0] in LEDGER_KEYS and not yardstick:
            assert [line.split(": ")[:2] for line in wrong()] == [["summary.json", name]]
        else:
            assert wrong() == [], name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b'{"energy_wh": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
    ],
)
def test_a_summary_that_cannot_be_read_is_one_line(
    data: bytes, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    (folder / "summary.json").write_bytes(data)
    assert wrong() == ["summary.json: cannot be read"]


@pytest.mark.parametrize(
    "summary", [{}, {"energy_wh": 5}, {"energy_wh": {"needed": "x"}}, {"energy_wh": None}]
)
def test_a_summary_of_another_form_is_compared_all_the_same(
    summary: Any, folder: Path, wrong: Callable[[], list[str]]
) -> None:
    (folder / "summary.json").write_bytes(canonical_json(summary))
    lines = wrong()
    assert any(line.startswith("summary.json: energy_wh.needed: says ") for line in lines)
    assert all(line.startswith("summary.json: ") for line in lines)


def test_one_is_not_true_nor_a_fraction(folder: Path, wrong: Callable[[], list[str]]) -> None:
    path = folder / "summary.json"
    good = json.loads(path.read_text())
    for zero in (False, 0.0):
        path.write_bytes(
            canonical_json({**good, "money_ucoin": {**good["money_ucoin"], "sum": zero}})
        )
        assert wrong() == [f"summary.json: money_ucoin.sum: says {zero}, comes to 0"]


def test_garbage_in_a_table_is_never_a_crash(folder: Path, wrong: Callable[[], list[str]]) -> None:
    """Whatever an operator signs for a table; what changes nothing in it may pass."""
    chance = random.Random(11)
    for name in ("cars", "refused"):
        path = folder / f"{name}.parquet"
        good = path.read_bytes()
        for _ in range(25):
            data = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data[: chance.choice((len(data), len(data), chance.randrange(99)))])
            assert all("\n" not in line for line in wrong())
        path.write_bytes(good)
    assert wrong() == []


def test_changed_files_are_not_opened_again(folder: Path, small_run: DayRun) -> None:
    (folder / "cars.parquet").unlink()
    (folder / "summary.json").unlink()
    changed = {"cars.parquet", "summary.json"}
    claims = check_claims(folder, small_run.world.host, changed)
    assert claims.findings == [], "others have said what is wrong with them"
    assert len(claims.refused) == 6
