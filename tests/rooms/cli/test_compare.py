"""`peerwatt compare`: what it shows, what it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.audit.lessons import LESSONS
from peerwatt.cli.choices import MechanismName

Peerwatt = Callable[..., Any]
QUIET_DAY = ("--site", "caltech", "--date", "2019-09-01")


def test_every_mechanism_of_a_day_has_its_words() -> None:
    assert list(LESSONS) == [str(name) for name in MechanismName]


def test_a_real_day_under_two_mechanisms(peerwatt: Peerwatt, tmp_path: Path) -> None:
    both = ("--mechanisms", "uniform, welfare-pairs")
    outcome = peerwatt("compare", *QUIET_DAY, *both, "--out", "new/both")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    folder = tmp_path / "new" / "both"
    assert "Report: new/both/compare.html" in outcome.out
    summary = json.loads((folder / "summary.json").read_bytes())
    assert list(summary["mechanisms"]) == ["uniform", "welfare-pairs"]
    assert peerwatt("day", *QUIET_DAY, "--mechanism", "uniform", "--out", "day").code == 0
    alone = json.loads((tmp_path / "day" / "summary.json").read_bytes())
    ours = summary["mechanisms"]["uniform"]
    for name in ("cost_usd", "unmet_kwh", "grid_kwh", "cars_kwh"):
        assert ours[name] == alone["baselines"]["market"][name]
        assert summary["baselines"]["optimum"][name] == alone["baselines"]["optimum"][name]
    assert ours["pot_ucoin"] == alone["money_ucoin"]["pot"]
    assert pl.read_parquet(folder / "mechanisms.parquet")["mechanism"].to_list() == list(
        summary["mechanisms"]
    )
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["about"]["comparison"] == ["uniform", "welfare-pairs"]
    assert manifest["unlisted"] == ["timings.json"]
    timings_s = json.loads((folder / "timings.json").read_bytes())
    assert all(each["market"] > 0 for each in timings_s.values())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--mechanisms", "welfair"), "--mechanisms: no 'welfair'; did you mean welfare?"),
        (("--mechanisms", "x"), "no 'x'; there are welfare, uniform, welfare-pairs"),
        (("--mechanisms", "welfare,"), "--mechanisms: no ''; there are"),
        (("--mechanisms", "welfare,welfare"), "--mechanisms: 'welfare' appears twice"),
        (("--date", "2019-02-30"), "date: "),
        (("--date", "1999-01-01"), "1999-01-01"),
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
        (("--config", "feeders.yaml"), "feeders: need mechanism"),
        (("--out", "feeders.yaml"), "feeders.yaml: exists and is not a folder"),
    ],
)
def test_bad_input_is_one_line(
    peerwatt: Peerwatt, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    (tmp_path / "feeders.yaml").write_text("feeders: {east: 3}\n")
    assert why in peerwatt("compare", "--out", "x", *words).complaint
    assert [path.name for path in tmp_path.iterdir()] == ["feeders.yaml"]
