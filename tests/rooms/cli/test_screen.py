"""What the screen says of a day's clearings."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from peerwatt.cli.screen import show_day
from peerwatt.simulation.run import DayRun

CLEARINGS = {"by_ledger": 0, "by_members": 0, "grid_alone": 0, "gap_ucoin": 47}
CLEARINGS |= {"traded_ucoin": 231_560_000, "largest_gap_ppb": 1_000}
AT_MOST = "at most $0.000047 in all, 0.0001% of a round's trade"


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (
            {"by_ledger": 5},
            f"5 cleared by the ledger itself; welfare left on the table: {AT_MOST}",
        ),
        (
            {"by_members": 54, "grid_alone": 13},
            "54 proved by a member, 13 cleared against the grid alone; "
            f"welfare left on the table of the others: {AT_MOST}",
        ),
        ({"grid_alone": 4}, "4 cleared against the grid alone"),
        ({}, "No round was cleared."),
    ],
)
def test_who_cleared_the_rounds_and_how_well(
    counts: dict[str, Any], line: str, small_run: DayRun, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = copy.deepcopy(small_run.summary) | {"clearings": CLEARINGS | counts}
    show_day(summary)
    assert line in capsys.readouterr().out.splitlines()
