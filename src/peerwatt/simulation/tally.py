"""What happened on an attacked chain, counted by name, so that what never does is seen.

Knows the messages and settled rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from peerwatt.hosts.replica import Replica
from peerwatt.records import transactions as tx
from peerwatt.records.market import Flag, Round, SettledAward, Side
from peerwatt.records.receipts import Reason

DISPUTES = (
    "dispute opened",
    "dispute frozen in part",
    "dispute credited in full",
    "dispute credited in part",
    "dispute without credit",
)
OPENINGS = ("opening asked for", "opening consented to")
REWARDED = ("rewards funded", "contribution_rewarded", "proposer_rewarded")
ROUNDS = (
    *("closed", "cleared", "settled", "ended", "void", "cleared by proposal"),
    *("cleared by auction", "absent"),
    *("local trade", "import", "export", "sellers dropped", "minimum cut short"),
    *("buyer took less", "seller gave less", "seller gave nothing"),
    *("unserved", "stranded", "surplus exported", "pot filled"),
    *(flag.name.lower().replace("_", " ") for flag in Flag),
)
EVENTS = (*ROUNDS, *DISPUTES, *OPENINGS, *REWARDED)
REASONS = tuple(each.name for each in Reason if each not in (Reason.OK, Reason.NO_ORDERS))


def of_message(host: Replica, message: tx.Message) -> Iterator[str]:
    """What an accepted message brought about."""
    if isinstance(message, tx.OpenDispute):
        yield "dispute opened"
        if host.get("disputes", message.order_id).frozen_ucoin < message.amount_ucoin:
            yield "dispute frozen in part"
    if isinstance(message, tx.RequestOpening):
        yield "opening asked for"
    if isinstance(message, tx.ConsentOpening):
        yield "opening consented to"
    if isinstance(message, tx.FundRewards):
        yield "rewards funded"
    if isinstance(message, tx.ResolveDispute):
        dispute = host.get("disputes", message.order_id)
        if dispute.credit_ucoin == 0:
            yield "dispute without credit"
        else:
            whole = dispute.credit_ucoin == dispute.frozen_ucoin
            yield "dispute credited in full" if whole else "dispute credited in part"


def of_round(market_round: Round, settled: Iterable[SettledAward]) -> Iterator[str]:
    """What a settled round came to."""
    clearing, totals = market_round.clearing, market_round.totals
    if clearing is None or totals is None:
        return
    rows = list(settled)
    buys = [row for row in rows if row.side == Side.BUY]
    sells = [row for row in rows if row.side == Side.SELL]
    surplus = totals.export_wh > clearing.export_wh
    found = {
        "cleared by proposal": bool(clearing.proposer),
        "cleared by auction": bool(clearing.proposer) and not market_round.mechanism.priced,
        "local trade": clearing.sold_wh > clearing.export_wh,
        "import": clearing.import_wh > 0,
        "export": clearing.export_wh > 0,
        "sellers dropped": clearing.sellers_dropped,
        "minimum cut short": clearing.price_ucoin_per_kwh
        == market_round.prices.lost_load_ucoin_per_kwh,
        "buyer took less": any(row.metered_wh < row.awarded_wh for row in buys),
        "seller gave less": any(0 < row.metered_wh < row.awarded_wh for row in sells),
        "seller gave nothing": any(row.metered_wh == 0 for row in sells),
        "unserved": totals.unserved_wh > 0,
        "stranded": any(row.excused_wh for row in sells),
        "surplus exported": surplus,
        "pot filled": totals.pot_ucoin > 0,
    }
    yield from (name for name, so in found.items() if so)
    flags = totals.flags
    for row in rows:
        flags |= row.flags
    yield from (flag.name.lower().replace("_", " ") for flag in Flag if flags & flag)
