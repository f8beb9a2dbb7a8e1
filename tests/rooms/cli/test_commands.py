"""`day`, `config` and `soak`: what they show and write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerwatt.audit.folder import verify_folder
from peerwatt.cli import soak
from peerwatt.records.bundles import is_sound
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.run import DayRun

Peerwatt = Callable[..., Any]
CONFIG = "limit_kw: 7\npv_kwp: 4\nsite: caltech\ndate: 2019-06-12\n"


def test_a_day_from_ones_own_file(
    peerwatt: Peerwatt, write_csv: Callable[..., Path], tmp_path: Path, small_run: DayRun
) -> None:
    (tmp_path / "own.yaml").write_text(CONFIG)
    file = write_csv()
    outcome = peerwatt(
        *("day", "--sessions", file, "--config", "own.yaml", "--out", "new/result"),
        *("--mechanism", "uniform", "--seed", 1),
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    lines = outcome.out.splitlines()
    for name in ("plug and charge", "best plan, grid only", "market", "best plan, all known"):
        assert sum(line.startswith(name) for line in lines) == 1, "all four, side by side"
    assert "CALTECH, 2019-06-12: 9 cars buy, 5 sell; connection: 7 kW; uniform" in outcome.out
    assert "; sum 0\n" in outcome.out
    assert f"Report: {Path('new/result/report.html')}" in outcome.out
    assert "Check it: peerwatt verify new/result" in outcome.out

    folder = tmp_path / "new" / "result"
    assert is_sound(verify_folder(folder).findings)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["mechanism"], summary["seed"]) == ("uniform", 1)
    assert summary["sessions"]["rows_read"] == 14
    same = ("plug_and_charge", "best_grid_only", "optimum")
    for name in same:
        assert summary["baselines"][name] == small_run.summary["baselines"][name]
    assert json.loads((folder / "config.json").read_text())["pv_kwp"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cars.csv", "new", "own.yaml"]


def test_rows_that_are_dropped_are_counted_by_reason_on_screen(
    peerwatt: Peerwatt, write_csv: Callable[..., Path], small_sessions: Any
) -> None:
    late = "2019-06-13 23:59:00-07:00"
    file = write_csv({2: {"departure": late}, 4: {"departure": late}})
    outcome = peerwatt(
        *("day", "--sessions", file, "--site", "caltech", "--date", "2019-06-12", "--out", "x")
    )
    assert outcome.code == 0
    assert "rows dropped: stay over 16 h: 2" in outcome.out


def test_names_in_brackets_are_shown_as_they_are(
    peerwatt: Peerwatt, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    day = ("day", "--sessions", write_csv(), "--site", "caltech", "--date", "2019-06-12")
    outcome = peerwatt(*day, "--out", "[bold]x[/]")
    assert outcome.code == 0
    assert "Check it: peerwatt verify [bold]x[/]\n" in outcome.out


def test_config_default_is_a_good_configuration(peerwatt: Peerwatt, tmp_path: Path) -> None:
    default = peerwatt("config", "default")
    assert default.code == 0
    assert DayConfig.model_validate(yaml.safe_load(default.out)) == load()
    (tmp_path / "own.yaml").write_text(default.out)
    checked = peerwatt("config", "check", "own.yaml")
    assert (checked.code, checked.out) == (0, "own.yaml: good, for jpl on 2019-08-21\n")


def test_config_schema_knows_every_key_and_says_what_it_is(peerwatt: Peerwatt) -> None:
    outcome = peerwatt("config", "schema")
    assert outcome.code == 0
    schema = json.loads(outcome.out)
    assert set(schema["properties"]) == set(DayConfig.model_fields)
    assert schema["additionalProperties"] is False
    parts = [schema, *schema["$defs"].values()]
    for part in parts:
        for name, field in part["properties"].items():
            described = "description" in field or "$ref" in json.dumps(field)
            assert described, name


def test_a_soaked_day_closes(small_config: DayConfig, small_sessions: Any) -> None:
    assert soak.check_day(small_config, small_sessions) == []


def test_a_soaked_day_that_does_not_close_is_told(
    small_config: DayConfig, small_sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_live = DayRun.live

    def live(run: DayRun) -> None:
        true_live(run)
        run.summary["energy_wh"]["losses"] += 3
        run.summary["money_ucoin"]["sum"] = 2
        run.summary["orders"]["refused"] = 1

    monkeypatch.setattr(DayRun, "live", live)
    monkeypatch.setattr(DayRun, "write", lambda run, folder: folder.finish(*_seal(run)))
    told = soak.check_day(small_config, small_sessions)
    assert told[:3] == ["energy is off by -3 Wh", "money sums to 2 ucoin", "1 orders were refused"]
    assert any("ledger" in line for line in told[3:])


def _seal(run: DayRun) -> tuple[Any, str]:
    keys = run.world.keys
    return keys.key("aggregator"), keys.chain_id


def test_soak_names_the_command_that_replays_a_failure(
    peerwatt: Peerwatt, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[DayConfig] = []

    def check_day(config: DayConfig, sessions: Any) -> list[str]:
        seen.append(config)
        return ["odd"] if config.mechanism == "uniform" else []

    monkeypatch.setattr(soak, "check_day", check_day)
    outcome = peerwatt("soak", "days", "--sample", 3, "--seed", 7)
    assert outcome.code == 1
    assert [config.mechanism for config in seen] == ["welfare", "uniform", "welfare-pairs"] * 3
    for config in seen[1::3]:
        replay = (
            f"peerwatt day --site {config.site} --date {config.date} --mechanism uniform "
            f"--seed {config.sellers.seed} --out replay"
        )
        assert replay in outcome.out
    assert "6 passed, 3 failed" in outcome.out
    monkeypatch.setattr(soak, "check_day", lambda config, sessions: [])
    assert peerwatt("soak", "days", "--sample", 2).code == 0


@pytest.mark.slow
def test_random_days_close_and_verify(peerwatt: Peerwatt) -> None:
    outcome = peerwatt("soak", "days", "--sample", 6, "--seed", 1)
    assert outcome.code == 0, outcome.out
    assert "12 passed, 0 failed" in outcome.out
