"""What the reference ledger has against a proposed clearing, and what a proposal does.

Knows the messages and the reference's rows. Prices come in parts, the last of which proves them;
the end of an auction comes whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256

from msgspec.structs import replace

from peerwatt.contracts.state import AuctionEnd, PriceList
from peerwatt.records import transactions as tx
from peerwatt.records.market import Mechanism, ProposedClearing, Round, RoundStatus
from peerwatt.records.receipts import Reason
from peerwatt.simulation.reference_absences import elapsed, present, silent
from peerwatt.simulation.reference_auctions import prove_auction
from peerwatt.simulation.reference_pairs import Pairs, prove
from peerwatt.simulation.reference_rows import POT, Rows

MOST_PARTS = 1_000
PRICED = (Mechanism.WELFARE_PAIRS, Mechanism.WELFARE_PROPOSED)
FINED = 800
"""Reasons from here on cost their sender the tariff's penalty, in a block."""
Objections = Iterator[Reason]


def to_propose(
    rows: Rows, message: tx.ProposeClearing | tx.ProposeAuction, now_s: int
) -> Objections:
    """Against a member's proposal, or a part of it."""
    market_round: Round | None = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if message.signer not in rows.shelf("members"):
        yield Reason.NOT_PERMITTED
    auctioned = market_round.mechanism == Mechanism.ITERATIVE_AUCTION
    fits = auctioned if isinstance(message, tx.ProposeAuction) else market_round.mechanism in PRICED
    if not fits:
        yield Reason.OUT_OF_RANGE
    closed = market_round.status in (RoundStatus.CLOSED, RoundStatus.PROPOSED)
    if market_round.status == RoundStatus.OPEN:
        yield Reason.TOO_EARLY
    if now_s >= market_round.clear_by_s or not (closed or market_round.status == RoundStatus.OPEN):
        yield Reason.TOO_LATE
    fine_ucoin = market_round.prices.failed_clearing_penalty_ucoin
    if rows.get("accounts", message.signer).free_ucoin < fine_ucoin:
        yield Reason.UNFUNDED
    if closed and fits and isinstance(message, tx.ProposeAuction):
        yield from _to_end(rows, message, market_round, now_s)
    elif closed and fits and isinstance(message, tx.ProposeClearing):
        yield from _to_part(rows, message, market_round)


def _to_end(rows: Rows, message: tx.ProposeAuction, market_round: Round, now_s: int) -> Objections:
    if message.orders_root != market_round.orders_root:
        yield Reason.WRONG_BOOK
    if message.signer in rows.shelf("auctions", message.round_id):
        yield Reason.ALREADY_EXISTS
    awaited = elapsed(market_round, now_s) < Fraction(3, 4)
    if awaited and silent(rows, message.round_id):
        yield Reason.TOO_EARLY
    found = prove_auction(market_round, present(rows, message.round_id), message)
    if not isinstance(found, AuctionEnd):
        yield from found


def _to_part(rows: Rows, message: tx.ProposeClearing, market_round: Round) -> Objections:
    known: PriceList | None = rows.get("prices", message.signer, message.round_id)
    if message.orders_root != market_round.orders_root:
        yield Reason.WRONG_BOOK
    if known is not None and known.next_part == known.parts:
        same = known.prices_hash == message.prices_hash
        yield Reason.ALREADY_EXISTS if same else Reason.CONFLICTING
        return
    if message.parts == 0 or message.parts > MOST_PARTS:
        yield Reason.TOO_MANY
    begun = known if message.part > 0 else None
    due = 0 if begun is None else begun.next_part
    if message.part != due or message.part >= message.parts:
        yield Reason.OUT_OF_ORDER
    if begun is not None and begun.prices_hash != message.prices_hash:
        yield Reason.OUT_OF_ORDER
    prices = _joined(rows, message)
    if len(prices) > market_round.order_count or message.feeder_prices:
        yield Reason.INCOMPLETE
    elif message.part + 1 == message.parts:
        yield from _to_whole(rows, message, market_round, prices)


def _to_whole(
    rows: Rows, message: tx.ProposeClearing, market_round: Round, prices: tuple[int, ...]
) -> Objections:
    data = b"".join(price.to_bytes(8, "big") for price in prices)
    if len(prices) != market_round.order_count or sha256(data).digest() != message.prices_hash:
        yield Reason.INCOMPLETE
        return
    found = _proved(rows, message, market_round)
    if not isinstance(found, Pairs):
        yield from found


def _joined(rows: Rows, message: tx.ProposeClearing) -> tuple[int, ...]:
    """The prices that came before, and these."""
    known: PriceList | None = rows.get("prices", message.signer, message.round_id)
    if known is None or message.part == 0:
        return message.prices
    return (*known.prices, *message.prices)


def _proved(rows: Rows, message: tx.ProposeClearing, market_round: Round) -> Pairs | list[Reason]:
    orders = [order for _, order in sorted(rows.shelf("orders", message.round_id).items())]
    return prove(market_round, orders, _joined(rows, message))


def propose(rows: Rows, message: tx.ProposeClearing) -> None:
    """A part is kept; the last one competes by its gap."""
    market_round: Round = rows.get("rounds", message.round_id)
    listed = PriceList(
        prices_hash=message.prices_hash,
        parts=message.parts,
        next_part=message.part + 1,
        prices=_joined(rows, message),
    )
    whole = listed.next_part == listed.parts
    found = _proved(rows, message, market_round) if whole else None
    rows.put("prices", message.signer, listed, message.round_id)
    if not isinstance(found, Pairs):
        return
    new = ProposedClearing(
        proposer=message.signer, prices_hash=message.prices_hash, gap_ucoin=found.gap_ucoin
    )
    _rank(rows, message.round_id, market_round, new)


def end_auction(rows: Rows, message: tx.ProposeAuction, message_id: bytes) -> None:
    """What an auction came to is kept, and competes by its gap."""
    market_round: Round = rows.get("rounds", message.round_id)
    found = prove_auction(market_round, present(rows, message.round_id), message)
    if not isinstance(found, AuctionEnd):
        raise ValueError("bids: prove nothing")
    rows.put("auctions", message.signer, found, message.round_id)
    new = ProposedClearing(
        proposer=message.signer, prices_hash=message_id, gap_ucoin=found.gap_ucoin
    )
    _rank(rows, message.round_id, market_round, new)


def _rank(rows: Rows, round_id: bytes, market_round: Round, new: ProposedClearing) -> None:
    ranked = [new] if market_round.proposed is None else [market_round.proposed, new]
    best = min(ranked, key=lambda each: (each.gap_ucoin, each.prices_hash))
    moved = replace(market_round, status=RoundStatus.PROPOSED, proposed=best)
    rows.put("rounds", round_id, moved)


def fine_ucoin(rows: Rows, message: tx.Message, reason: Reason) -> int:
    """What being refused for this reason costs: only a clearing that proves nothing does."""
    if not isinstance(message, tx.ProposeClearing | tx.ProposeAuction) or reason < FINED:
        return 0
    market_round: Round = rows.get("rounds", message.round_id)
    return market_round.prices.failed_clearing_penalty_ucoin


def fine(rows: Rows, message: tx.Message, reason: Reason) -> None:
    """Who proposes what proves nothing pays for it, into the pot."""
    amount = fine_ucoin(rows, message, reason)
    if amount:
        for key, change in ((message.signer, -amount), (POT, amount)):
            account = rows.get("accounts", key)
            rows.put("accounts", key, replace(account, free_ucoin=account.free_ucoin + change))
