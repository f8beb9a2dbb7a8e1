"""The race for a block: who finds a valid hash when, and how often two do.

Knows probability alone. Every hash is valid with chance 1/difficulty on its own, so that the time
until a member finds one is exponential with mean difficulty/rate, and the first of all with mean
difficulty/sum of rates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def difficulty_for(rates: Floats, race_s: float) -> float:
    """Mean number of hashes at which members of these rates (members,) race for `race_s`."""
    return float(rates.sum()) * race_s


def find_times(chance: np.random.Generator, rates: Floats, difficulty: float) -> Floats:
    """(members,) when each would find a valid hash, in seconds from the start."""
    times: Floats = chance.exponential(difficulty / rates)
    return times


def two_leaders_chance(rates: Floats, difficulty: float, delay_s: float, jitter_s: float) -> float:
    """How often another member finds a hash before it hears of the first one's.

    News reaches each other member after `delay_s` and an exponential time of mean `jitter_s`; it
    finds nothing meanwhile with chance exp(-v delay) / (1 + v jitter), where v is its rate over
    the difficulty.
    """
    speeds = rates / difficulty
    nothing = np.exp(-speeds * delay_s) / (1 + speeds * jitter_s)
    nobody = nothing.prod() / nothing
    return float((rates / rates.sum()) @ (1 - nobody))


def leader_share(rates: Floats) -> Floats:
    """(members,) how often each leads, and so what part of all rewards it takes."""
    shares: Floats = rates / rates.sum()
    return shares
