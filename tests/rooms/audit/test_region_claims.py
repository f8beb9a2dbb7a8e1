"""A folder of several hubs: what `verify` says of a true one, and of one that lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.audit.folder import verify_folder
from peerwatt.records.bundles import Verdict, is_sound
from peerwatt.reporting.manifest import seal
from peerwatt.simulation.region_run import RegionRun

Fails = Callable[[], list[str]]


@pytest.fixture
def folder(hubs_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hubs_folder, tmp_path / "day"))


@pytest.fixture
def fails(folder: Path, hubs_run: RegionRun) -> Fails:
    """Sealed once more by the operator of the chain, so that only the content can show the lie."""
    keys = hubs_run.world.keys

    def verify() -> list[str]:
        seal(folder, keys.key("aggregator"), keys.chain_id, ["timings.json"])
        report = verify_folder(folder)
        return [each.text for each in report.findings if each.verdict is Verdict.FAILS]

    return verify


def change_summary(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    change(summary)
    path.write_text(json.dumps(summary), encoding="utf-8")


def test_a_true_folder_holds(hubs_folder: Path, hubs_run: RegionRun) -> None:
    witness = hubs_run.world.keys.key("grid-operator").public
    report = verify_folder(hubs_folder, witness=witness)
    assert is_sound(report.findings)
    texts = [each.text for each in report.findings if each.verdict is Verdict.HOLDS]
    assert "the tables say what the ledger says" in texts
    assert "the summary's energy, money, rounds and orders are those of the ledger" in texts


def test_a_hub_that_claims_more_than_it_traded(folder: Path, fails: Fails) -> None:
    def lie(summary: dict[str, Any]) -> None:
        summary["hubs"]["mid"]["energy_wh"]["from_cars"] += 1

    change_summary(folder, lie)
    [wrong] = fails()
    assert wrong.startswith("summary.json: hubs.mid.energy_wh.from_cars: says ")


def test_a_sum_that_is_none(folder: Path, fails: Fails) -> None:
    def lie(summary: dict[str, Any]) -> None:
        summary["total"]["baselines"]["market"]["cost_usd"] -= 1

    change_summary(folder, lie)
    [wrong] = fails()
    assert wrong.startswith("summary.json: total.baselines.market.cost_usd: says ")


def test_a_hub_that_is_on_no_ledger(folder: Path, fails: Fails) -> None:
    def lie(summary: dict[str, Any]) -> None:
        summary["hubs"]["moon"] = summary["hubs"]["mid"]

    change_summary(folder, lie)
    assert fails() == ["summary.json: hubs: 'moon' is none of the ledger's"]


def test_a_hub_left_out(folder: Path, fails: Fails) -> None:
    change_summary(folder, lambda summary: summary["hubs"].pop("mid"))
    assert any(line.startswith("summary.json: hubs.mid.") for line in fails())


@pytest.mark.parametrize("hubs", ["all", None, [], 7])
def test_hubs_that_are_no_hubs(folder: Path, fails: Fails, hubs: object) -> None:
    change_summary(folder, lambda summary: summary.update(hubs=hubs))
    assert any(line.startswith("summary.json: hubs.east.") for line in fails())


def test_several_hubs_cannot_pass_for_one(folder: Path, fails: Fails) -> None:
    change_summary(folder, lambda summary: summary.pop("hubs"))
    assert "rounds.parquet: cannot be read" in fails()


def test_a_row_under_another_hubs_name(folder: Path, fails: Fails) -> None:
    path = folder / "awards.parquet"
    awards = pl.read_parquet(path)
    awards[0, "hub"] = "west"
    awards.write_parquet(path)
    assert fails() == ["awards.parquet: says other than the ledger"]


def test_a_car_that_says_it_got_more(folder: Path, fails: Fails) -> None:
    path = folder / "cars.parquet"
    cars = pl.read_parquet(path)
    cars[0, "charged_wh"] = cars[0, "charged_wh"] + 1
    cars.write_parquet(path)
    assert fails()[0].startswith(f"{cars[0, 'hub']}: cars.parquet: {cars[0, 'session_id']}: ")
