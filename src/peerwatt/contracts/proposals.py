"""Clearings that members propose for a frozen book, each with the prices that prove it.

Knows state and the proofs. Any member may propose once a round, until `clear_by_s`; the smallest
certified gap wins, then the smaller hash. Prices that prove nothing cost their sender a fine, and
the message that stands in the block is the evidence. `awaiting` and `compete` are the same for the
end of an auction (`auction_ends`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of
from peerwatt.contracts.clearing import book_of, clear_proposed, price_count
from peerwatt.contracts.life import moved
from peerwatt.contracts.proved import Flaw
from peerwatt.contracts.state import (
    AUCTIONS,
    MEMBERS,
    ORDERS,
    PRICES,
    ROUNDS,
    AuctionEnd,
    PriceList,
    Refusal,
    State,
)
from peerwatt.records.market import (
    Mechanism,
    Order,
    ProposedClearing,
    Round,
    RoundStatus,
    SellOrder,
    prices_hash,
)
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import ProposeAuction, ProposeClearing

MAX_PARTS = 1_000


def propose_clearing(
    state: State, context: BlockContext, message: ProposeClearing
) -> Refusal | None:
    """A member's prices for a closed round, whole or the next part of them."""
    market_round = awaiting(state, context, message)
    if isinstance(market_round, Refusal):
        return market_round
    if not market_round.mechanism.priced:
        return Refusal(Reason.OUT_OF_RANGE, "round_id")
    listed = _with_part(state, market_round, message)
    if isinstance(listed, Refusal):
        return listed
    found: ProposedClearing | Refusal | None = None
    if listed.next_part == listed.parts:
        found = _prove(state, market_round, message, listed)
    if isinstance(found, Refusal):
        return found
    # --- checked; from here on only writes ---
    state.put(PRICES, message.signer, listed, message.round_id)
    if found is not None:
        compete(state, message.round_id, market_round, found)
    return None


def awaiting(
    state: State, context: BlockContext, message: ProposeClearing | ProposeAuction
) -> Round | Refusal:
    """The round for which a member may propose now, with what a failure would cost it."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if state.get(MEMBERS, message.signer) is None:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if not market_round.mechanism.proposed:
        return Refusal(Reason.OUT_OF_RANGE, "round_id")
    if market_round.status > RoundStatus.PROPOSED:
        return Refusal(Reason.TOO_LATE, "round_id")
    if market_round.status == RoundStatus.OPEN:
        return Refusal(Reason.TOO_EARLY, "round_id")
    if context.market_time_s >= market_round.clear_by_s:
        return Refusal(Reason.TOO_LATE, "round_id")
    fine_ucoin = market_round.prices.failed_clearing_penalty_ucoin
    if account_of(state, message.signer).free_ucoin < fine_ucoin:
        return Refusal(Reason.UNFUNDED, "signer")
    return market_round


def compete(state: State, round_id: bytes, market_round: Round, new: ProposedClearing) -> None:
    """A proved proposal becomes the round's where it is the best so far."""
    known = market_round.proposed
    if known is not None:
        rank = (new.gap_ucoin, new.prices_hash) < (known.gap_ucoin, known.prices_hash)
        if not rank:
            return
    if market_round.status == RoundStatus.CLOSED:
        market_round = moved(market_round, RoundStatus.PROPOSED)
    state.put(ROUNDS, round_id, replace(market_round, proposed=new))


