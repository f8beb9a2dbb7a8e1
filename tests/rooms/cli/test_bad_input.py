"""Bad input: one clear line that names row or key, exit 2, and nothing half-written."""

from __future__ import annotations

import errno
import gzip
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import COLUMNS, ZONE
from peerwatt.simulation.world import World

DAY = ("day", "--site", "caltech", "--date", "2019-06-12", "--out", "result")
Peerwatt = Callable[..., Any]
WriteCsv = Callable[..., Path]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"arrival": "yesterday"}, "row 5: arrival: must be a time with its offset"),
        ({"arrival": "2019-06-12 23:59:59-07:00"}, "row 5: departure: "),
        ({"departure": "2019-06-11 07:00:00-07:00"}, "is before the arrival"),
        ({"departure": "12019-06-11 07:00:00-07:00"}, "row 5: departure: must be a time"),
        ({"estimated_departure": ""}, "row 5: estimated_departure: must be a time"),
        ({"delivered_energy (kWh)": "1e9"}, "must be from 0 to 200 kWh, is '1e9'"),
        ({"delivered_energy (kWh)": "-3"}, "row 5: delivered_energy (kWh): must be from 0"),
        ({"requested_energy (kWh)": "nan"}, "row 5: requested_energy (kWh): must be from 0"),
        ({"claimed": "perhaps"}, "row 5: claimed: must be True or False, is 'perhaps'"),
        ({"session_id": ""}, "row 5: session_id: must not be empty"),
        ({"session_id": "pv"}, "row 5: session_id: must not be 'pv'"),
        ({"session_id": "a\x1b[31mb"}, r"row 5: session_id: must not be 'a\x1b[31mb'"),
        ({"station_id": "PV"}, "row 5: station_id: must not be 'PV'"),
        ({"station_id": "plug 7"}, "row 5: station_id: must be 1 to 48 of A-Z, a-z, 0-9"),
        ({"station_id": "ü" * 5}, "row 5: station_id: must be 1 to 48 of A-Z"),
        ({"station_id": "x" * 49}, "row 5: station_id: must be 1 to 48 of A-Z"),
    ],
)
def test_a_row_that_cannot_be(
    row: dict[str, str], words: str, peerwatt: Peerwatt, write_csv: WriteCsv, tmp_path: Path
) -> None:
    file = write_csv({5: row})
    complaint = peerwatt(*DAY, "--sessions", file).complaint
    assert complaint.startswith("cars.csv: row 5: ")
    assert words in complaint
    assert left(tmp_path) == ["cars.csv"]


