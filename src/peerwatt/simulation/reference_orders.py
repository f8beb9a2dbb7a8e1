"""What the reference ledger has against rounds, orders, readings and disputes.

Knows the messages and the reference's rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peerwatt.records import transactions as tx
from peerwatt.records.codec import encode
from peerwatt.records.market import Mechanism, Round, RoundStatus, Tariff, round_key
from peerwatt.records.members import Port, Role
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import Reason
from peerwatt.records.sealed import BuyTerms, SellTerms
from peerwatt.simulation.reference_rows import HORIZON_S, Rows, ascend, is_signed, may, up

MOST_READINGS = 1_000
Objections = Iterator[Reason]
BUYS, SELLS = (tx.PlaceBuyOrder, BuyTerms), (tx.PlaceSellOrder, SellTerms)
Said = tx.PlaceBuyOrder | BuyTerms | tx.PlaceSellOrder | SellTerms
Placing = tx.PlaceBuyOrder | tx.PlaceSellOrder | tx.SealOrder
ONE_SWEEP = (
    *(Mechanism.PAY_AS_BID, Mechanism.K_PRICE, Mechanism.MCAFEE, Mechanism.MCAFEE_PAPER),
    *(Mechanism.HUANG, Mechanism.SBBA, Mechanism.MUDA),
)
AMONG_CARS = (*ONE_SWEEP, Mechanism.V2V)
LIMITS_ALONE = (*ONE_SWEEP, Mechanism.ITERATIVE_AUCTION)


def to_open(rows: Rows, message: tx.OpenRound, now_s: int) -> Objections:
    """Against a round that an operator opens."""
    site = rows.get("sites", message.site.encode())
    if site is None:
        yield Reason.UNKNOWN_SITE
        return
    if message.signer != site.operator or not may(rows, message.signer, Role.AGGREGATOR):
        yield Reason.NOT_PERMITTED
    tariff = rows.get("tariffs", message.tariff.encode())
    mine = tariff is not None and tariff.supplier == site.supplier
    if (
        not mine
        or tariff.grid_operator != site.grid_operator
        or not may(rows, site.supplier, Role.SUPPLIER)
    ):
        yield Reason.UNKNOWN_TARIFF
    start_s, end_s = message.slot_start_s, message.slot_end_s
    if message.gate_s <= now_s:
        yield Reason.TOO_LATE
    shown = [message.reveal_by_s] if message.reveal_by_s else []
    times = [message.gate_s, *shown, message.clear_by_s, start_s, end_s, message.settle_by_s]
    if not ascend(times):
        yield Reason.OUT_OF_ORDER
    if start_s % site.slot_s or end_s - start_s != site.slot_s:
        yield Reason.OUT_OF_RANGE
    if message.settle_by_s - now_s > HORIZON_S:
        yield Reason.OUT_OF_RANGE
    if tariff is not None and step_of(tariff, start_s, end_s) is None:
        yield Reason.OUT_OF_RANGE
    if rows.get("rounds", round_key(message.site, start_s)) is not None:
        yield Reason.ALREADY_EXISTS
    limit = rows.get("limits", round_key(message.site, start_s))
    knows = (Mechanism.WELFARE_PAIRS, Mechanism.WELFARE_PROPOSED)
    if limit is not None and limit.feeders and message.mechanism not in knows:
        yield Reason.FEEDERS_LIMITED
    if (message.mechanism == Mechanism.SBBA) == (message.lot_wh == 0):
        yield Reason.OUT_OF_RANGE


def step_of(tariff: Tariff, start_s: int, end_s: int) -> int | None:
    """Which step of a tariff has the whole slot, if one has."""
    ends = [*(step.from_s for step in tariff.steps[1:]), tariff.end_s]
    for at, (step, until_s) in enumerate(zip(tariff.steps, ends, strict=True)):
        if step.from_s <= start_s and end_s <= until_s:
            return at
    return None


def is_open(market_round: Round, now_s: int) -> bool:
    """Whether its gate has not come."""
    return market_round.status == RoundStatus.OPEN and now_s < market_round.gate_s


def held_for(message: Said, market_round: Round) -> int:
    """The most that an order can cost its owner."""
    prices = market_round.prices
    if isinstance(message, SELLS):
        worst = prices.lost_load_ucoin_per_kwh + prices.shortfall_penalty_ucoin_per_kwh
        return up(message.max_wh, worst)
    curve_wh = message.max_wh - message.min_wh
    at_worst = up(message.min_wh, prices.lost_load_ucoin_per_kwh)
    if market_round.mechanism == Mechanism.V2V:
        return at_worst + up(curve_wh, prices.retail_ucoin_per_kwh)
    return at_worst + up(curve_wh, message.price_high_ucoin_per_kwh)


def to_order(rows: Rows, message: tx.PlaceBuyOrder | tx.PlaceSellOrder, now_s: int) -> Objections:
    """Against an order."""
    yield from to_place(rows, message, now_s)
    market_round = rows.get("rounds", message.round_id)
    port = market_round and rows.get("ports", f"{market_round.site}/{message.port}".encode())
    if not port:
        return
    yield from to_terms(message, market_round, port)
    if held_for(message, market_round) > rows.get("accounts", message.signer).free_ucoin:
        yield Reason.UNFUNDED


def to_place(rows: Rows, message: Placing, now_s: int) -> Objections:
    """Against an order of which nothing is known but its port."""
    market_round = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if not is_open(market_round, now_s):
        yield Reason.TOO_LATE
    seals = isinstance(message, tx.SealOrder)
    if seals != (market_round.reveal_by_s > 0):
        yield Reason.NOT_SEALED if seals else Reason.SEALED_ONLY
    port = rows.get("ports", f"{market_round.site}/{message.port}".encode())
    if port is None:
        yield Reason.UNKNOWN_PORT
        return
    if port.wallet != message.signer:
        yield Reason.NOT_PLUGGED_IN
    standing = book(rows, message.round_id)
    if any(each.port == message.port for each in standing):
        yield Reason.ALREADY_EXISTS
    if len(standing) >= rows.get("chain", b"chain").max_orders:
        yield Reason.TOO_MANY


def book(rows: Rows, round_id: bytes) -> list[Any]:
    """All orders of a round, sealed or not."""
    return [
        *rows.shelf("orders", round_id).values(),
        *rows.shelf("sealed_orders", round_id).values(),
    ]


def to_terms(message: Said, market_round: Round, port: Port) -> Objections:
    """Against what an order says of energy and prices."""
    buys = isinstance(message, BUYS)
    power_w = port.charge_limit_w if buys else port.discharge_limit_w
    if message.max_wh * 3600 > power_w * (market_round.slot_end_s - market_round.slot_start_s):
        yield Reason.OVER_LIMIT
    if not _sensible(message, market_round.prices.lost_load_ucoin_per_kwh):
        yield Reason.OUT_OF_RANGE
    pairs = market_round.mechanism == Mechanism.WELFARE_PAIRS
    if pairs and isinstance(message, SELLS) and message.slope_ucoin_per_kwh2 == 0:
        yield Reason.OUT_OF_RANGE
    if market_round.mechanism in LIMITS_ALONE and not _is_a_limit(message):
        yield Reason.OUT_OF_RANGE
    if not _fits_auction(message, market_round):
        yield Reason.OUT_OF_RANGE


def _sensible(message: Said, lost_load: int) -> bool:
    if isinstance(message, SELLS):
        return message.max_wh > 0 and message.ask_ucoin_per_kwh <= lost_load
    low, high = message.price_low_ucoin_per_kwh, message.price_high_ucoin_per_kwh
    return 0 < message.max_wh >= message.min_wh and low <= high <= lost_load


def _is_a_limit(message: Said) -> bool:
    """Whether an order says nothing of how its price falls or rises."""
    if isinstance(message, SELLS):
        return message.slope_ucoin_per_kwh2 == 0
    return message.price_low_ucoin_per_kwh == message.price_high_ucoin_per_kwh


def _fits_auction(message: Said, market_round: Round) -> bool:
    """Whether an auction among cars can take an order: its price is the grid's at the worst;
    elsewhere it must not name a limit."""
    mechanism, limit = market_round.mechanism, message.limit_ucoin_per_kwh
    if mechanism != Mechanism.V2V and limit:
        return False
    if mechanism not in AMONG_CARS:
        return True
    if mechanism != Mechanism.V2V and isinstance(message, BUYS):
        limit = message.price_high_ucoin_per_kwh
    elif mechanism != Mechanism.V2V and isinstance(message, SELLS):
        limit = message.ask_ucoin_per_kwh
    prices = market_round.prices
    return prices.feed_in_ucoin_per_kwh <= limit <= prices.retail_ucoin_per_kwh


def to_cancel(rows: Rows, message: tx.CancelOrder, now_s: int) -> Objections:
    """Against taking an order back."""
    market_round = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if not is_open(market_round, now_s):
        yield Reason.TOO_LATE
    order = rows.get("orders", message.order_id, message.round_id)
    order = order or rows.get("sealed_orders", message.order_id, message.round_id)
    if order is None:
        yield Reason.UNKNOWN_ORDER
    elif order.owner != message.signer:
        yield Reason.NOT_PERMITTED


# --- readings and disputes


def to_report(rows: Rows, message: tx.ReportReadings, now_s: int) -> Objections:
    """Against readings that somebody brings in."""
    market_round = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if rows.get("sites", market_round.site.encode()).operator != message.signer:
        yield Reason.NOT_PERMITTED
    status = market_round.status
    if market_round.settle_by_s <= now_s or market_round.totals is not None:
        yield Reason.TOO_LATE
    if status == RoundStatus.VOID:
        yield Reason.TOO_LATE
    if now_s < market_round.slot_end_s or market_round.clearing is None:
        yield Reason.TOO_EARLY
    if not 1 <= len(message.readings) <= MOST_READINGS:
        yield Reason.TOO_MANY
    for signed in message.readings:
        yield from _reading(rows, message, signed, market_round)
    meters = [rows.get("meters", each.reading.meter) for each in message.readings]
    if not ascend([meter.port for meter in meters if meter is not None]):
        yield Reason.OUT_OF_ORDER


def _reading(
    rows: Rows, message: tx.ReportReadings, signed: SignedReading, market_round: Round
) -> Objections:
    reading = signed.reading
    meter = rows.get("meters", reading.meter)
    if meter is None or meter.site != market_round.site:
        yield Reason.UNKNOWN_METER
        return
    of_chain = (message.chain_id, encode(reading), signed.signature)
    if not is_signed(reading.meter, "reading", *of_chain):
        yield Reason.BAD_READING_SIGNATURE
    if reading.start_s != market_round.slot_start_s or reading.end_s != market_round.slot_end_s:
        yield Reason.WRONG_PERIOD
    # What the meter has said before is this very slot's, if it has been heard in this round.
    again = meter.port.encode() in rows.shelf("readings", message.round_id)
    if again:
        yield Reason.ALREADY_REPORTED
    last = None if again else rows.get("meter_progress", reading.meter)
    bought = [reading.import_start_wh, reading.import_end_wh]
    sold = [reading.export_start_wh, reading.export_end_wh]
    if last is not None:
        bought.insert(0, last.import_wh)
        sold.insert(0, last.export_wh)
        if reading.sequence <= last.sequence:
            yield Reason.REPEATED_SEQUENCE
        if reading.start_s < last.end_s:
            yield Reason.WRONG_PERIOD
    if bought != sorted(bought) or sold != sorted(sold):
        yield Reason.REGISTER_BACKWARDS


def window_end_s(rows: Rows, market_round: Round) -> int:
    """Until when a round can be disputed."""
    window_s: int = rows.get("chain", b"chain").dispute_window_s
    return market_round.settle_by_s + window_s


def to_dispute(rows: Rows, message: tx.OpenDispute, now_s: int) -> Objections:
    """Against a driver's objection to its settlement."""
    market_round = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    status = market_round.status
    if status not in (RoundStatus.SETTLED, RoundStatus.ENDED, RoundStatus.VOID):
        yield Reason.TOO_EARLY
    over = status in (RoundStatus.ENDED, RoundStatus.VOID)
    if over or now_s >= window_end_s(rows, market_round):
        yield Reason.TOO_LATE
    if status != RoundStatus.SETTLED:
        return
    row = rows.get("settlements", message.order_id, message.round_id)
    if row is None:
        yield Reason.UNKNOWN_ORDER
        return
    if row.owner != message.signer:
        yield Reason.NOT_PERMITTED
    if message.order_id in rows.shelf("disputes"):
        yield Reason.ALREADY_EXISTS
    stake = row.paid_ucoin + row.received_ucoin + row.penalty_ucoin
    if message.amount_ucoin == 0 or message.amount_ucoin > stake:
        yield Reason.OUT_OF_RANGE


def to_resolve(rows: Rows, message: tx.ResolveDispute) -> Objections:
    """Against a regulator's decision."""
    if not may(rows, message.signer, Role.REGULATOR):
        yield Reason.NOT_PERMITTED
    dispute = rows.get("disputes", message.order_id)
    if dispute is None:
        yield Reason.UNKNOWN_DISPUTE
        return
    if dispute.resolved:
        yield Reason.ALREADY_RESOLVED
    if message.credit_ucoin > dispute.frozen_ucoin:
        yield Reason.OUT_OF_RANGE
