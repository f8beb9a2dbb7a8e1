"""What is said of a claim."""

from __future__ import annotations

from typing import Any

import pytest

from peerwatt.studies.estimates import Estimate, exact
from peerwatt.studies.files import Expectation
from peerwatt.studies.verdicts import Word, judge, number

WIDE = Estimate(2.48, 2.40, 2.56, 100)


def expectation(**changes: Any) -> Expectation:
    base: dict[str, Any] = {"says": "a", "where": "b", "paper": 2.5, "expected": (2.45, 2.55)}
    return Expectation(**base | changes)


@pytest.mark.parametrize(
    ("changes", "found", "word", "missed"),
    [
        ({"close": 0.05}, WIDE, Word.REPRODUCED, False),
        ({"close": 0.01}, WIDE, Word.DIFFERS, False),
        ({"close": 0.05, "cannot": "why"}, WIDE, Word.CANNOT, False),
        ({"paper": None}, WIDE, Word.MEASURED, False),
        ({"close": 0.05}, Estimate(2.3, 2.2, 2.4, 9), Word.DIFFERS, True),
        ({"paper": 0, "expected": (0, 0)}, exact(0), Word.REPRODUCED, False),
        ({}, None, Word.NOT_MEASURED, False),
    ],
)
def test_a_claim_is_judged(
    changes: dict[str, Any], found: Estimate | None, word: Word, missed: bool
) -> None:
    (verdict,) = judge({"a": expectation(**changes)}, {} if found is None else {"a": found})
    assert (verdict.word, verdict.missed) == (word, missed)


def test_a_row_says_shares_as_per_cent() -> None:
    about = expectation(unit="%", paper=0, expected=(0.4, 0.5), note="noted")
    (verdict,) = judge({"a": about}, {"a": Estimate(0.43, 0.41, 0.45, 999)})
    row = verdict.row()
    assert (row.paper, row.ours, row.interval) == ("0%", "43%", "41% to 45%")
    assert (row.expected, row.words) == ("40% to 50%", ["noted"])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.50431, "$", "2.504 $"),
        (-4.3, "", "−4.3"),
        (12345.6, "", "12,346"),
        (0.000051234, "", "5.1e−05"),
        (float("inf"), "", "∞"),
        (0.0, "%", "0%"),
    ],
)
def test_numbers_have_the_digits_that_count(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text
