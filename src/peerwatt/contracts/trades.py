"""Records of trade: one for each settled purchase, signed by buyer and seller, in both histories.

Knows state and records. What was traded stands in an encrypted body, which nobody opens here; that
something was bought and sold is known from the settlements.
"""

from __future__ import annotations

from peerwatt.contracts.disputes import window_end_s
from peerwatt.contracts.state import HISTORIES, ROUNDS, SETTLEMENTS, TRADES, Refusal, State
from peerwatt.records.market import NO_HASH, RoundStatus, Side
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.trades import MAX_TAGS, RecordedTrade, WalletHistory
from peerwatt.records.transactions import RecordTrade


def record_trade(
    state: State, context: BlockContext, message: RecordTrade, record_hash: bytes, cosigner: bytes
) -> Refusal | None:
    """The buyer records what it bought of a seller, who signs too, while the round can still be
    disputed; both wallets' histories go on from their newest record."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if market_round.status < RoundStatus.SETTLED:
        return Refusal(Reason.TOO_EARLY, "round_id")
    # The block's time counts too: the window's end may fall into this very block.
    over = context.market_time_s >= window_end_s(state, market_round)
    if over or market_round.status > RoundStatus.SETTLED:
        return Refusal(Reason.TOO_LATE, "round_id")
    refusal = _bad_awards(state, message, cosigner)
    if refusal is not None:
        return refusal
    if len(message.tags) > MAX_TAGS:
        return Refusal(Reason.TOO_MANY, "tags")
    if any(message.tags[at] >= message.tags[at + 1] for at in range(len(message.tags) - 1)):
        return Refusal(Reason.OUT_OF_ORDER, "tags")
    if not market_round.slot_end_s <= message.time_s <= context.market_time_s:
        return Refusal(Reason.OUT_OF_RANGE, "time_s")
    if message.history != _history_of(state, message.signer).head:
        return Refusal(Reason.WRONG_HISTORY, "history")
    if message.seller_history != _history_of(state, message.seller).head:
        return Refusal(Reason.WRONG_HISTORY, "seller_history")
    # --- checked; from here on only writes ---
    trade = RecordedTrade(record_hash=record_hash)
    state.put(TRADES, message.order_id, trade, message.round_id)
    for wallet in (message.signer, message.seller):
        count = _history_of(state, wallet).count + 1
        state.put(HISTORIES, wallet, WalletHistory(count=count, head=record_hash))
    return None


def _bad_awards(state: State, message: RecordTrade, cosigner: bytes) -> Refusal | None:
    """Energy has to have changed hands under both awards, which have to be the two signers'."""
    bought = state.get(SETTLEMENTS, message.order_id, message.round_id)
    if bought is None or bought.side != Side.BUY:
        return Refusal(Reason.UNKNOWN_PURCHASE, "order_id")
    if bought.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    sold = state.get(SETTLEMENTS, message.sale_id, message.round_id)
    if sold is None or sold.side != Side.SELL or sold.owner != message.seller:
        return Refusal(Reason.UNKNOWN_SALE, "sale_id")
    if cosigner != message.seller or cosigner == message.signer:
        return Refusal(Reason.BAD_COSIGNATURE, "cosigner")
    if state.get(TRADES, message.order_id, message.round_id) is not None:
        return Refusal(Reason.ALREADY_RECORDED, "order_id")
    if bought.metered_wh == 0:
        return Refusal(Reason.NOTHING_TRADED, "order_id")
    if sold.metered_wh == 0:
        return Refusal(Reason.NOTHING_TRADED, "sale_id")
    return None


def _history_of(state: State, wallet: bytes) -> WalletHistory:
    """Where a wallet's records stand; an empty history begins with 32 zero bytes."""
    known = state.get(HISTORIES, wallet)
    return WalletHistory(count=0, head=NO_HASH) if known is None else known
