"""A round's iterative auction held in one process: the same signed words as over wires.

Knows agents and auctioneer, and carries each word to whom it is for. Time stands still meanwhile,
as everybody answers at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from peerwatt.agents.bidder import Bidder
from peerwatt.agents.ports import Intent
from peerwatt.agents.preferences import preference_of
from peerwatt.hosts.host import View
from peerwatt.market_operator.auction import Absence, Conclusion, Word
from peerwatt.market_operator.auctioneer import Auctioneer
from peerwatt.records.auction import SignedBid, SignedInvitation
from peerwatt.records.market import Mechanism, Order, Round, RoundStatus
from peerwatt.records.signing import SigningKey
from peerwatt.units import UCOIN_PER_COIN

MS_PER_S = 1_000


class Wish(NamedTuple):
    """What its owner alone knows of an order."""

    key: SigningKey
    intent: Intent


def awaits_auction(market_round: Round) -> bool:
    """Whether a frozen round waits for its auction."""
    auctioned = market_round.mechanism == Mechanism.ITERATIVE_AUCTION
    return auctioned and market_round.status == RoundStatus.CLOSED


def awaits_second_round(market_round: Round) -> bool:
    """Whether losers of a first round may sign limits for a second."""
    return market_round.first is not None and market_round.status == RoundStatus.CLOSED


def hold_auction(
    view: View, round_id: bytes, wishes: Mapping[str, Wish], operator: SigningKey
) -> Conclusion | None:
    """What the auction of a frozen round comes to, or none where it comes to nothing. `wishes` are
    by port."""
    market_round: Round = view.get("rounds", round_id)
    orders: list[Order] = [order for _, order in view.items("orders", round_id)]
    middle_s = (market_round.gate_s + market_round.clear_by_s) // 2
    auctioneer = Auctioneer(
        round_id,
        market_round,
        orders,
        key=operator,
        chain_id=view.chain_id,
        report_by_ms=middle_s * MS_PER_S,
        end_by_ms=market_round.clear_by_s * MS_PER_S,
    )
    bidders = {
        order.order_id: _bidder(order, wishes[order.port], market_round, round_id, auctioneer)
        for order in orders
    }
    now_ms = market_round.gate_s * MS_PER_S
    words = deque(auctioneer.start(now_ms))
    while words:
        for bid in _answers(words.popleft(), bidders):
            words += auctioneer.hear(bid, now_ms)
    return auctioneer.conclusion


def _bidder(
    order: Order, wish: Wish, market_round: Round, round_id: bytes, auctioneer: Auctioneer
) -> Bidder:
    return Bidder(
        preference_of(wish.intent, market_round.prices.lost_load_ucoin_per_kwh),
        held_usd=order.held_ucoin / UCOIN_PER_COIN,
        order_id=order.order_id,
        round_id=round_id,
        key=wish.key,
        auctioneer=auctioneer.public,
        chain_id=auctioneer.chain_id,
    )


def _answers(word: Word, bidders: Mapping[bytes, Bidder]) -> list[SignedBid]:
    match word:
        case SignedInvitation():
            bids = [bidder.invited(word) for bidder in bidders.values()]
            return [bid for bid in bids if bid is not None]
        case Absence():
            raise AssertionError("nobody is silent here")
        case _:
            return [bidders[word.allocation.order_id].allocated(word)]
