"""What the reference ledger has against a record of a trade, and what a record does.

Knows the messages and the reference's rows. A record is both traders' word about energy that has
changed hands, while that can still be disputed; each wallet's records make a chain.
"""

from __future__ import annotations

from collections.abc import Iterator

from peerwatt.records import transactions as tx
from peerwatt.records.market import Round, RoundStatus, SettledAward, Side
from peerwatt.records.receipts import Reason
from peerwatt.records.trades import RecordedTrade, WalletHistory
from peerwatt.simulation.reference_orders import window_end_s
from peerwatt.simulation.reference_rows import Rows, ascend

MOST_TAGS = 8
BEGINNING = bytes(32)
Objections = Iterator[Reason]


def to_record(rows: Rows, message: tx.RecordTrade, cosigner: bytes, now_s: int) -> Objections:
    """Against a buyer's record of what it bought."""
    market_round: Round | None = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    gone = market_round.status in (RoundStatus.ENDED, RoundStatus.VOID)
    if gone or now_s >= window_end_s(rows, market_round):
        yield Reason.TOO_LATE
    if not gone and market_round.status != RoundStatus.SETTLED:
        yield Reason.TOO_EARLY
    if cosigner != message.seller or message.seller == message.signer:
        yield Reason.BAD_COSIGNATURE
    if market_round.status == RoundStatus.SETTLED:
        yield from _to_awards(rows, message)
    if message.time_s < market_round.slot_end_s or message.time_s > now_s:
        yield Reason.OUT_OF_RANGE
    if len(message.tags) > MOST_TAGS:
        yield Reason.TOO_MANY
    if not ascend(message.tags):
        yield Reason.OUT_OF_ORDER
    for wallet, said in (
        (message.signer, message.history),
        (message.seller, message.seller_history),
    ):
        known = rows.get("histories", wallet)
        if said != (BEGINNING if known is None else known.head):
            yield Reason.WRONG_HISTORY


def _to_awards(rows: Rows, message: tx.RecordTrade) -> Objections:
    """Both have to be there, the right way round, and each its signer's; energy has to have moved
    under both, and the purchase must have no record yet."""
    settled = rows.shelf("settlements", message.round_id)
    bought: SettledAward | None = settled.get(message.order_id)
    sold: SettledAward | None = settled.get(message.sale_id)
    if bought is None or bought.side == Side.SELL:
        yield Reason.UNKNOWN_PURCHASE
    elif bought.owner != message.signer:
        yield Reason.NOT_PERMITTED
    if sold is None or sold.side == Side.BUY or sold.owner != message.seller:
        yield Reason.UNKNOWN_SALE
    if any(row is not None and not row.metered_wh for row in (bought, sold)):
        yield Reason.NOTHING_TRADED
    if message.order_id in rows.shelf("trades", message.round_id):
        yield Reason.ALREADY_RECORDED


def record(rows: Rows, message: tx.RecordTrade, record_hash: bytes) -> None:
    """The purchase has its record, and both wallets' chains are longer by it."""
    done = RecordedTrade(record_hash=record_hash)
    rows.put("trades", message.order_id, done, message.round_id)
    for wallet in (message.signer, message.seller):
        known = rows.get("histories", wallet)
        longer = 1 if known is None else known.count + 1
        rows.put("histories", wallet, WalletHistory(count=longer, head=record_hash))
