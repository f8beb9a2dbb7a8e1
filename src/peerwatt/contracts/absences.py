"""Agents that fall silent in an auction: reported, answered, and charged where nobody answers.

Knows state and records. Between the gate and `clear_by_s` the site's operator may report orders
whose agents are silent in the first half, and their owners may answer until three quarters. Who is
then still silent takes no part, gets nothing and pays the tariff's penalty for all that its order
is about; an auction that leaves anyone out can be proposed only from then on, so that no answer
comes after a proposal.
"""

from __future__ import annotations

from itertools import pairwise

from peerwatt.contracts.accounts import credit, spend_held
from peerwatt.contracts.life import closes_s
from peerwatt.contracts.members import has_role
from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import (
    ABSENCES,
    ORDERS,
    PORT_ORDERS,
    POT,
    ROUNDS,
    Absence,
    Refusal,
    State,
)
from peerwatt.records.market import Mechanism, Order, Round, RoundStatus
from peerwatt.records.members import Role
from peerwatt.records.receipts import BlockContext, Event, Reason
from peerwatt.records.transactions import ConfirmPresence, ReportAbsence
from peerwatt.units import cost_ceil_ucoin


def report_absence(state: State, context: BlockContext, message: ReportAbsence) -> Refusal | None:
    """The operator of the site says whose agents are silent, once for each order. An auction that
    was proposed shows that all its agents were there."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    operator = site_of(state, market_round.site).operator
    if message.signer != operator or not has_role(state, message.signer, Role.AGGREGATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if market_round.mechanism != Mechanism.ITERATIVE_AUCTION:
        return Refusal(Reason.OUT_OF_RANGE, "round_id")
    if market_round.status == RoundStatus.OPEN:
        return Refusal(Reason.TOO_EARLY, "round_id")
    late = 2 * context.market_time_s >= closes_s(market_round) + market_round.clear_by_s
    if late or market_round.status > RoundStatus.CLOSED:
        return Refusal(Reason.TOO_LATE, "round_id")
    if not message.order_ids:
        return Refusal(Reason.TOO_MANY, "order_ids")
    if any(first >= second for first, second in pairwise(message.order_ids)):
        return Refusal(Reason.OUT_OF_ORDER, "order_ids")
    for order_id in message.order_ids:
        if state.get(ORDERS, order_id, message.round_id) is None:
            return Refusal(Reason.UNKNOWN_ORDER, "order_ids")
        if state.get(ABSENCES, order_id, message.round_id) is not None:
            return Refusal(Reason.ALREADY_EXISTS, "order_ids")
    # --- checked; from here on only writes ---
    for order_id in message.order_ids:
        state.put(ABSENCES, order_id, Absence(answered=False), message.round_id)
    return None


def confirm_presence(
    state: State, context: BlockContext, message: ConfirmPresence
) -> Refusal | None:
    """The owner of an order that was reported answers; then the auction cannot do without it."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if is_answer_late(market_round, context):
        return Refusal(Reason.TOO_LATE, "round_id")
    order = state.get(ORDERS, message.order_id, message.round_id)
    if order is None:
        return Refusal(Reason.UNKNOWN_ORDER, "order_id")
    if order.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    absence = state.get(ABSENCES, message.order_id, message.round_id)
    if absence is None:
        return Refusal(Reason.NOT_REPORTED, "order_id")
    if absence.answered:
        return Refusal(Reason.ALREADY_RESOLVED, "order_id")
    # --- checked; from here on only writes ---
    state.put(ABSENCES, message.order_id, Absence(answered=True), message.round_id)
    return None


def is_answer_late(market_round: Round, context: BlockContext) -> bool:
    """Whether three quarters of the time between gate and `clear_by_s` are over."""
    end = closes_s(market_round) + 3 * market_round.clear_by_s
    return 4 * context.market_time_s >= end


def silent(state: State, round_id: bytes) -> list[bytes]:
    """The orders that were reported and have not answered, ascending."""
    return [key for key, each in state.items(ABSENCES, round_id) if not each.answered]


def present(state: State, round_id: bytes) -> list[Order]:
    """The orders of a frozen book but for the silent, by id."""
    absent = dict.fromkeys(silent(state, round_id))
    return [order for key, order in state.items(ORDERS, round_id) if key not in absent]


def charge_absent(state: State, round_id: bytes, market_round: Round) -> tuple[Event, ...]:
    """As the round is cleared: who never answered pays out of what its order holds, into the pot,
    and its order is gone."""
    absent = dict.fromkeys(silent(state, round_id))
    penalty = market_round.prices.shortfall_penalty_ucoin_per_kwh
    for order_id, order in state.items(ORDERS, round_id):
        if order_id not in absent:
            continue
        charge = min(cost_ceil_ucoin(order.max_wh, penalty), order.held_ucoin)
        spend_held(state, order.owner, order.held_ucoin, charge)
        credit(state, POT, charge)
        state.delete(ORDERS, order_id, round_id)
        state.delete(PORT_ORDERS, order.port.encode(), round_id)
    for order_id, _ in state.items(ABSENCES, round_id):
        state.delete(ABSENCES, order_id, round_id)
    return tuple(Event(kind="absent", key=order_id) for order_id in absent)
