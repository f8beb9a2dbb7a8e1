"""The life of a round as a table; docs/life-cycle.md is drawn from it. Knows records alone."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.state import InvariantError
from peerwatt.records.market import Round, RoundStatus


class Move(NamedTuple):
    """A step that a round may take, and what brings it about."""

    before: RoundStatus
    trigger: str
    after: RoundStatus


LIFE = (
    Move(RoundStatus.OPEN, "gate_s, or reveal_by_s of sealed orders", RoundStatus.CLOSED),
    Move(RoundStatus.CLOSED, "at once, where the ledger clears itself", RoundStatus.CLEARED),
    Move(RoundStatus.CLOSED, "at once, without orders", RoundStatus.VOID),
    Move(
        RoundStatus.CLOSED, "a member's prices or an auction's bids prove it", RoundStatus.PROPOSED
    ),
    Move(RoundStatus.CLOSED, "clear_by_s, the second of two rounds", RoundStatus.CLEARED),
    Move(RoundStatus.CLOSED, "clear_by_s, nothing proved: the grid alone", RoundStatus.CLEARED),
    Move(RoundStatus.PROPOSED, "clear_by_s, the smallest gap", RoundStatus.CLEARED),
    Move(RoundStatus.CLEARED, "slot_end_s", RoundStatus.DELIVERED),
    Move(RoundStatus.DELIVERED, "all readings in, or settle_by_s", RoundStatus.SETTLED),
    Move(RoundStatus.SETTLED, "settle_by_s and the dispute window", RoundStatus.ENDED),
)
FINAL = tuple(each for each in RoundStatus if all(each != move.before for move in LIFE))


def moved(market_round: Round, status: RoundStatus) -> Round:
    """A round one step further; the only place where a status changes."""
    if not any(move.before == market_round.status and move.after == status for move in LIFE):
        raise InvariantError(f"a {market_round.status.name} round cannot be {status.name} next")
    return replace(market_round, status=status)


def closes_s(market_round: Round) -> int:
    """When a round's book is final: at the gate, or once sealed orders must have been shown."""
    return market_round.reveal_by_s or market_round.gate_s
