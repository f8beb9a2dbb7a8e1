"""`peerwatt diff`: two folders in, what differs out, and an exit code for scripts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Peerwatt = Callable[..., Any]


def test_equal_runs_exit_0(peerwatt: Peerwatt, small_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(small_folder, tmp_path / "copy")
    found = peerwatt("diff", small_folder, "copy")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-1] == "No difference."


def test_other_runs_exit_1_and_show_a_few_differences(
    peerwatt: Peerwatt, small_folder: Path, pairs_folder: Path
) -> None:
    found = peerwatt("diff", small_folder, pairs_folder)
    assert (found.code, found.err) == (1, "")
    lines = found.out.splitlines()
    assert "They differ." in lines
    assert max(found.out.count(f"\n{part}: ") for part in ("receipts", "balances")) == 1
    assert sum(line.startswith(" - ") for line in lines) <= 30
    assert any(line.endswith("more differences") for line in lines)
    assert "These are two chains, sim-caltech-2019-06-12-" in found.out


@pytest.mark.parametrize("spoil", ["missing", "empty", "cut off"])
def test_what_is_no_run_is_refused(
    spoil: str, peerwatt: Peerwatt, small_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    if spoil == "empty":
        other.mkdir()
    if spoil == "cut off":
        shutil.copytree(small_folder, other)
        blocks = other / "ledger" / "blocks.bin"
        blocks.write_bytes(blocks.read_bytes()[:-7])
    complaint = peerwatt("diff", small_folder, "other").complaint
    assert complaint.startswith("other: ")
    if spoil == "cut off":
        assert "ledger/blocks.bin: entry" in complaint
