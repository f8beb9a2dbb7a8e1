"""The life of a round: opened by the site's operator, then moved on by time alone.

    OPEN --gate--> CLOSED --> CLEARED --slot end--> DELIVERED --readings in, or settle_by-->
    SETTLED --dispute window--> ENDED;  CLOSED --> VOID where nobody ordered

Knows state and every step's contract. What is due stands in the agenda; a block does a bounded
amount of it, and the agenda is the cursor from which the next block goes on.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.clearing import clear_round
from peerwatt.contracts.members import has_role
from peerwatt.contracts.payouts import settle_round
from peerwatt.contracts.sites import prices_at
from peerwatt.contracts.state import (
    AGENDA,
    LIMITS,
    ORDERS,
    ROUNDS,
    SETTLEMENTS,
    SITES,
    TARIFFS,
    Due,
    InvariantError,
    Refusal,
    State,
    chain_of,
    must,
)
from peerwatt.records.codec import encode
from peerwatt.records.market import NO_HASH, Round, RoundStatus, round_key
from peerwatt.records.members import Role
from peerwatt.records.receipts import BlockContext, Event, Reason
from peerwatt.records.transactions import OpenRound
from peerwatt.units import energy_floor_wh

MAX_SLOT_S = 86_400


def open_round(state: State, context: BlockContext, message: OpenRound) -> Refusal | None:
    """A site's operator opens the market of a slot; prices and limits are fixed now."""
    site = state.get(SITES, message.site.encode())
    if site is None:
        return Refusal(Reason.UNKNOWN_SITE, "site")
    if message.signer != site.operator or not has_role(state, message.signer, Role.AGGREGATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    tariff = state.get(TARIFFS, message.tariff.encode())
    if tariff is None or tariff.supplier != site.supplier:
        return Refusal(Reason.UNKNOWN_TARIFF, "tariff")
    refusal = _bad_times(message, context.market_time_s)
    if refusal is not None:
        return refusal
    round_id = round_key(message.site, message.slot_start_s)
    if state.get(ROUNDS, round_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "slot_start_s")
    prices = prices_at(tariff, message.slot_start_s, message.slot_end_s)
    if prices is None:
        return Refusal(Reason.OUT_OF_RANGE, "tariff")
    # --- checked; from here on only writes ---
    limit = state.get(LIMITS, round_id)
    if limit is not None:
        state.delete(LIMITS, round_id)
    import_w = site.import_limit_w if limit is None else limit.import_limit_w
    export_w = site.export_limit_w if limit is None else limit.export_limit_w
    duration_s = message.slot_end_s - message.slot_start_s
    market_round = Round(
        site=message.site,
        tariff=message.tariff,
        mechanism=message.mechanism,
        status=RoundStatus.OPEN,
        gate_s=message.gate_s,
        clear_by_s=message.clear_by_s,
        slot_start_s=message.slot_start_s,
        slot_end_s=message.slot_end_s,
        settle_by_s=message.settle_by_s,
        prices=prices,
        import_limit_wh=energy_floor_wh(import_w, duration_s),
        export_limit_wh=energy_floor_wh(export_w, duration_s),
        order_count=0,
        awaited_readings=0,
        book_hash=NO_HASH,
        orders_root=NO_HASH,
        awards_root=NO_HASH,
        readings_root=NO_HASH,
        settlements_root=NO_HASH,
        void_reason=0,
        clearing=None,
        totals=None,
    )
    state.put(ROUNDS, round_id, market_round)
    _schedule(state, round_id, message.gate_s)
    return None


def _bad_times(message: OpenRound, now_s: int) -> Refusal | None:
    """now < gate < clear_by < slot start < slot end < settle_by, named where it first fails."""
    times = (
        ("gate_s", message.gate_s),
        ("clear_by_s", message.clear_by_s),
        ("slot_start_s", message.slot_start_s),
        ("slot_end_s", message.slot_end_s),
        ("settle_by_s", message.settle_by_s),
    )
    if message.gate_s <= now_s:
        return Refusal(Reason.TOO_LATE, "gate_s")
    earlier_s = now_s
    for name, time_s in times:
        if time_s <= earlier_s:
            return Refusal(Reason.OUT_OF_ORDER, name)
        earlier_s = time_s
    if message.slot_end_s - message.slot_start_s > MAX_SLOT_S:
        return Refusal(Reason.OUT_OF_RANGE, "slot_end_s")
    return None


def advance(state: State, now_s: int) -> tuple[Event, ...]:
    """Take the steps that are due, oldest first, until this block's share of work is done."""
    events: list[Event] = []
    work_left = chain_of(state).max_work
    while work_left > 0:
        agenda = state.items(AGENDA)
        if not agenda or int.from_bytes(agenda[0][0][:8], "big") > now_s:
            break
        key, due = agenda[0]
        state.delete(AGENDA, key)
        market_round = must(state.get(ROUNDS, due.round_id))
        work_left -= market_round.order_count + 1
        moved = _step(state, due.round_id, market_round)
        state.put(ROUNDS, due.round_id, moved)
        events.append(Event(kind=moved.status.name.lower(), key=due.round_id))
        if moved.status not in (RoundStatus.ENDED, RoundStatus.VOID):
            _schedule(state, due.round_id, _due_s(state, moved, now_s))
    return tuple(events)


def _step(state: State, round_id: bytes, market_round: Round) -> Round:
    """The next state of a round whose time has come."""
    match market_round.status:
        case RoundStatus.OPEN:
            return _close(state, round_id, market_round)
        case RoundStatus.CLEARED:
            return replace(market_round, status=RoundStatus.DELIVERED)
        case RoundStatus.DELIVERED:
            return settle_round(state, round_id, market_round)
        case RoundStatus.SETTLED:
            return _end(state, round_id, market_round)
        case RoundStatus.CLOSED | RoundStatus.ENDED | RoundStatus.VOID:
            raise InvariantError(f"nothing is due for a {market_round.status.name} round")


def _due_s(state: State, market_round: Round, now_s: int) -> int:
    """When the next step of a round is due."""
    match market_round.status:
        case RoundStatus.OPEN:
            return market_round.gate_s
        case RoundStatus.CLEARED:
            return market_round.slot_end_s
        case RoundStatus.DELIVERED:
            return market_round.settle_by_s if market_round.awaited_readings else now_s
        case RoundStatus.SETTLED:
            return market_round.settle_by_s + chain_of(state).dispute_window_s
        case RoundStatus.CLOSED | RoundStatus.ENDED | RoundStatus.VOID:
            raise InvariantError(f"nothing is due for a {market_round.status.name} round")


def settle_early(state: State, round_id: bytes, now_s: int) -> None:
    """Once the last awaited reading is in, a delivered round need not wait for settle_by."""
    market_round = must(state.get(ROUNDS, round_id))
    if market_round.status == RoundStatus.DELIVERED and market_round.awaited_readings == 0:
        state.delete(AGENDA, _agenda_key(round_id, market_round.settle_by_s))
        _schedule(state, round_id, now_s)


def _close(state: State, round_id: bytes, market_round: Round) -> Round:
    """The gate: the book is sealed and cleared at once, or void where nobody ordered."""
    orders = state.items(ORDERS, round_id)
    root = state.seal("orders", round_id, [(key, encode(order)) for key, order in orders])
    closed = replace(market_round, status=RoundStatus.CLOSED, orders_root=root)
    if not orders:
        return replace(closed, status=RoundStatus.VOID, void_reason=int(Reason.NO_ORDERS))
    return clear_round(state, round_id, closed)


def _end(state: State, round_id: bytes, market_round: Round) -> Round:
    """The dispute window is over: the rows live on in the sealed trees."""
    for order_id, _ in state.items(SETTLEMENTS, round_id):
        state.delete(SETTLEMENTS, order_id, round_id)
    return replace(market_round, status=RoundStatus.ENDED)


def _schedule(state: State, round_id: bytes, due_s: int) -> None:
    state.put(AGENDA, _agenda_key(round_id, due_s), Due(round_id=round_id))


def _agenda_key(round_id: bytes, due_s: int) -> bytes:
    return due_s.to_bytes(8, "big") + round_id
