"""The end of a round's iterative auction, proposed with the signed bids that prove it.

Knows state and the proof. The auction is talked outside the ledger, which sees its last two steps:
everybody's bids, the allocation that was made from them, derived again from the rents, and
everybody's answer to just that allocation, which must hardly differ. Whoever runs the auction can
leave nobody out but the silent (`absences`) and those whose own bids show that they stall; all
others are invited, or no signature fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from peerwatt.contracts.absences import is_answer_late, present, silent
from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import book_of
from peerwatt.contracts.last_bids import Table, certify, energies_of
from peerwatt.contracts.proposals import awaiting, compete
from peerwatt.contracts.proved import Flaw, ProvedOutcome
from peerwatt.contracts.state import AUCTIONS, AuctionEnd, Refusal, Served, State
from peerwatt.records.auction import (
    MAX_PAIRS,
    Allocation,
    Invitation,
    SignedBid,
    Stalled,
    is_settled,
    stalls,
)
from peerwatt.records.codec import record_id
from peerwatt.records.market import BuyOrder, Mechanism, Order, ProposedClearing, Round, SellOrder
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import ProposeAuction
from peerwatt.units import MAX_COUNT, PCOIN_PER_UCOIN


class _Auction(NamedTuple):
    """The book of those who were invited, by side, and their bids in the same order."""

    book: Book
    invitation: bytes
    orders: list[BuyOrder | SellOrder]
    previous: list[SignedBid]
    latest: list[SignedBid]

    def sides(self, bids: Sequence[SignedBid]) -> tuple[list[tuple[int, ...]], ...]:
        """Buyers' and sellers' amounts."""
        amounts, buyers = [each.bid.amounts for each in bids], len(self.book.buys)
        return amounts[:buyers], amounts[buyers:]


def propose_auction(
    state: State, context: BlockContext, message: ProposeAuction, message_id: bytes
) -> Refusal | None:
    """A member shows how the auction of a closed round ended."""
    market_round = awaiting(state, context, message)
    if isinstance(market_round, Refusal):
        return market_round
    if market_round.mechanism != Mechanism.ITERATIVE_AUCTION:
        return Refusal(Reason.OUT_OF_RANGE, "round_id")
    if state.get(AUCTIONS, message.signer, message.round_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "round_id")
    if silent(state, message.round_id) and not is_answer_late(market_round, context):
        return Refusal(Reason.TOO_EARLY, "round_id")
    ended = prove(market_round, present(state, message.round_id), message)
    if isinstance(ended, Refusal):
        return ended
    # --- checked; from here on only writes ---
    state.put(AUCTIONS, message.signer, ended, message.round_id)
    proposed = ProposedClearing(
        proposer=message.signer, prices_hash=message_id, gap_ucoin=ended.gap_ucoin
    )
    compete(state, message.round_id, market_round, proposed)
    return None


def prove(
    market_round: Round, orders: Sequence[Order], message: ProposeAuction
) -> AuctionEnd | Refusal:
    """What the end of an auction comes to that was open to these orders, by id, the absent left
    out; or the first thing that is wrong with it."""
    fine_ucoin = market_round.prices.failed_clearing_penalty_ucoin
    if message.orders_root != market_round.orders_root:
        return Refusal(Reason.WRONG_BOOK, "orders_root", fine_ucoin)
    refusal = _refute_stalling(message, orders, fine_ucoin)
    if refusal is not None:
        return refusal
    if message.iteration == 0:
        return Refusal(Reason.OUT_OF_RANGE, "iteration")
    if sum(len(each.latest.amounts) for each in message.bids) > 2 * MAX_PAIRS:
        return Refusal(Reason.TOO_MANY, "bids")
    left_out = {each.order_id: each for each in message.stalling}
    invited = [order for order in orders if order.order_id not in left_out]
    book = book_of(market_round, invited)
    auction = _auction(book, message, fine_ucoin)
    if isinstance(auction, Refusal):
        return auction
    refusal = _refute_bids(message, auction, fine_ucoin)
    if refusal is not None:
        return refusal
    payments, asks = auction.sides(auction.previous)
    if book.import_limit_wh == 0:  # and so nobody can bid on the grid's energy
        payments = [(*row[:-1], 0) for row in payments]
    energies = energies_of(book, payments, asks, message.rents)
    if isinstance(energies, Flaw):
        return Refusal(energies.reason, _field(energies), fine_ucoin)
    # Before any energy is encoded: what is within limits has few enough digits.
    found = certify(book, payments, asks, message.rents, energies)
    if isinstance(found, Flaw):
        return Refusal(found.reason, _field(found), fine_ucoin)
    refusal = _refute_answers(message, auction, energies, fine_ucoin)
    return _end(auction, found) if refusal is None else refusal


def _field(flaw: Flaw) -> str:
    """The rent to blame: buyers' come first, then sellers', then the grid's."""
    return "rents" if flaw.at is None else f"rents[{flaw.at}]"


def _refute_stalling(
    message: ProposeAuction, orders: Sequence[Order], fine_ucoin: int
) -> Refusal | None:
    """Left out is only who signed two bids, one right after the other, that are too far apart."""
    if any(first.order_id >= second.order_id for first, second in pairwise(message.stalling)):
        return Refusal(Reason.OUT_OF_ORDER, "stalling")
    owners = {order.order_id: order.owner for order in orders}
    for at, each in enumerate(message.stalling):
        if each.order_id not in owners:
            return Refusal(Reason.UNKNOWN_ORDER, f"stalling[{at}]")
        if not _does_stall(each, owners[each.order_id], message.chain_id):
            return Refusal(Reason.WRONGLY_LEFT_OUT, f"stalling[{at}]", fine_ucoin)
    return None


