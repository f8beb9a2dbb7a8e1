"""A day from sessions to its folder: complete, and the same bytes for the same seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.reporting.manifest import check_manifest, read_manifest
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.sessions import COLUMNS, SessionsError
from peerwatt.simulation.tables import COLUMNS as TABLES

TIMINGS = "timings.json"


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_day(config: DayConfig, sessions: Any, path: Path) -> Path:
    run = DayRun(config, sessions)
    run.found(AttackedWorld).tempt()
    run.live()
    with RunFolder(path) as folder:
        run.write(folder)
    return path


def test_the_folder_holds_everything_and_is_sealed(small_folder: Path, small_run: DayRun) -> None:
    names = set(hashes(small_folder))
    tables = {f"{name}.parquet" for name in TABLES}
    ledger = {f"ledger/{name}.bin" for name in ("genesis", "blocks", "witnesses")}
    assert names >= tables | ledger | {"summary.json", "config.json", "report.html", TIMINGS}
    assert any(name.endswith(".png") for name in names)
    assert check_manifest(small_folder) == []
    manifest = read_manifest(small_folder)
    assert set(manifest.files) == names - {"manifest.json", TIMINGS}
    assert manifest.unsigned == [TIMINGS]
    assert manifest.public_key == small_run.world.keys.key("aggregator").public.hex()
    assert manifest.chain_id == small_run.summary["chain_id"]


def test_the_files_say_what_the_run_says(small_folder: Path, small_run: DayRun) -> None:
    assert json.loads((small_folder / "summary.json").read_text()) == small_run.summary
    config = json.loads((small_folder / "config.json").read_text())
    assert DayConfig.model_validate(config) == small_run.config
    for name, table in small_run.tables.items():
        assert pl.read_parquet(small_folder / f"{name}.parquet").equals(table), name
    timings = json.loads((small_folder / TIMINGS).read_text())
    assert set(timings) == {"assemble", "found", "market", "yardsticks", "report"}


def test_same_seed_same_bytes_other_seed_other_bytes(
    small_folder: Path, small_config: DayConfig, small_sessions: Any, tmp_path: Path
) -> None:
    first = hashes(small_folder)
    again = hashes(write_day(small_config, small_sessions, tmp_path / "again"))
    first.pop(TIMINGS)
    again.pop(TIMINGS)
    assert again == first

    base = small_config.model_dump(exclude_unset=True)
    other = DayConfig.model_validate(base | {"sellers": {"seed": 2}})
    differing = hashes(write_day(other, small_sessions, tmp_path / "other"))
    assert differing.keys() - {TIMINGS} == first.keys()
    same = {name for name in first if differing[name] == first[name]}
    assert same == {"refused.parquet"}, "other sellers, other keys, another chain; the same lies"


@pytest.mark.slow
def test_the_demo_days_bytes_are_the_same_again(jpl_sessions: Any, tmp_path: Path) -> None:
    both = [hashes(write_day(load(seed=3), jpl_sessions, tmp_path / name)) for name in "ab"]
    for each in both:
        each.pop(TIMINGS)
    assert both[0] == both[1]


def test_a_folder_is_written_whole_or_not_at_all(small_run: DayRun, tmp_path: Path) -> None:
    run = DayRun.__new__(DayRun)
    run.__dict__.update(small_run.__dict__)
    run.summary = {**small_run.summary, "energy_wh": {}}  # which the page stumbles on
    with pytest.raises(ValueError, match="energy_wh"), RunFolder(tmp_path / "day") as folder:
        run.write(folder)
    assert list(tmp_path.iterdir()) == []


def test_sessions_come_from_the_package_or_from_a_file(
    jpl_sessions: Any, caltech_sessions: Any, tmp_path: Path
) -> None:
    assert sessions_of(load(), None) == jpl_sessions
    assert sessions_of(load(site="caltech"), None) == caltech_sessions
    file = tmp_path / "empty.csv"
    file.write_text(",".join(COLUMNS) + "\n")
    assert sessions_of(load(), file) == ()
    with pytest.raises(SessionsError, match="no sessions at jpl on 2019-08-21: the files hold"):
        DayRun(load(), sessions_of(load(), file))
