"""Rounds: opened by the site's operator, then moved on by time alone, along `life.LIFE`.

Knows state and every step's contract. What is due stands in the agenda; a block does a bounded
amount of it, and the agenda is the cursor from which the next block goes on.
"""

from __future__ import annotations

from heapq import heappop, heappush

from msgspec.structs import replace

from peerwatt.contracts.absences import charge_absent
from peerwatt.contracts.among_cars import first_round
from peerwatt.contracts.clearing import book_of, clear_round
from peerwatt.contracts.disputes import window_end_s
from peerwatt.contracts.life import FINAL, closes_s, moved
from peerwatt.contracts.members import has_role
from peerwatt.contracts.payouts import settle_round
from peerwatt.contracts.proposals import winning_proposal
from peerwatt.contracts.sealed import forfeit_withheld
from peerwatt.contracts.sites import MAX_AHEAD_S, prices_at
from peerwatt.contracts.state import (
    AGENDA,
    LIMITS,
    ORDERS,
    ROUNDS,
    SETTLEMENTS,
    SITES,
    TARIFFS,
    TRADES,
    Due,
    InvariantError,
    Refusal,
    State,
    chain_of,
    must,
)
from peerwatt.records.codec import encode
from peerwatt.records.market import (
    NO_HASH,
    FeederRoom,
    Mechanism,
    Round,
    RoundStatus,
    SlotLimit,
    Tariff,
    round_key,
)
from peerwatt.records.members import Role, Site
from peerwatt.records.receipts import BlockContext, Event, Reason
from peerwatt.records.transactions import OpenRound
from peerwatt.units import energy_floor_wh


def open_round(state: State, context: BlockContext, message: OpenRound) -> Refusal | None:
    """A site's operator opens the market of a slot; prices and limits are fixed now."""
    site = state.get(SITES, message.site.encode())
    if site is None:
        return Refusal(Reason.UNKNOWN_SITE, "site")
    if message.signer != site.operator or not has_role(state, message.signer, Role.AGGREGATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    tariff = state.get(TARIFFS, message.tariff.encode())
    if tariff is None or not _applies(state, tariff, site):
        return Refusal(Reason.UNKNOWN_TARIFF, "tariff")
    refusal = _bad_times(message, site, context.market_time_s)
    if refusal is not None:
        return refusal
    round_id = round_key(message.site, message.slot_start_s)
    if state.get(ROUNDS, round_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "slot_start_s")
    prices = prices_at(tariff, message.slot_start_s, message.slot_end_s)
    if prices is None:
        return Refusal(Reason.OUT_OF_RANGE, "tariff")
    limit = state.get(LIMITS, round_id)
    if limit is not None and limit.feeders and not message.mechanism.priced:
        return Refusal(Reason.FEEDERS_LIMITED, "mechanism")
    if (message.lot_wh > 0) != (message.mechanism == Mechanism.SBBA):
        return Refusal(Reason.OUT_OF_RANGE, "lot_wh")
    # --- checked; from here on only writes ---
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
        prices_root=NO_HASH,
        awards_root=NO_HASH,
        readings_root=NO_HASH,
        settlements_root=NO_HASH,
        void_reason=0,
        proposed=None,
        clearing=None,
        totals=None,
        feeders=() if limit is None else _rooms(limit, duration_s),
        lot_wh=message.lot_wh,
        reveal_by_s=message.reveal_by_s,
    )
    state.put(ROUNDS, round_id, market_round)
    _schedule(state, round_id, closes_s(market_round))
    return None


def _rooms(limit: SlotLimit, duration_s: int) -> tuple[FeederRoom, ...]:
    """What the limited feeders may carry in a slot, in Wh."""
    return tuple(
        FeederRoom(
            feeder=each.feeder,
            import_limit_wh=energy_floor_wh(each.import_limit_w, duration_s),
            export_limit_wh=energy_floor_wh(each.export_limit_w, duration_s),
        )
        for each in limit.feeders
    )


def _applies(state: State, tariff: Tariff, site: Site) -> bool:
    """Whether a tariff is of this site's grid operator and supplier, who is still one."""
    parties = (tariff.supplier, tariff.grid_operator)
    supplies = has_role(state, tariff.supplier, Role.SUPPLIER)
    return supplies and parties == (site.supplier, site.grid_operator)