def _does_stall(shown: Stalled, owner: bytes, chain_id: str) -> bool:
    """Of which run and which others, does not matter: the order is this round's alone."""
    previous, latest = shown.previous.amounts, shown.latest.amounts
    if len(previous) != len(latest) or not stalls(shown.iteration, previous, latest):
        return False
    pair = ((shown.previous, shown.iteration - 1), (shown.latest, shown.iteration))
    bids = [each.bid(shown.invitation, iteration, shown.order_id) for each, iteration in pair]
    return all(bid.is_signed(owner, chain_id) for bid in bids)


def _auction(book: Book, message: ProposeAuction, fine_ucoin: int) -> _Auction | Refusal:
    """The bids of all who were invited, if each is there and of the right length."""
    orders: list[BuyOrder | SellOrder] = [*book.buys, *book.sells]
    if len(message.bids) != len(orders):
        return Refusal(Reason.INCOMPLETE, "bids", fine_ucoin)
    rents = (len(message.rents.buyers), len(message.rents.sellers))
    if rents != (len(book.buys), len(book.sells)):
        return Refusal(Reason.INCOMPLETE, "rents", fine_ucoin)
    others = [len(book.sells) + 1] * len(book.buys) + [len(book.buys)] * len(book.sells)
    for at, (each, most) in enumerate(zip(message.bids, others, strict=True)):
        if not len(each.previous.amounts) == len(each.latest.amounts) == most:
            return Refusal(Reason.INCOMPLETE, f"bids[{at}]", fine_ucoin)
    invitation = record_id(
        Invitation(
            round_id=message.round_id,
            orders_root=message.orders_root,
            run=message.run,
            buyers=tuple(order.order_id for order in book.buys),
            sellers=tuple(order.order_id for order in book.sells),
        )
    )
    listed = list(zip(message.bids, orders, strict=True))
    before, now = message.iteration - 1, message.iteration
    return _Auction(
        book,
        invitation,
        orders,
        [each.previous.bid(invitation, before, order.order_id) for each, order in listed],
        [each.latest.bid(invitation, now, order.order_id) for each, order in listed],
    )


def _refute_bids(message: ProposeAuction, auction: _Auction, fine_ucoin: int) -> Refusal | None:
    """Every bid is its order's owner's, within what its order says, and close to the one before."""
    listed = zip(auction.orders, auction.previous, auction.latest, strict=True)
    for at, (order, *bids) in enumerate(listed):
        amounts = [amount for bid in bids for amount in bid.bid.amounts]
        if isinstance(order, SellOrder):
            if min(amounts, default=MAX_COUNT) < order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN:
                return Refusal(Reason.BELOW_COST, f"bids[{at}]", fine_ucoin)
        elif max(sum(bid.bid.amounts) for bid in bids) > order.held_ucoin * PCOIN_PER_UCOIN:
            return Refusal(Reason.UNBACKED_BID, f"bids[{at}]", fine_ucoin)
        if not all(bid.is_signed(order.owner, message.chain_id) for bid in bids):
            return Refusal(Reason.BAD_BID_SIGNATURE, f"bids[{at}]", fine_ucoin)
    sides = zip(auction.sides(auction.previous), auction.sides(auction.latest), strict=True)
    if not all(is_settled(previous, latest) for previous, latest in sides):
        return Refusal(Reason.NOT_SETTLED, "bids", fine_ucoin)
    return None


def _refute_answers(
    message: ProposeAuction, auction: _Auction, energies: Table, fine_ucoin: int
) -> Refusal | None:
    """The last bids answer what everybody would now be awarded, each for its own energies."""
    columns = [[row[at] for row in energies] for at in range(len(auction.book.sells))]
    told = zip(auction.orders, auction.latest, [*energies, *columns], strict=True)
    for at, (order, bid, energies_uwh) in enumerate(told):
        allocation = Allocation(
            invitation=auction.invitation,
            iteration=message.iteration - 1,
            order_id=order.order_id,
            energies_uwh=tuple(energies_uwh),
        )
        if bid.bid.answers != record_id(allocation):
            return Refusal(Reason.NOT_ANSWERED, f"bids[{at}]", fine_ucoin)
    return None


def _end(auction: _Auction, found: ProvedOutcome) -> AuctionEnd:
    """What a proved end comes to, as the ledger keeps it until the round is cleared."""
    energies = (*found.bought_wh, *found.sold_wh)
    prices = (*found.buyer_prices, *found.seller_prices)
    rows = zip(auction.orders, energies, prices, strict=True)
    return AuctionEnd(
        served=tuple(
            Served(order_id=order.order_id, energy_wh=energy_wh, price_ucoin_per_kwh=price)
            for order, energy_wh, price in rows
            if energy_wh
        ),
        import_wh=found.import_wh,
        grid_price_ucoin_per_kwh=found.grid_price,
        gap_ucoin=found.gap_ucoin,
        traded_ucoin=found.traded_ucoin,
    )
