"""The house rules hold for this checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import house

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = house.read(ROOT, "src")
ALL = PACKAGE + house.read(ROOT, "tests", "tools", "bench", "studies")
HEAVY = ("numpy", "polars", "matplotlib", "highspy", "pydantic", "yaml", "joblib", "distributed")

Rule = Callable[[list[house.Source]], Iterator[str]]


def check(rule: Rule, sources: list[house.Source]) -> None:
    offences = list(rule(sources))
    if offences:
        pytest.fail("\n".join(offences), pytrace=False)


@pytest.mark.parametrize(
    "rule",
    [
        house.unknown_rooms,
        house.forbidden_rooms,
        house.forbidden_packages,
        house.circles,
        house.heavy_inits,
        house.inexact,
        house.bare_asserts,
        house.undocumented,
    ],
)
def test_the_package_keeps(rule: Rule) -> None:
    check(rule, PACKAGE)


@pytest.mark.parametrize("rule", [house.long_files, house.long_functions])
def test_all_code_keeps(rule: Rule) -> None:
    check(rule, ALL)


def test_the_rules_see_the_code() -> None:
    seen = {source.path for source in ALL}
    assert {"src/peerwatt/cli/main.py", "tools/environment.py"} <= seen
    assert {source.room for source in PACKAGE} >= {"units", "records", "contracts", "cli"}


def test_the_documentation_shows_the_same_table() -> None:
    text = (ROOT / "docs" / "house-rules.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z_]+) \| (.+) \|$", text, re.M))
    assert rows == {room: ", ".join(known) or "no other" for room, known in house.ROOMS.items()}


def loaded_by(program: str) -> list[str]:
    """The heavy packages that a fresh Python has loaded after a program."""
    report = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'src'); {program}; {report}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_command_line_starts_light() -> None:
    assert loaded_by("import peerwatt.cli.main") == []
    assert loaded_by("import peerwatt.cli.main, yaml") == ["yaml"]
