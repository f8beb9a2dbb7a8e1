"""A run leaves a whole folder, equal bytes for equal seeds, and goes on where it was cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from made_up_study import CutError, work

from peerwatt.studies.files import Plan, Task
from peerwatt.studies.runner import Finished, run_plan
from peerwatt.studies.store import TaskStore
from peerwatt.studies.study import StudyError, Tables

Planned = Callable[..., Plan]


def run(plan: Plan, out: Path, work_on: Any = work) -> Finished:
    return run_plan(plan, out, work_on, lambda done, total: None)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }


def test_the_folder_is_whole(planned: Planned, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished = run(planned(), out)
    assert (finished.as_expected, finished.resumed, finished.tasks) == (True, 0, 6)
    written = set(bytes_of(out))
    assert written == {
        *("config.json", "manifest.json", "report.html", "summary.json"),
        *("plots/values.png", "plots/values.svg", "tables/throws.parquet"),
    }
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["files"]) == written - {"manifest.json"}
    assert manifest["unlisted"] == ["timings.json"]
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == entry["sha256"]
    about = manifest["about"]
    assert (about["study"], about["scenario"], about["seed"]) == ("coins", "full", 3)
    config = (out / "config.json").read_bytes()
    assert about["config_sha256"] == hashlib.sha256(config).hexdigest()
    assert set(about["versions"]) == {"peerwatt", "python", "numpy", "polars", "matplotlib"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_rows_stand_in_the_order_of_points_and_draws(planned: Planned, tmp_path: Path) -> None:
    run(planned(), tmp_path / "out")
    throws = pl.read_parquet(tmp_path / "out" / "tables" / "throws.parquet")
    assert throws["draw"].to_list() == [*range(30), *range(30)]
    assert throws["bias"].to_list() == [0.5] * 30 + [0.9] * 30


def test_the_same_seed_gives_the_same_bytes(planned: Planned, tmp_path: Path) -> None:
    run(planned(), tmp_path / "one")
    run(planned(draws_per_task=7), tmp_path / "two")
    one, two = bytes_of(tmp_path / "one"), bytes_of(tmp_path / "two")
    differ = [name for name in one if one[name] != two[name]]
    assert differ == ["config.json", "manifest.json"], "how many draws a task has is no result"
    run(planned(), tmp_path / "three")
    assert bytes_of(tmp_path / "three") == one
    run(planned(seed=4), tmp_path / "four")
    assert bytes_of(tmp_path / "four")["tables/throws.parquet"] != one["tables/throws.parquet"]


def test_a_run_that_was_cut_off_goes_on(planned: Planned, tmp_path: Path) -> None:
    run(planned(), tmp_path / "whole")
    with pytest.raises(CutError):
        run(planned(), tmp_path / "cut", partial(work, cut_after=4))
    assert not (tmp_path / "cut").exists()
    left: list[Task] = []

    def rest(tasks: list[Task]) -> Any:
        left.extend(tasks)
        return work(tasks)

    finished = run(planned(), tmp_path / "cut", rest)
    assert (finished.resumed, len(left)) == (4, 2)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_what_is_kept_is_used_for_the_same_draws_alone(planned: Planned, tmp_path: Path) -> None:
    with pytest.raises(CutError):
        run(planned(), tmp_path / "out", partial(work, cut_after=4))
    assert run(planned(seed=4), tmp_path / "out").resumed == 0


def test_a_kept_task_that_cannot_be_read_is_done_again(planned: Planned, tmp_path: Path) -> None:
    run(planned(), tmp_path / "whole")
    with pytest.raises(CutError):
        run(planned(), tmp_path / "cut", partial(work, cut_after=4))
    kept = sorted((tmp_path / ".cut.tasks").iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:-9])
    assert run(planned(), tmp_path / "cut").resumed == 3
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_a_claim_that_misses_what_is_expected_is_told(planned: Planned, tmp_path: Path) -> None:
    finished = run(planned(bias=0.02), tmp_path / "out")
    assert not finished.as_expected
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["claims"]["fair"]["within_expected"] is False
    assert "outside what is expected" in (tmp_path / "out" / "report.html").read_text()


def test_an_existing_folder_is_refused_before_any_work(planned: Planned, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")

    def nothing(tasks: Any) -> Any:
        raise AssertionError("worked")

    with pytest.raises(ValueError, match="out: exists and is not empty"):
        run(planned(), out, nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="file/out: cannot be written: "):
        TaskStore(tmp_path / "file" / "out")


def test_a_store_gives_what_it_was_given(tmp_path: Path) -> None:
    store = TaskStore(tmp_path / "out")
    tables: Tables = {"a": [{"x": 0.1, "n": None, "t": "ä"}]}
    assert store.get("k") is None
    assert store.put("k", tables) == tables == store.get("k")
    with pytest.raises(ValueError, match="JSON"):
        store.put("k", {"a": [{"x": float("nan")}]})
    assert store.get("k") == tables
    store.remove()
    assert list(tmp_path.iterdir()) == []
