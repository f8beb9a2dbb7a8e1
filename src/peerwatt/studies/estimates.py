"""Numbers from draws, with what chance leaves open.

Knows numpy and how intervals are made. Knows nothing of what is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Z = 1.959964
"""Of a normal variable's draws 95 % lie within so many standard deviations."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, from so many draws."""

    value: float
    low: float
    high: float
    draws: int

    def meets(self, low: float, high: float) -> bool:
        """Whether the interval and that range have a point in common."""
        return self.low <= high and low <= self.high


def exact(value: float) -> Estimate:
    """What no chance is in."""
    return Estimate(float(value), float(value), float(value), 1)


def mean_of(values: Iterable[float]) -> Estimate:
    """The mean of independent draws and Student's interval; of one draw the interval is all."""
    sample = np.fromiter(values, dtype=np.float64)
    if sample.size == 0:
        raise ValueError("no draws to take the mean of")
    middle = float(sample.mean())
    if sample.size == 1:
        return Estimate(middle, -math.inf, math.inf, 1)
    half = _student(sample.size - 1) * float(sample.std(ddof=1)) / math.sqrt(sample.size)
    return Estimate(middle, middle - half, middle + half, sample.size)


def share_of(hits: Iterable[bool]) -> Estimate:
    """How often something holds, with Wilson's interval (E. B. Wilson, J. Amer. Statist. Assoc.
    22, 1927, doi:10.1080/01621459.1927.10502953)."""
    sample = np.fromiter(hits, dtype=bool)
    n = sample.size
    if n == 0:
        raise ValueError("no draws to take the share of")
    share, spread = float(sample.mean()), Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At the ends the interval reaches the share itself, but for rounding.
    return Estimate(share, min(middle - half, share), max(middle + half, share), n)


def _student(freedom: int) -> float:
    """Student's 97.5 % quantile: exact for 1 and 2, else Cornish and Fisher's expansion, within
    1 % from 3 degrees of freedom on."""
    if freedom <= 2:
        return (12.706205, 4.302653)[freedom - 1]
    z = Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
