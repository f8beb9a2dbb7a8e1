"""Validators that sign two blocks of one height: who that was is recorded, and pays.

Knows state and records. The engine brings the evidence, alike to every validator.
"""

from __future__ import annotations

from peerwatt.contracts.accounts import account_of, move
from peerwatt.contracts.members import runs
from peerwatt.contracts.state import EQUIVOCATIONS, MEMBERS, POT, State, chain_of
from peerwatt.records.members import Equivocation
from peerwatt.records.receipts import BlockContext, Event


def punish_equivocation(state: State, context: BlockContext) -> tuple[Event, ...]:
    """Members whose validators are proved to have signed two blocks of one height pay the penalty,
    as far as their free coins go, and it is kept on record."""
    events = []
    for key, member in state.items(MEMBERS):
        if not any(runs(member, each) for each in context.misbehavior):
            continue
        penalty = chain_of(state).equivocation_penalty_ucoin
        fine = min(penalty, account_of(state, key).free_ucoin)
        move(state, key, POT, fine)
        at = context.height.to_bytes(8, "big") + key
        state.put(EQUIVOCATIONS, at, Equivocation(fine_ucoin=fine))
        events.append(Event(kind="equivocated", key=at))
    return tuple(events)
