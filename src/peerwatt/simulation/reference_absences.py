"""Agents that fall silent in an auction, as the reference ledger sees them.

Knows the messages and the reference's rows. Half of the time between gate and `clear_by_s` is for
reports, three quarters are for answers; who never answers pays for it when the round is cleared.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from msgspec.structs import replace

from peerwatt.contracts.state import Absence
from peerwatt.records import transactions as tx
from peerwatt.records.market import Mechanism, Order, Round, RoundStatus
from peerwatt.records.members import Role
from peerwatt.records.receipts import Event, Reason
from peerwatt.simulation.reference_rows import POT, Rows, may, up

Objections = Iterator[Reason]


def elapsed(market_round: Round, now_s: int) -> Fraction:
    """How much of the time for clearing a round is over."""
    gate_s = market_round.reveal_by_s or market_round.gate_s
    return Fraction(now_s - gate_s, market_round.clear_by_s - gate_s)


def to_report_absence(rows: Rows, message: tx.ReportAbsence, now_s: int) -> Objections:
    """Against saying that somebody is silent."""
    market_round: Round | None = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    site = rows.get("sites", market_round.site.encode())
    if site.operator != message.signer or not may(rows, message.signer, Role.AGGREGATOR):
        yield Reason.NOT_PERMITTED
    if market_round.mechanism != Mechanism.ITERATIVE_AUCTION:
        yield Reason.OUT_OF_RANGE
    if market_round.status == RoundStatus.OPEN:
        yield Reason.TOO_EARLY
    begun = market_round.status in (RoundStatus.OPEN, RoundStatus.CLOSED)
    if not begun or elapsed(market_round, now_s) >= Fraction(1, 2):
        yield Reason.TOO_LATE
    if not message.order_ids:
        yield Reason.TOO_MANY
    if [*message.order_ids] != sorted(dict.fromkeys(message.order_ids)):
        yield Reason.OUT_OF_ORDER
    for order_id in message.order_ids:
        if order_id not in rows.shelf("orders", message.round_id):
            yield Reason.UNKNOWN_ORDER
        if order_id in rows.shelf("absences", message.round_id):
            yield Reason.ALREADY_EXISTS


def to_confirm(rows: Rows, message: tx.ConfirmPresence, now_s: int) -> Objections:
    """Against answering that one is there."""
    market_round: Round | None = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if elapsed(market_round, now_s) >= Fraction(3, 4):
        yield Reason.TOO_LATE
    order: Order | None = rows.get("orders", message.order_id, message.round_id)
    if order is None:
        yield Reason.UNKNOWN_ORDER
    elif order.owner != message.signer:
        yield Reason.NOT_PERMITTED
    absence: Absence | None = rows.get("absences", message.order_id, message.round_id)
    if absence is None:
        yield Reason.NOT_REPORTED
    elif absence.answered:
        yield Reason.ALREADY_RESOLVED


def report_absence(rows: Rows, message: tx.ReportAbsence) -> None:
    """These are silent, as far as is known."""
    for order_id in message.order_ids:
        rows.put("absences", order_id, Absence(answered=False), message.round_id)


def confirm(rows: Rows, message: tx.ConfirmPresence) -> None:
    """This one is there after all."""
    rows.put("absences", message.order_id, Absence(answered=True), message.round_id)


def silent(rows: Rows, round_id: bytes) -> list[bytes]:
    """Who has not answered."""
    absences = rows.shelf("absences", round_id).items()
    return sorted(order_id for order_id, absence in absences if not absence.answered)


def present(rows: Rows, round_id: bytes) -> list[Order]:
    """Everybody else's orders."""
    absent = silent(rows, round_id)
    orders = sorted(rows.shelf("orders", round_id).items())
    return [order for order_id, order in orders if order_id not in absent]


def charge(rows: Rows, round_id: bytes, market_round: Round) -> list[Event]:
    """Who never answered pays the penalty for all of its order, as far as that holds coins."""
    absent = silent(rows, round_id)
    for order_id in absent:
        order = rows.get("orders", order_id, round_id)
        due = up(order.max_wh, market_round.prices.shortfall_penalty_ucoin_per_kwh)
        paid = min(due, order.held_ucoin)
        owner, pot = rows.get("accounts", order.owner), rows.get("accounts", POT)
        back = owner.free_ucoin + order.held_ucoin - paid
        left = owner.held_ucoin - order.held_ucoin
        rows.put("accounts", order.owner, replace(owner, free_ucoin=back, held_ucoin=left))
        rows.put("accounts", POT, replace(pot, free_ucoin=pot.free_ucoin + paid))
        rows.drop("orders", order_id, round_id)
        rows.drop("port_orders", order.port.encode(), round_id)
    rows.clear("absences", round_id)
    return [Event(kind="absent", key=order_id) for order_id in absent]
