"""`peerwatt study`: its words, its refusals, and a run that is killed and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Peerwatt = Callable[..., Any]
SMALL = ("--scenario", "quick", "--set", "members=10", "--set", "fault=none", "--set", "race_s=60")
MAIN = "from peerwatt.cli.main import main; main()"
RUN = ("study", "run", "proof-of-work", *SMALL)


def test_studies_are_listed_with_their_scenarios(peerwatt: Peerwatt) -> None:
    told = peerwatt("study", "list").out
    assert "proof-of-work: " in told
    assert "  quick: " in told


def test_a_file_of_ones_own_is_run(peerwatt: Peerwatt, tmp_path: Path) -> None:
    text = peerwatt("study", "show", "proof-of-work").out
    (tmp_path / "my.yaml").write_text(text.replace("blocks: 100", "blocks: 5"))
    done = peerwatt("study", "run", "my.yaml", *SMALL, "--out", "mine")
    assert done.code == 0, done
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["parameters"]["blocks"] == 5


def test_the_schema_is_printed(peerwatt: Peerwatt) -> None:
    schema = json.loads(peerwatt("study", "schema", "proof-of-work").out)
    assert "hash" in schema["$defs"]["Setting"]["properties"]["strongest"]["description"].lower()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("study", "run", "petcoin", "--out", "x"), "study: no 'petcoin'"),
        (("study", "run", "my.yaml", "--out", "x"), "my.yaml: cannot be read"),
        (("study", "run", "proof-of-work", "--scenario", "slow", "--out", "x"), "--scenario: "),
        ((*RUN, "--set", "memebrs=4", "--out", "x"), "did you mean members?"),
        ((*RUN, "--set", "latency_s=-1", "--out", "x"), "latency_s: must be greater than"),
        ((*RUN, "--set", "members", "--out", "x"), "--set: must be key=value"),
        ((*RUN, "--jobs", "2", "--cluster", "tcp://x:1", "--out", "x"), "--jobs: goes with"),
        ((*RUN, "--out", "/proc/x"), "/proc/x: cannot be written"),
    ],
)
def test_bad_input_is_one_line(
    peerwatt: Peerwatt, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    assert why in peerwatt(*words).complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_markets_that_cannot_be_are_one_line_with_their_draws(
    peerwatt: Peerwatt, tmp_path: Path, jobs: int
) -> None:
    words = ("--set", "buyers=99", "--set", "sellers=2", "--set", "experiment=auction")
    run = ("study", "run", "petcon", "--scenario", "quick", *words, "--jobs", jobs, "--out", "x")
    complaint = peerwatt(*run).complaint
    assert "petcon: draws " in complaint
    assert "infeasible: the minima of 99 buyers" in complaint
    assert not (tmp_path / "x").exists()


def test_petcons_bytes_do_not_depend_on_who_worked(peerwatt: Peerwatt, tmp_path: Path) -> None:
    words = ("--set", "draws=2", "--set", "few_draws=2", "--set", "experiment=[auction,secrets]")
    run = ("study", "run", "petcon", "--scenario", "quick", *words)
    peerwatt(*run, "--out", "one")
    peerwatt(*run, "--set", "draws_per_task=1", "--jobs", "2", "--out", "two")
    names = sorted(
        path.relative_to(tmp_path / "one").as_posix()
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    )
    assert "tables/auctions.parquet" in names
    for name in names:
        if name not in ("config.json", "manifest.json", "timings.json"):
            pair = [(tmp_path / each / name).read_bytes() for each in ("one", "two")]
            assert pair[0] == pair[1], name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["petcon", "proof-of-work"])
def test_the_quick_scenario_finds_what_is_expected(peerwatt: Peerwatt, name: str) -> None:
    done = peerwatt("study", "run", name, "--scenario", "quick", "--out", "x")
    assert done.code == 0, done
    assert "All is as expected." in done.out


def test_a_cluster_is_named_by_its_address(peerwatt: Peerwatt, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    words = (*RUN, "--set", "blocks=6", "--set", "draws_per_task=2")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        peerwatt(*words, "--cluster", cluster.scheduler_address, "--out", "there")
    peerwatt(*words, "--out", "here")
    for name in ("manifest.json", "tables/blocks.parquet"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_an_existing_folder_is_kept(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").write_text("mine")
    assert "x: exists and is not empty" in peerwatt(*RUN, "--out", "x").complaint
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_claim_that_is_missed_exits_with_1(peerwatt: Peerwatt, tmp_path: Path) -> None:
    missed = peerwatt(*RUN, "--set", "blocks=5", "--set", "audit_s=30", "--out", "x")
    assert missed.code == 1
    assert "3 claims miss what is expected." in missed.out
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert summary["claims"]["minute"]["within_expected"] is False


def test_a_run_that_is_killed_goes_on(peerwatt: Peerwatt, tmp_path: Path) -> None:
    words = (*RUN, "--set", "blocks=600", "--set", "draws_per_task=5")
    killed = subprocess.Popen(
        [sys.executable, "-c", MAIN, *words, "--out", "killed"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    kept = tmp_path / ".killed.tasks"
    deadline_s = time.monotonic() + 120
    while not kept.exists() or len(list(kept.iterdir())) < 3:
        assert killed.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed").exists()
    again = peerwatt(*words, "--out", "killed")
    assert again.code == 0, again
    assert "of 120 tasks had been done before." in again.out
    assert peerwatt(*words, "--out", "whole").code == 0
    for name in ("manifest.json", "summary.json", "report.html", "tables/blocks.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]
