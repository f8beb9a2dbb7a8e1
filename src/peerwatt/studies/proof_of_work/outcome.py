"""What one block came to, and what members say of blocks: the same for both schemes.

Knows faults. Knows neither races nor votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peerwatt.studies.proof_of_work.setting import Setting


@dataclass(frozen=True)
class Outcome:
    """A block's way into the ledger."""

    decided: bool
    finality_s: float | None
    """From the last block to the moment at which every working member had stored this one."""
    race_s: float | None
    """Of it, until the leader was found; none among votes."""
    messages: int
    sent_bytes: int
    energy_j: float
    leader: int | None
    """Whose block was stored."""
    leader_faulty: bool
    two_leaders: bool
    """Whether a second member found a hash before it had heard of the first's."""
    rounds: int
    """Races, or rounds of votes."""
    blamed_faulty: int
    blamed_good: int
    bad_stored: bool
    """Whether a bad block was stored."""


class Cast:
    """Who has the fault in this block, and what everybody says of it."""

    def __init__(self, setting: Setting, chance: np.random.Generator) -> None:
        chosen = chance.choice(setting.members, setting.faulty_members, replace=False)
        self.fault = setting.fault
        self.faulty = frozenset(int(each) for each in chosen)
        silent = self.faulty if setting.fault == "silent" else frozenset[int]()
        self.working = [each for each in range(setting.members) if each not in silent]

    def is_bad(self, leader: int) -> bool:
        """Whether this leader's block is bad."""
        return self.fault == "bad-block" and leader in self.faulty

    def finds_good(self, member: int, leader: int, look: int) -> bool:
        """What a member says of a leader's block at its first or second look."""
        if self.fault == "slip":
            return member not in self.faulty or look > 1
        if self.fault == "lying-audit":
            return member not in self.faulty or leader in self.faulty
        return not self.is_bad(leader) or member in self.faulty
