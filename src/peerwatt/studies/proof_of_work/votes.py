"""One block as rounds of votes make it: a proposal in turn, prevotes, precommits.

Knows the rounds of Tendermint (E. Buchman, J. Kwon, Z. Milosevic, "The latest gossip on BFT
consensus", arXiv:1807.04938): more than two thirds decide, a proposer that fails costs a round.
Every vote goes from each member to each, as in the consortium's audit, and not by gossip. No
message is lost here and no member says two things, so nobody ever needs a lock to be released.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from peerwatt.studies.proof_of_work.network import Network
from peerwatt.studies.proof_of_work.outcome import Cast, Outcome
from peerwatt.studies.proof_of_work.setting import Setting

PREVOTE, PRECOMMIT = 0, 1


def vote_for_block(setting: Setting, chance: np.random.Generator) -> Outcome:
    """One block, from the decision of the one before it."""
    return _Vote(setting, chance).outcome()


class _Vote:
    def __init__(self, setting: Setting, chance: np.random.Generator) -> None:
        self._setting = setting
        self._cast = Cast(setting, chance)
        self._net = Network(setting, chance)
        # Turns go on from block to block; which one this is must not matter.
        self._first = int(chance.integers(setting.members))
        self._round = [-1] * setting.members
        self._audited: set[tuple[int, int]] = set()
        self._said: set[tuple[int, int, int]] = set()
        self._waits: set[tuple[int, int, int]] = set()
        self._votes: dict[tuple[int, int, int], dict[int, bool]] = {}
        self._decided: dict[int, int] = {}
        self._joules = 0.0
        for member in self._cast.working:
            self._begin(member, 0)

    def outcome(self) -> Outcome:
        setting, net = self._setting, self._net
        net.run(setting.give_up_s, self._is_done)
        done = self._is_done()
        if len(set(self._decided.values())) > 1:
            raise AssertionError("two members decided two blocks")
        leader = self._proposer(next(iter(self._decided.values()))) if done else None
        return Outcome(
            decided=done,
            finality_s=net.now_s if done else None,
            race_s=None,
            messages=net.messages,
            sent_bytes=net.sent_bytes,
            energy_j=self._joules + net.messages * setting.check_j,
            leader=leader,
            leader_faulty=leader in self._cast.faulty,
            two_leaders=False,
            rounds=max(self._round) + 1,
            blamed_faulty=0,
            blamed_good=0,
            bad_stored=leader is not None and self._cast.is_bad(leader),
        )

    def _is_done(self) -> bool:
        return len(self._decided) == len(self._cast.working)

    def _proposer(self, turn: int) -> int:
        return (self._first + turn) % self._setting.members

    def _enough(self, votes: int) -> bool:
        return 3 * votes > 2 * self._setting.members

    def _others(self, member: int) -> list[int]:
        return [each for each in range(self._setting.members) if each != member]

    def _begin(self, member: int, turn: int) -> None:
        self._round[member] = turn
        wait_s = self._setting.propose_timeout_s
        self._net.later(wait_s, partial(self._say, member, PREVOTE, turn, False))
        if self._proposer(turn) == member:
            self._look(member, turn)
            for other in self._others(member):
                self._net.send(self._setting.block_bytes, partial(self._look, other, turn))
        # What others said of this round may have come before.
        if (member, turn) in self._audited:
            self._judge(member, turn)
        self._check(member, PREVOTE, turn)
        self._check(member, PRECOMMIT, turn)

    def _look(self, member: int, turn: int) -> None:
        if member in self._cast.working and self._round[member] <= turn:
            self._joules += self._setting.audit_s * self._setting.audit_w
            self._net.later(self._setting.audit_s, partial(self._judge, member, turn))

    def _judge(self, member: int, turn: int) -> None:
        """An audit has ended: its vote, as soon as its round has begun."""
        self._audited.add((member, turn))
        good = self._cast.finds_good(member, self._proposer(turn), turn + 1)
        self._say(member, PREVOTE, turn, good)

    def _say(self, member: int, step: int, turn: int, good: bool) -> None:
        """A member's vote, once a step and only in its round: for the proposal, or for none."""
        if (member, step, turn) in self._said or self._round[member] != turn:
            return
        if step == PREVOTE and (member, PRECOMMIT, turn) in self._said:
            return
        self._said.add((member, step, turn))
        self._note(member, step, turn, member, good)
        for other in self._others(member):
            told = partial(self._note, other, step, turn, member, good)
            self._net.send(self._setting.result_bytes, told)

    def _note(self, member: int, step: int, turn: int, of: int, good: bool) -> None:
        if member not in self._cast.working:
            return
        self._votes.setdefault((member, step, turn), {})[of] = good
        self._check(member, step, turn)

    def _check(self, member: int, step: int, turn: int) -> None:
        """Whether what a member has heard is enough to go on."""
        votes = self._votes.get((member, step, turn), {})
        for_it = sum(votes.values())
        if step == PREVOTE:
            if self._enough(for_it):
                self._say(member, PRECOMMIT, turn, True)
            elif self._enough(len(votes) - for_it):
                self._say(member, PRECOMMIT, turn, False)
            elif self._enough(len(votes)):
                self._wait(member, step, turn, partial(self._say, member, PRECOMMIT, turn, False))
        elif self._enough(for_it):
            self._decided.setdefault(member, turn)
        elif self._enough(len(votes) - for_it):
            self._next(member, turn)
        elif self._enough(len(votes)):
            self._wait(member, step, turn, partial(self._next, member, turn))

    def _wait(self, member: int, step: int, turn: int, act: partial[None]) -> None:
        """Votes that could still decide get their time, once."""
        if (member, step, turn) not in self._waits:
            self._waits.add((member, step, turn))
            self._net.later(self._setting.propose_timeout_s, act)

    def _next(self, member: int, turn: int) -> None:
        if self._round[member] == turn and member not in self._decided:
            self._begin(member, turn + 1)