def _bad_times(message: OpenRound, site: Site, now_s: int) -> Refusal | None:
    """now < gate < clear_by < slot start < slot end < settle_by, named where it first fails; the
    slot is one of the site's."""
    times = (
        ("gate_s", message.gate_s),
        *([("reveal_by_s", message.reveal_by_s)] if message.reveal_by_s else []),
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
    if message.slot_start_s % site.slot_s:
        return Refusal(Reason.OUT_OF_RANGE, "slot_start_s")
    if message.slot_end_s - message.slot_start_s != site.slot_s:
        return Refusal(Reason.OUT_OF_RANGE, "slot_end_s")
    if message.settle_by_s > now_s + MAX_AHEAD_S:
        return Refusal(Reason.OUT_OF_RANGE, "settle_by_s")
    return None


def advance(state: State, now_s: int) -> tuple[Event, ...]:
    """Take the steps that are due, oldest first, until this block's share of work is done."""
    events: list[Event] = []
    work_left = chain_of(state).max_work
    agenda = [key for key, _ in state.items(AGENDA)]  # ascending, hence a heap
    while agenda and work_left > 0 and int.from_bytes(agenda[0][:8], "big") <= now_s:
        key = heappop(agenda)
        round_id = must(state.get(AGENDA, key)).round_id
        state.delete(AGENDA, key)
        market_round = must(state.get(ROUNDS, round_id))
        work_left -= market_round.order_count + 1
        events += charge_absent(state, round_id, market_round)
        withheld = forfeit_withheld(state, round_id)
        events += withheld
        count = market_round.order_count - len(withheld)
        market_round = replace(market_round, order_count=count)
        moved = _step(state, round_id, market_round)
        state.put(ROUNDS, round_id, moved)
        events.append(Event(kind=moved.status.name.lower(), key=round_id))
        if moved.status not in FINAL:
            heappush(agenda, _schedule(state, round_id, _due_s(state, moved, now_s)))
    return tuple(events)


def _step(state: State, round_id: bytes, market_round: Round) -> Round:
    """The next state of a round whose time has come."""
    match market_round.status:
        case RoundStatus.OPEN:
            return _close(state, round_id, market_round)
        case RoundStatus.CLOSED | RoundStatus.PROPOSED:
            return _clear(state, round_id, market_round)
        case RoundStatus.CLEARED:
            return moved(market_round, RoundStatus.DELIVERED)
        case RoundStatus.DELIVERED:
            return moved(settle_round(state, round_id, market_round), RoundStatus.SETTLED)
        case RoundStatus.SETTLED:
            return _end(state, round_id, market_round)
        case RoundStatus.ENDED | RoundStatus.VOID:
            raise InvariantError(f"nothing is due for a {market_round.status.name} round")


def _due_s(state: State, market_round: Round, now_s: int) -> int:
    """When the next step of a round is due."""
    match market_round.status:
        case RoundStatus.OPEN:
            return closes_s(market_round)
        case RoundStatus.CLOSED | RoundStatus.PROPOSED:
            return market_round.clear_by_s
        case RoundStatus.CLEARED:
            return market_round.slot_end_s
        case RoundStatus.DELIVERED:
            return market_round.settle_by_s if market_round.awaited_readings else now_s
        case RoundStatus.SETTLED:
            return window_end_s(state, market_round)
        case RoundStatus.ENDED | RoundStatus.VOID:
            raise InvariantError(f"nothing is due for a {market_round.status.name} round")


def settle_early(state: State, round_id: bytes, now_s: int) -> None:
    """Once the last awaited reading is in, a delivered round need not wait for settle_by."""
    market_round = must(state.get(ROUNDS, round_id))
    waits = _agenda_key(round_id, market_round.settle_by_s)
    if market_round.status != RoundStatus.DELIVERED or state.get(AGENDA, waits) is None:
        return
    if market_round.awaited_readings == 0:
        state.delete(AGENDA, waits)
        _schedule(state, round_id, now_s)


def _close(state: State, round_id: bytes, market_round: Round) -> Round:
    """The gate: the book is sealed; without orders the round is void, and what the ledger clears
    itself is cleared at once, unless losers of a first round have a second."""
    orders = state.items(ORDERS, round_id)
    root = state.seal("orders", round_id, [(key, encode(order)) for key, order in orders])
    closed = replace(moved(market_round, RoundStatus.CLOSED), orders_root=root)
    if not orders:
        void = moved(closed, RoundStatus.VOID)
        return replace(void, void_reason=int(Reason.NO_ORDERS))
    if market_round.mechanism.proposed:
        return closed
    if market_round.mechanism == Mechanism.V2V:
        first = first_round(book_of(closed, [order for _, order in orders]))
        if first is not None:
            return replace(closed, first=first)
    return _clear(state, round_id, closed)


def _clear(state: State, round_id: bytes, market_round: Round) -> Round:
    won = winning_proposal(state, round_id, market_round)
    cleared = clear_round(state, round_id, market_round, won)
    return moved(cleared, RoundStatus.CLEARED)


def _end(state: State, round_id: bytes, market_round: Round) -> Round:
    """The dispute window is over: the rows live on in the sealed trees."""
    for order_id, _ in state.items(SETTLEMENTS, round_id):
        state.delete(SETTLEMENTS, order_id, round_id)
        state.delete(TRADES, order_id, round_id)
    return moved(market_round, RoundStatus.ENDED)


def _schedule(state: State, round_id: bytes, due_s: int) -> bytes:
    """Put a round's next step into the agenda; the entry's key."""
    key = _agenda_key(round_id, due_s)
    state.put(AGENDA, key, Due(round_id=round_id))
    return key


def _agenda_key(round_id: bytes, due_s: int) -> bytes:
    return due_s.to_bytes(8, "big") + round_id
