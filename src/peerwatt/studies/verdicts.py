"""Holds what was found against what the paper says and against what is expected.

Knows estimates and a study's file. Knows no study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from peerwatt.reporting.study_page import ClaimRow
from peerwatt.studies.estimates import Estimate
from peerwatt.studies.files import Expectation


class Word(StrEnum):
    """What is said of a claim."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    CANNOT = "cannot be reproduced"
    MEASURED = "measured"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Verdict:
    """One claim, judged."""

    claim: str
    expectation: Expectation
    estimate: Estimate | None
    word: Word
    missed: bool
    """Whether the 95% interval lies wholly outside the expected range."""

    def row(self) -> ClaimRow:
        """As the page and the screen say it."""
        about, found = self.expectation, self.estimate
        low, high = about.expected
        return ClaimRow(
            says=about.says,
            where=about.where,
            paper="–" if about.paper is None else number(about.paper, about.unit),
            ours="–" if found is None else number(found.value, about.unit),
            interval=_interval(found, about.unit),
            expected=_range(low, high, about.unit),
            verdict=self.word,
            missed=self.missed,
            words=[text for text in (about.cannot, about.note) if text],
        )

    def as_json(self) -> dict[str, Any]:
        """For the summary."""
        found = self.estimate
        return {
            "says": self.expectation.says,
            "where": self.expectation.where,
            "unit": self.expectation.unit,
            "paper": self.expectation.paper,
            "ours": None if found is None else found.value,
            "interval": None if found is None else [_finite(found.low), _finite(found.high)],
            "draws": None if found is None else found.draws,
            "expected": list(self.expectation.expected),
            "verdict": str(self.word),
            "within_expected": None if found is None else not self.missed,
            "why": self.expectation.cannot or self.expectation.note,
        }


def judge(expected: Mapping[str, Expectation], estimates: Mapping[str, Estimate]) -> list[Verdict]:
    """A verdict a claim, in the file's order.

    A claim is reproduced where the paper's value lies as close to ours as the file allows; where
    the paper prints none, ours is only measured.
    """
    return [_judged(name, about, estimates.get(name)) for name, about in expected.items()]


def _judged(name: str, about: Expectation, found: Estimate | None) -> Verdict:
    if found is None:
        return Verdict(name, about, None, Word.NOT_MEASURED, False)
    missed = not found.meets(*about.expected)
    if about.cannot:
        word = Word.CANNOT
    elif about.paper is None:
        word = Word.MEASURED
    else:
        same = abs(found.value - about.paper) <= about.close
        word = Word.REPRODUCED if same else Word.DIFFERS
    return Verdict(name, about, found, word, missed)


def number(value: float, unit: str = "") -> str:
    """Three or four digits that count, with its unit; a share as per cent."""
    if not math.isfinite(value):
        return "∞"
    if unit == "%":
        return f"{100 * value:.3g}%"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.4g}" if size >= 1e-3 else f"{value:.2g}"
    shown = text.replace("-", "−")
    return f"{shown} {unit}" if unit else shown


def _interval(found: Estimate | None, unit: str) -> str:
    if found is None:
        return "–"
    return (
        "exact"
        if found.draws == 1 and found.low == found.high
        else _range(found.low, found.high, unit)
    )


def _range(low: float, high: float, unit: str) -> str:
    """Its unit stands beside the value already, but for per cent, which changes the digits."""
    ends = [number(end, unit if unit == "%" else "") for end in (low, high)]
    return ends[0] if low == high else " to ".join(ends)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