def test_a_clock_that_runs_backwards_and_a_session_twice(
    peerwatt: Peerwatt, write_csv: WriteCsv, small_sessions: Any
) -> None:
    file = write_csv({3: {"session_id": small_sessions[0].session_id}})
    words = "row 3: session_id: repeats the one of cars.csv: row 2"
    assert words in peerwatt(*DAY, "--sessions", file).complaint


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((*COLUMNS, "colour"), "row 1: unknown column 'colour'"),
        (COLUMNS[1:], "row 1: missing column 'arrival'"),
        ((*COLUMNS[:-1], "Claimed"), "unknown column 'Claimed'; missing column 'claimed'"),
    ],
)
def test_columns(header: Any, words: str, peerwatt: Peerwatt, write_csv: WriteCsv) -> None:
    assert words in peerwatt(*DAY, "--sessions", write_csv(header=header)).complaint


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.csv", b"", "empty.csv: row 1: missing column 'arrival'"),
        ("header.csv", ",".join(COLUMNS).encode(), "the files hold none at all"),
        ("latin.csv", "arrival,Käfer\n".encode("latin-1"), "latin.csv: after row 1: not a CSV"),
        ("nul.csv", b"arrival\x00,\n", "nul.csv: "),
        ("plain.csv.gz", b"arrival\n", "plain.csv.gz: cannot be read: Not a gzipped file"),
        ("cut.csv.gz", gzip.compress(b"arrival,departure\n" * 99, mtime=0)[:-12], "cut.csv.gz: "),
        ("bent.csv.gz", gzip.compress(b"x" * 999, mtime=0)[:12] + b"\xff" * 30, "bent.csv.gz: "),
        ("quote.csv", (",".join(COLUMNS) + '\n"a\n').encode(), "quote.csv: after row "),
        ("wide.csv", (",".join(COLUMNS) + "\n" + "x" * 200_000).encode(), "wide.csv: after row 1"),
        ("sqlite.csv", b"SQLite format 3\x00" + bytes(range(256)), "sqlite.csv: "),
    ],
)
def test_what_is_no_session_file(
    name: str, data: bytes, words: str, peerwatt: Peerwatt, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    assert words in peerwatt(*DAY, "--sessions", name).complaint
    assert left(tmp_path) == [name]


def test_files_that_are_not_there(peerwatt: Peerwatt, tmp_path: Path) -> None:
    words = "none.csv: cannot be read: No such file or directory"
    assert peerwatt(*DAY, "--sessions", "none.csv").complaint == words
    assert "Is a directory" in peerwatt(*DAY, "--sessions", tmp_path).complaint
    words = "none.yaml: cannot be read: No such file or directory"
    assert peerwatt(*DAY, "--config", "none.yaml").complaint == words


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("2019-06-13", "no sessions at caltech on 2019-06-13; there are some on 1 dates from"),
        ("2019-13-01", "date: must be a valid date"),
        ("yesterday", "date: must be a valid date"),
        ("0001-01-01", "no sessions at caltech on 0001-01-01"),
        ("9999-12-31", "no sessions at caltech on 9999-12-31"),
    ],
)
def test_a_date_without_sessions(
    date: str, words: str, peerwatt: Peerwatt, write_csv: WriteCsv
) -> None:
    file = write_csv()
    words_found = peerwatt(*DAY[:3], "--date", date, *DAY[5:], "--sessions", file).complaint
    assert words in words_found