def _with_part(state: State, market_round: Round, message: ProposeClearing) -> PriceList | Refusal:
    """The sender's list of prices with this part added; a first part begins anew."""
    fine_ucoin = market_round.prices.failed_clearing_penalty_ucoin
    if message.orders_root != market_round.orders_root:
        return Refusal(Reason.WRONG_BOOK, "orders_root", fine_ucoin)
    known = state.get(PRICES, message.signer, message.round_id)
    if known is not None and known.next_part == known.parts:
        if message.prices_hash == known.prices_hash:
            return Refusal(Reason.ALREADY_EXISTS, "prices_hash")
        return Refusal(Reason.CONFLICTING, "prices_hash", fine_ucoin)
    if not 1 <= message.parts <= MAX_PARTS:
        return Refusal(Reason.TOO_MANY, "parts")
    if known is None or message.part == 0:
        known = PriceList(prices_hash=message.prices_hash, parts=1, next_part=0, prices=())
    if message.part != known.next_part or message.part >= message.parts:
        return Refusal(Reason.OUT_OF_ORDER, "part")
    if message.prices_hash != known.prices_hash:
        return Refusal(Reason.OUT_OF_ORDER, "prices_hash")
    prices = (*known.prices, *message.prices)
    feeder_prices = (*known.feeder_prices, *message.feeder_prices)
    if len(prices) > price_count(market_round):
        return Refusal(Reason.INCOMPLETE, "prices", fine_ucoin)
    if len(feeder_prices) > len(market_round.feeders):
        return Refusal(Reason.INCOMPLETE, "feeder_prices", fine_ucoin)
    return PriceList(
        prices_hash=message.prices_hash,
        parts=message.parts,
        next_part=message.part + 1,
        prices=prices,
        feeder_prices=feeder_prices,
    )


def _prove(
    state: State, market_round: Round, message: ProposeClearing, listed: PriceList
) -> ProposedClearing | Refusal:
    fine_ucoin = market_round.prices.failed_clearing_penalty_ucoin
    if prices_hash(listed.prices, listed.feeder_prices) != listed.prices_hash:
        return Refusal(Reason.INCOMPLETE, "prices_hash", fine_ucoin)
    orders = [order for _, order in state.items(ORDERS, message.round_id)]
    if len(listed.prices) != price_count(market_round):
        return Refusal(Reason.INCOMPLETE, "prices", fine_ucoin)
    if len(listed.feeder_prices) != len(market_round.feeders):
        return Refusal(Reason.INCOMPLETE, "feeder_prices", fine_ucoin)
    book = book_of(market_round, orders)
    found = clear_proposed(book, orders, listed.prices, listed.feeder_prices)
    if isinstance(found, Flaw):
        return Refusal(found.reason, _field(market_round, orders, found), fine_ucoin)
    return ProposedClearing(
        proposer=message.signer, prices_hash=listed.prices_hash, gap_ucoin=found.gap_ucoin
    )


def _field(market_round: Round, orders: Sequence[Order], flaw: Flaw) -> str:
    """The price to blame, in the order in which prices are listed. A flaw of pairs counts buyers,
    then sellers, then feeders; one of a price for all feeders, then that price."""
    if flaw.at is None:
        return "prices"
    pairs = market_round.mechanism == Mechanism.WELFARE_PAIRS
    feeder = flaw.at - len(orders) if pairs else flaw.at
    if 0 <= feeder < len(market_round.feeders):
        return f"feeder_prices[{feeder}]"
    if not pairs:
        return "prices[0]"
    sells = [isinstance(order, SellOrder) for order in orders]
    return f"prices[{sorted(range(len(orders)), key=lambda at: (sells[at], at))[flaw.at]}]"


def winning_proposal(
    state: State, round_id: bytes, market_round: Round
) -> PriceList | AuctionEnd | None:
    """The prices of the best proposal, or the end of the auction, if there is one; whatever was
    proposed for the round is gone."""
    winner = b"" if market_round.proposed is None else market_round.proposed.proposer
    won: PriceList | AuctionEnd | None = state.get(PRICES, winner, round_id)
    if won is None:
        won = state.get(AUCTIONS, winner, round_id)
    for proposer, _ in state.items(PRICES, round_id):
        state.delete(PRICES, proposer, round_id)
    for proposer, _ in state.items(AUCTIONS, round_id):
        state.delete(AUCTIONS, proposer, round_id)
    return won
