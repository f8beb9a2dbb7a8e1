"""`peerwatt privacy`: what it shows, what it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Peerwatt = Callable[..., Any]


def test_two_days_side_by_side(
    peerwatt: Peerwatt, small_folder: Path, fresh_folder: Path, tmp_path: Path
) -> None:
    named = [tmp_path / "session", tmp_path / "fresh"]
    for link, folder in zip(named, (small_folder, fresh_folder), strict=True):
        link.symlink_to(folder)
    outcome = peerwatt("privacy", *named, "--out", tmp_path / "joined")
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("session: a wallet a stay", "fresh: a fresh wallet an order", "Who learns what"):
        assert words in outcome.out
    figures = json.loads((tmp_path / "joined" / "linkage.json").read_bytes())
    found = {day: {row["evidence"]: row["found"] for row in rows} for day, rows in figures.items()}
    session, fresh = found["session: a wallet a stay"], found["fresh: a fresh wallet an order"]
    assert (session["wallet"], fresh["wallet"], fresh["port and time"]) == (1, 0, 1)
    png = (tmp_path / "joined" / "linkage.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    again = peerwatt("privacy", *named, "--out", tmp_path / "joined")
    assert again.complaint == f"--out: {tmp_path / 'joined'} exists already"


def test_what_is_no_run_is_said_in_one_line(
    peerwatt: Peerwatt, small_folder: Path, tmp_path: Path
) -> None:
    assert str(tmp_path / "none") in peerwatt("privacy", tmp_path / "none").complaint
    copy = Path(shutil.copytree(small_folder, tmp_path / "copy"))
    (copy / "orders.parquet").unlink()
    assert "orders.parquet: cannot be read" in peerwatt("privacy", copy).complaint
