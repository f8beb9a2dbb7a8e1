"""What an auctioneer keeps to, what it says beside signed words, and what an auction comes to.

Knows the records. Knows no time and nothing of how an allocation is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from peerwatt.records.auction import (
    Invitation,
    LastBids,
    Rents,
    SignedAllocation,
    SignedInvitation,
    Stalled,
)
from peerwatt.records.market import BuyOrder, Order
from peerwatt.units import PCOIN_PER_UCOIN

LEAST_SHARE = 10**9
"""A buyer with a minimum bids at least this part of its total on everybody: a minimum that may come
from one seller alone could have no allocation."""


class BidError(ValueError):
    """A bid that is refused: one line that names the field and the reason."""


class Absence(NamedTuple):
    """To be reported on the ledger: the agents of these orders are silent."""

    order_ids: tuple[bytes, ...]


Word = SignedInvitation | SignedAllocation | Absence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long an auctioneer waits, and how exact it is."""

    answer_ms: int = 2_000
    """Who has not answered for so long is absent."""
    tolerance: float = 2e-4
    """It concludes when buyers' and sellers' bids change by less, as relative Frobenius norms,"""
    patience: int = 40
    """or, after so many iterations of a run, by what the ledger takes for rest."""
    max_iterations: int = 500
    """Of all runs together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a round's auction ended: what its proposal is made of, and what it took."""

    invitation: Invitation
    iteration: int
    """Of the latest bids."""
    before: bytes
    """The hash of all bids before the two that are shown."""
    bids: tuple[LastBids, ...]
    """Buyers', then sellers', in the invitation's order."""
    rents: Rents
    stalling: tuple[Stalled, ...]
    absent: tuple[bytes, ...]
    iterations: int
    """Of all runs together."""

    def proposal(self) -> dict[str, Any]:
        """The fields of the message that proposes it to the ledger."""
        return {
            "round_id": self.invitation.round_id,
            "orders_root": self.invitation.orders_root,
            "run": self.invitation.run,
            "stalling": self.stalling,
            "iteration": self.iteration,
            "before": self.before,
            "bids": self.bids,
            "rents": self.rents,
        }


def check_amounts(invitation: Invitation, order: Order, amounts: tuple[int, ...]) -> None:
    """Refuse what could not be meant: it would move others' energy and be paid by nobody.

    Raises:
        BidError: what is wrong with an order's amounts.
    """
    buys = isinstance(order, BuyOrder)
    others = len(invitation.sellers) + 1 if buys else len(invitation.buyers)
    if len(amounts) != others:
        raise BidError(f"amounts: must be {others}, are {len(amounts)}")
    if isinstance(order, BuyOrder):
        total = sum(amounts)
        if total > order.held_ucoin * PCOIN_PER_UCOIN:
            raise BidError("amounts: come to more than the order holds")
        if order.min_wh and (not total or min(amounts) * LEAST_SHARE < total):
            raise BidError("amounts: must all be above zero for an order with a minimum")
    elif min(amounts) < order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN:
        raise BidError("amounts: are below what the order asks")
