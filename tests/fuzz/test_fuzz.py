"""How a search is started and what it tells, without its engine."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import fuzz
from peerwatt.cli import soak

LOG = """#9\tNEW    cov: 41 ft: 47 corp: 10/4523b lim: 8192 exec/s: 0 rss: 81Mb
#61\tDONE   cov: 42 ft: 50 corp: 11/4523b lim: 8192 exec/s: 0 rss: 81Mb
 === Uncaught Python exception: ===
KeyError: 'p1'
Traceback (most recent call last):
artifact_prefix='ledger-'; Test unit written to ledger-crash-499a
stat::number_of_executed_units: 61
"""


def test_without_its_engine_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz.py"])
    with pytest.raises(SystemExit) as stopped:
        fuzz.main()
    assert stopped.value.code == 2
    assert "--editable '.[fuzz]'" in capsys.readouterr().err


def test_a_run_is_told_in_figures_and_a_finding_with_its_file() -> None:
    assert fuzz._figures(LOG) == "61 runs, 42 branches, 50 features, 11 inputs"
    assert fuzz._finding(LOG).startswith("KeyError: 'p1' (ledger-crash-499a)")


def test_the_command_runs_the_checkouts_own_fuzzing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "FUZZ", tmp_path / "fuzz.py")
    with pytest.raises(ValueError, match="needs a checkout"):
        soak.run_fuzz(1, None)
    script = "import sys; sys.exit(3 if sys.argv[1:] == ['--seconds', '5', '--target', 'x'] else 4)"
    (tmp_path / "fuzz.py").write_text(script)
    assert soak.run_fuzz(5, "x") == 3
    assert soak.run_fuzz(5, None) == 4
