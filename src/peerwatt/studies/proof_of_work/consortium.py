"""One block as the paper's consortium makes it: race, audit by all, replies, second look, blame.

Knows section III-B of PETCON (doi:10.1109/TII.2017.2709784): the first to find a hash leads and
sends its block to all; every LAG audits it and sends its signed result to every other; with the
results of all it replies to the leader; where all agree, the leader sends the block for storage;
where some do not, it sends them the block once more, and who then still differs is held to
account. Where the paper is silent: of two leaders the earlier counts; those in the minority of the
last results are blamed, and if that is the leader, its block is dropped and the others race again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from peerwatt.studies.proof_of_work.network import Network
from peerwatt.studies.proof_of_work.outcome import Cast, Outcome
from peerwatt.studies.proof_of_work.race import difficulty_for, find_times
from peerwatt.studies.proof_of_work.setting import Setting


class _Claim(NamedTuple):
    """When somebody found a hash, and who, in which race. The earlier of two counts."""

    found_s: float
    leader: int
    race: int


@dataclass
class _Audit:
    """What is known of one leader's block."""

    heard: dict[int, set[int]] = field(default_factory=dict)
    """By member, whose first results it has."""
    replies: dict[int, dict[int, bool]] = field(default_factory=lambda: {1: {}, 2: {}})
    """At the leader, by look and member."""


def race_for_block(setting: Setting, chance: np.random.Generator) -> Outcome:
    """One block, from the decision of the one before it."""
    return _Race(setting, chance).outcome()


class _Race:
    def __init__(self, setting: Setting, chance: np.random.Generator) -> None:
        self._setting, self._chance = setting, chance
        self._cast = Cast(setting, chance)
        self._net = Network(setting, chance)
        self._difficulty = difficulty_for(setting.hash_rates, setting.race_s)
        self._mining_since: dict[int, float] = {}
        self._follows: dict[int, _Claim] = {}
        self._audits: dict[_Claim, _Audit] = {}
        self._stored: set[int] = set()
        self._blamed: set[int] = set()
        self._joules = 0.0
        self._race_s: float | None = None
        self._leader: int | None = None
        self._races = 0
        self._two_leaders = False
        self._start()

    def outcome(self) -> Outcome:
        setting, net, cast = self._setting, self._net, self._cast
        net.run(setting.give_up_s, self._is_done)
        decided = self._is_done()
        for member in list(self._mining_since):
            self._stop_mining(member)
        faulty = len(self._blamed & cast.faulty)
        return Outcome(
            decided=decided,
            finality_s=net.now_s if decided else None,
            race_s=self._race_s,
            messages=net.messages,
            sent_bytes=net.sent_bytes,
            energy_j=self._joules + net.messages * setting.check_j,
            leader=self._leader if decided else None,
            leader_faulty=decided and self._leader in cast.faulty,
            two_leaders=self._two_leaders,
            rounds=self._races,
            blamed_faulty=faulty,
            blamed_good=len(self._blamed) - faulty,
            bad_stored=decided and self._leader is not None and cast.is_bad(self._leader),
        )

    def _is_done(self) -> bool:
        return self._stored.issuperset(self._active())

    def _active(self) -> list[int]:
        return [each for each in self._cast.working if each not in self._blamed]

    def _others(self, member: int) -> list[int]:
        """All that have not been blamed, the silent among them."""
        everyone = range(self._setting.members)
        return [each for each in everyone if each != member and each not in self._blamed]

    def _start(self) -> None:
        """Everyone races, for a block of its own records."""
        self._races += 1
        self._follows.clear()
        self._leader = None
        racers = self._active()
        rates = self._setting.hash_rates[racers]
        for racer, after_s in zip(
            racers, find_times(self._chance, rates, self._difficulty), strict=True
        ):
            self._mining_since[racer] = self._net.now_s
            self._net.later(float(after_s), partial(self._found, racer, self._races))

    def _stop_mining(self, member: int) -> None:
        since_s = self._mining_since.pop(member, None)
        if since_s is not None:
            self._joules += (self._net.now_s - since_s) * self._setting.mining_w

    def _found(self, member: int, race: int) -> None:
        if race != self._races or member not in self._mining_since:
            return
        self._stop_mining(member)
        claim = _Claim(self._net.now_s, member, race)
        if self._leader is None:
            self._leader, self._race_s = member, self._net.now_s
        else:
            self._two_leaders = True
        self._follows[member] = claim
        self._audits[claim] = _Audit()
        for other in self._others(member):
            self._net.send(self._setting.block_bytes, partial(self._hear, other, claim))

    def _hear(self, member: int, claim: _Claim) -> None:
        known = self._follows.get(member)
        late = claim.race != self._races or (known is not None and known <= claim)
        if late or member not in self._cast.working:
            return
        self._stop_mining(member)
        self._follows[member] = claim
        self._look(member, claim, 1)

    def _look(self, member: int, claim: _Claim, look: int) -> None:
        self._joules += self._setting.audit_s * self._setting.audit_w
        self._net.later(self._setting.audit_s, partial(self._tell, member, claim, look))

    def _tell(self, member: int, claim: _Claim, look: int) -> None:
        """An audit has ended: its signed result goes to all, a second one with its reply."""
        if self._follows.get(member) != claim:
            return
        for other in self._others(member):
            heard = partial(self._note, other, claim, member)
            self._net.send(self._setting.result_bytes, heard)
        if look == 1:
            self._note(member, claim, member)
        else:
            self._reply(member, claim, look)

    def _note(self, member: int, claim: _Claim, of: int) -> None:
        """A result has come; with one of everyone a member compares, and replies once."""
        heard = self._audits[claim].heard.setdefault(member, set())
        before = len(heard)
        heard.add(of)
        complete = len(heard) == len(self._others(claim.leader)) > before
        if complete and member != claim.leader and member in self._cast.working:
            self._reply(member, claim, 1)

    def _reply(self, member: int, claim: _Claim, look: int) -> None:
        good = self._cast.finds_good(member, claim.leader, look)
        size = self._setting.result_bytes * (self._setting.members - 1)
        self._net.send(size, partial(self._count, member, claim, look, good))

    def _count(self, member: int, claim: _Claim, look: int, good: bool) -> None:
        """The leader has a reply; with all that it waits for, it knows what to do."""
        replies = self._audits[claim].replies
        replies[look][member] = good
        against = [each for each, agrees in replies[look].items() if not agrees]
        if look == 1:
            if len(replies[1]) < len(self._others(claim.leader)):
                return
            for each in against:
                again = partial(self._look, each, claim, 2)
                self._net.send(self._setting.block_bytes, again)
            if not against:
                self._conclude(claim, [])
        elif len(replies[2]) == sum(not agrees for agrees in replies[1].values()):
            self._conclude(claim, against)

    def _conclude(self, claim: _Claim, against: list[int]) -> None:
        """Who is in the minority is blamed; a leader's block is stored, or dropped with it."""
        if 2 * len(against) >= self._setting.members - len(self._blamed):
            self._blamed.add(claim.leader)
            self._start()
            return
        self._blamed.update(against)
        self._stored.add(claim.leader)
        for other in self._others(claim.leader):
            self._net.send(self._setting.block_bytes, partial(self._stored.add, other))
