"""The commands as processes of their own: the demo, Ctrl-C, and the same bytes in two of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from peerwatt.cli.main import main; main()"
SMALL = """\
site: caltech
date: 2019-06-16
"""


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", **changes}


def run(*words: object, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_the_commands_with_a_sentence_each(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    for name in ("demo", "day", "verify", "receipt", "config", "soak"):
        assert re.search(rf"{name} +[A-Z]\w* \w+", shown.stdout), name


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The demo's place, what it said, and the seconds that it took."""
    place = tmp_path_factory.mktemp("demo")
    began_s = time.monotonic()
    shown = run("demo", "--out", "result", cwd=place)
    assert (shown.returncode, shown.stderr) == (0, "")
    return place, shown.stdout, time.monotonic() - began_s


def test_the_demo_is_quick_and_says_what_it_shows(demo: tuple[Path, str, float]) -> None:
    _, said, took_s = demo
    assert took_s < 60
    order = [
        "Sessions, times, energy and tariff are real; which cars sell and how small the connection",
        "JPL, 2019-08-21: 65 cars buy, 11 sell; connection: 72 kW",
        "JPL, 2019-08-21: 65 cars buy, 11 sell; connection: no limit",
        "Trade between cars pays where the connection is too small. It could save $63 behind 72 kW",
        "Three lies",
        "Whoever clears must prove it.",
        "leaves one car's order out: refused",
        "lets a friend's car pay a tenth less: refused",
        "proposes what it can prove: accepted",
        "peerwatt verify result --witness ",
        "Turned away at admission, 3:",
        "Refused on record, 3:",
        "Where to look next",
    ]
    places = [said.rfind(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    assert said.count("252.8") == 1
    assert said.count("185.2") == 1
    for reason in ("WRONG_NONCE: nonce", "UNFUNDED: max_wh", "BAD_READING_SIGNATURE: "):
        assert said.count(f", {reason}") >= 4, "at admission and on record, told and verified"
    assert " ✗ " not in said
    assert "✓ the head is co-signed by " in said


def test_what_the_demo_says_to_look_at_is_there(demo: tuple[Path, str, float]) -> None:
    place, said, _ = demo
    page = place / "result" / "report.html"
    assert str(page.relative_to(place)) in said
    assert "<html" in page.read_text()[:500]
    assert (ROOT / "docs" / "a-bid-travels.md").exists()
    for words in re.findall(r"^ peerwatt (verify .+?)   ", said, re.MULTILINE):
        checked = run(*words.split(), cwd=place)
        assert checked.returncode == 0, checked
    witness = re.search(r"--witness ([0-9a-f]{64})", said)
    assert witness is not None
    receipt = run("verify", "result-car.receipt", "--witness", witness[1], cwd=place)
    assert receipt.returncode == 0
    assert "Order " in receipt.stdout

    changed = place / "result" / "ledger" / "blocks.bin"
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    found = run("verify", "result", cwd=place)
    assert found.returncode == 1
    assert "✗ ledger/blocks.bin: changed: its SHA-256 is another" in found.stdout
    assert re.search(r"✗ ledger/blocks.bin: (block|entry) \d+: ", found.stdout)


def test_a_second_demo_finds_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "peerwatt-demo").mkdir()
    process = subprocess.Popen(command("demo"), cwd=tmp_path, env=environment())
    wait_for(tmp_path, ".peerwatt-demo-2.partial-0")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["peerwatt-demo"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("day", "--out", "below/result"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "below", ".result.partial-0")
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    shown, complaint = process.communicate(timeout=60)
    assert (process.returncode, shown, complaint) == (130, "", "peerwatt: stopped\n")
    assert list(tmp_path.iterdir()) == []


def wait_for(folder: Path, name: str, limit_s: float = 60) -> None:
    end_s = time.monotonic() + limit_s
    while not (folder / name).exists():
        assert time.monotonic() < end_s, f"{name} never appeared"
        time.sleep(0.02)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the seed of Python's hashes, the time zone and the number of threads."""
    (tmp_path / "own.yaml").write_text(SMALL)
    surroundings: list[dict[str, str]] = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "POLARS_MAX_THREADS": "1"},
    ]
    files: list[dict[str, bytes]] = []
    for number, changes in enumerate(surroundings):
        out = tmp_path / str(number)
        shown = run("day", "--config", "own.yaml", "--out", out, cwd=tmp_path, **changes)
        assert (shown.returncode, shown.stderr) == (0, "")
        files.append(
            {
                path.relative_to(out).as_posix(): path.read_bytes()
                for path in out.rglob("*")
                if path.is_file() and path.name != "timings.json"
            }
        )
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    assert len(files[0]) > 15


def test_a_full_pipe_and_a_closed_one_are_no_traceback(tmp_path: Path) -> None:
    reader = subprocess.run(
        ["sh", "-c", '"$@" | head -1', "sh", *command("config", "schema")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert reader.stdout == "{\n"
    assert "Traceback" not in reader.stderr