def test_a_date_whose_cars_are_all_dropped(
    peerwatt: Peerwatt, write_csv: WriteCsv, small_sessions: Any
) -> None:
    short = {}
    for number, session in enumerate(small_sessions, 2):
        leaves = datetime.fromtimestamp(session.arrival_s + 60, ZONE).isoformat(sep=" ")
        short[number] = {"departure": leaves}
    words = "all 14 dropped (stay under 15 min: 14)"
    assert words in peerwatt(*DAY, "--sessions", write_csv(short)).complaint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limit: 5", "own.yaml: limit: unknown key; did you mean limit_kw?"),
        ("sellers: {shares: 0.5}", "own.yaml: sellers.shares: unknown key; did you mean share?"),
        ("battery: huge", "own.yaml: battery: must be 'ideal' or 'full'"),
        ("limit_kw: -1", "own.yaml: limit_kw: must be greater than 0"),
        ("limit_kw: .nan", "own.yaml: limit_kw: "),
        ("sellers: [1, 2]", "own.yaml: sellers: must hold keys and values"),
        ("sellers: {battery_kwh: {40: 0.5}}", "own.yaml: sellers.battery_kwh: must have shares"),
        ("site: jpl\nsite: caltech", "own.yaml: not valid YAML: key 'site' appears twice"),
        ("site: [", "own.yaml: not valid YAML: "),
        ("- site", "own.yaml: must hold keys and values"),
        ("? [site]\n: jpl", "own.yaml: "),
        ("&a [*a]", "own.yaml: must hold keys and values"),
        ("sellers: &a {share: *a}", "own.yaml: sellers.share: "),
        ("[" * 5000, "own.yaml: not valid YAML: "),
        ("{a: " * 3000, "own.yaml: not valid YAML: "),
        ("\x00", "own.yaml: not valid YAML: "),
        ("feed_in: 0.4", "own.yaml: feed_in: must with all fees be below the cheapest retail"),
        ("limit_kw: yes", "own.yaml: limit_kw: must not be yes or no"),
        ("2019-08-21: x", "own.yaml: "),
    ],
)
def test_a_typo_in_the_configuration(
    text: str, words: str, peerwatt: Peerwatt, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    for command in (("config", "check", "own.yaml"), (*DAY, "--config", "own.yaml")):
        assert words in peerwatt(*command).complaint
    assert left(tmp_path) == ["own.yaml"]


def test_a_configuration_that_is_no_text(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"site: \xff\xfe")
    assert "own.yaml: not valid YAML: " in peerwatt("config", "check", "own.yaml").complaint
    assert "Is a directory" in peerwatt("config", "check", tmp_path).complaint


def test_a_target_that_is_taken_or_cannot_be_written(
    peerwatt: Peerwatt, write_csv: WriteCsv, tmp_path: Path
) -> None:
    file = write_csv()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    for out, words in (
        ("full", "full: exists and is not empty"),
        ("cars.csv", "cars.csv: exists and is not a folder"),
        ("cars.csv/below", "cars.csv/below: cannot be "),
        (".", ".: exists and is not empty"),
        ("/proc/nowhere/result", "/proc/nowhere/result: cannot be written: "),
    ):
        for command in (("day", "--sessions", file), ("demo",)):
            assert words in peerwatt(*command, "--out", out).complaint
    assert left(tmp_path) == ["cars.csv", "full"]
    assert left(tmp_path / "full") == ["mine"]


def test_a_disk_that_is_full_leaves_nothing(
    peerwatt: Peerwatt, write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(run: DayRun, folder: Any) -> None:
        folder.write_text("summary.json", "{}")
        raise OSError(errno.ENOSPC, "No space left on device", "summary.json")

    monkeypatch.setattr(DayRun, "write", write)
    complaint = peerwatt(*DAY, "--sessions", write_csv()).complaint
    assert complaint == "summary.json: No space left on device"
    assert left(tmp_path) == ["cars.csv"]


def test_ctrl_c_is_one_line_and_leaves_nothing(
    peerwatt: Peerwatt, write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(world: World, slot: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "gate", interrupted)
    outcome = peerwatt(*DAY, "--sessions", write_csv())
    assert (outcome.code, outcome.err) == (130, "peerwatt: stopped\n")
    assert left(tmp_path) == ["cars.csv"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("day",), "--out"),
        (("day", "--out"), "--out"),
        (("day", "--out", "x", "--seed", "-1"), "--seed"),
        (("day", "--out", "x", "--seed", "one"), "--seed"),
        (("day", "--out", "x", "--mechanism", "magic"), "--mechanism"),
        (("day", "--out", "x", "--site", "mit"), "'mit'"),
        (("receipt", "x"), "order"),
        (("dya",), "'dya'"),
        (("--seed",), "--seed"),
        (("soak", "days", "--sample", "0"), "--sample"),
    ],
)
def test_words_that_make_no_command(
    words: tuple[str, ...], named: str, peerwatt: Peerwatt, tmp_path: Path
) -> None:
    complaint = peerwatt(*words).complaint
    assert named in complaint
    assert complaint.endswith("(peerwatt --help tells more)")
    assert left(tmp_path) == []


@pytest.mark.parametrize("words", [(), ("config",), ("soak",)])
def test_no_words_at_all_show_help(words: tuple[str, ...], peerwatt: Peerwatt) -> None:
    outcome = peerwatt(*words)
    assert outcome.code == 2
    assert "Usage: peerwatt" in outcome.out + outcome.err


def test_a_seed_beyond_all_bounds(peerwatt: Peerwatt) -> None:
    for command in (DAY, ("demo", "--out", "x")):
        assert peerwatt(*command, "--seed", 2**63).complaint.startswith("sellers.seed: must be")
