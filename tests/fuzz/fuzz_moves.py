"""What parties send: each message made to make sense on the bench, then now and then spoilt.

Knows the messages and the bench. Every decision comes from `Choices`, so that a fuzzer's bytes
and Hypothesis drive the same parties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from fuzz_auctions import confirm_presence, propose_auction, report_absence
from fuzz_bench import BY_NAME, DRIVERS, NAMES, PEOPLE, Bench, key
from fuzz_choices import Choices, one_in, pick
from fuzz_records import record_trade
from fuzz_sealed import reveal_order, seal_order
from fuzz_spoil import NONE, SPOILERS, Move, twisted
from msgspec.structs import replace
from small_hub import (
    FEED_IN,
    FEES,
    MEMBERS,
    PORTS,
    RETAIL,
    SITE,
    SLOT_S,
    USUAL,
    public,
    round_id,
    times,
)

from peerwatt.contracts.state import (
    AWARDS,
    DEPOSITS,
    DISPUTES,
    METER_PROGRESS,
    ORDERS,
    PROPOSALS,
    ROUNDS,
    SETTLEMENTS,
    MeterProgress,
)
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism, PriceRule, RoundStatus, Side, SlotLimit
from peerwatt.records.members import Member
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.units import PCOIN_PER_UCOIN

COINS = (1, 0, 1_000, 500_000, 10**7, 10**9, 10**16, 10**17)
ENERGY_WH = (1_500, 1, 700, 2_000, 2_750, 0, 2_751, 10**12)
PRICES = (450_000, 300_000, 250_000, 200_000, 150_000, 80_000, 1, 0, 500_000, 500_001, 10**9)
NET_WH = (0, 1, -1, 250, -250, 1_500, -1_500, 2_750, -2_750, 5_000, -5_000, 10**9)
NEXT_SLOTS, NEXT_STEPS = 3, 6


Maker = Callable[[Bench, Choices], Move]


def message(kind: type[Any], bench: Bench, choices: Choices, *, spoil: bool = True) -> bytes:
    """A signed transaction with a message of this kind; one in four is spoilt."""
    move = MAKERS[kind.__name__](bench, choices)
    made = bench.message(kind, move.by, move.fields)
    if spoil and one_in(choices, 4):
        return pick(choices, SPOILERS)(bench, choices, made, move)
    return bench.signed(made, move.by, move.cosigner)


# --- time and money


def tick(bench: Bench, choices: Choices) -> Move:
    """To one of the next times at which a round takes a step, or a little on."""
    steps = [
        step
        for _, each in bench.state.items(ROUNDS)
        for step in (
            each.gate_s,
            each.reveal_by_s,
            each.clear_by_s,
            each.slot_end_s,
            each.settle_by_s,
        )
        if step > bench.now_s
    ]
    others = [bench.now_s + SLOT_S, bench.now_s + 60, bench.now_s, bench.now_s - 1]
    return Move("clock", {"time_s": pick(choices, [*sorted(steps)[:NEXT_STEPS], *others])})


def open_wallet(bench: Bench, choices: Choices) -> Move:
    by = pick(choices, ("eve", *PEOPLE))
    token = key("authority").sign(tx.WALLET_DOMAIN, bench.chain_id, public(by))
    return Move(by, {"authority": public("authority"), "token": token})


def mint(bench: Bench, choices: Choices) -> Move:
    reference = digest(len(bench.state.items(DEPOSITS)).to_bytes(4, "big"))
    fields = {"to": _person(choices), "deposit_reference": reference}
    return Move("issuer", fields | {"amount_ucoin": pick(choices, COINS)}, "regulator")


def withdraw(bench: Bench, choices: Choices) -> Move:
    fields = {"amount_ucoin": pick(choices, COINS), "payout_reference": NONE}
    return Move(pick(choices, PEOPLE), fields)


def transfer(bench: Bench, choices: Choices) -> Move:
    fields = {"to": _person(choices), "amount_ucoin": pick(choices, COINS)}
    return Move(pick(choices, PEOPLE), fields)


# --- members


def propose_change(bench: Bench, choices: Choices) -> Move:
    member = Member(key=_person(choices), name="new", roles=choices.below(64))
    changes = (
        tx.AddMember(member=member),
        tx.RemoveMember(key=_person(choices)),
        tx.UpgradeRules(rules_version=2, height=2**53),
        tx.UpgradeRules(rules_version=1, height=bench.height + 2),
        tx.SetRewards(epoch_s=SLOT_S, contribution_ucoin=1_000, proposer_ucoin=choices.below(3)),
    )
    return Move(pick(choices, tuple(MEMBERS)), {"change": pick(choices, changes)})


def vote(bench: Bench, choices: Choices) -> Move:
    known = [at for at, each in bench.state.items(PROPOSALS) if not each.done]
    return Move(pick(choices, tuple(MEMBERS)), {"proposal_id": pick(choices, known or [NONE])})


# --- the site


def register_site(bench: Bench, choices: Choices) -> Move:
    keys = {"grid_operator": public("grid"), "supplier": public("supplier")}
    name = pick(choices, ("yard", SITE))
    fields = USUAL[tx.RegisterSite] | keys | {"site": name, "main_meter": public(f"meter/{name}")}
    return Move("operator", fields, "grid")


def register_port(bench: Bench, choices: Choices) -> Move:
    port = pick(choices, ("p5", "p1"))
    fields = USUAL[tx.RegisterPort] | {"port": port, "meter": public(f"meter/{port}")}
    return Move("operator", fields)


def publish_tariff(bench: Bench, choices: Choices) -> Move:
    fields = {"tariff": pick(choices, ("night", "day")), "price_rule": pick(choices, (*PriceRule,))}
    return Move("supplier", USUAL[tx.PublishTariff] | fields, "grid")


def publish_limits(bench: Bench, choices: Choices) -> Move:
    limit = SlotLimit(
        slot_start_s=_slot_start_s(bench, choices),
        import_limit_w=pick(choices, (2_000, 0, 50_000)),
        export_limit_w=pick(choices, (4_000, 0, 50_000)),
    )
    return Move("grid", {"site": SITE, "limits": (limit,)})


def check_in(bench: Bench, choices: Choices) -> Move:
    port = pick(choices, (*PORTS.values(), "p5", "p9"))
    return Move("operator", {"site": SITE, "port": port, "wallet": _person(choices)})


def check_out(bench: Bench, choices: Choices) -> Move:
    return Move("operator", {"site": SITE, "port": pick(choices, (*PORTS.values(), "p9"))})


# --- a round


def open_round(bench: Bench, choices: Choices) -> Move:
    slot = (_slot_start_s(bench, choices) - times(0)["slot_start_s"]) // SLOT_S
    tariff, mechanism = pick(choices, ("day", "night")), pick(choices, (*Mechanism,))
    sized = (mechanism == Mechanism.SBBA) != one_in(choices, 16)
    fields = {"site": SITE, "tariff": tariff, "mechanism": mechanism, "lot_wh": 1_000 * sized}
    at = times(slot)
    shown_s = at["gate_s"] + 15 if one_in(choices, 3) else 0
    return Move("operator", fields | at | {"reveal_by_s": shown_s})


def place_buy_order(bench: Bench, choices: Choices) -> Move:
    low, high = sorted((pick(choices, PRICES), pick(choices, PRICES)))
    order = _order(bench, choices)
    low = high if _is_auctioned(bench, order) else low
    fields = order | {
        "min_wh": pick(choices, (0, 1, 500, 1_500, 2_750)),
        "price_high_ucoin_per_kwh": high,
        "price_low_ucoin_per_kwh": low,
    }
    return Move(fields.pop("by"), fields)


def place_sell_order(bench: Bench, choices: Choices) -> Move:
    order = _order(bench, choices)
    slope = pick(choices, (10_000, 1, 0, 10**6, 10**9))
    fields = order | {
        "ask_ucoin_per_kwh": pick(choices, PRICES),
        "slope_ucoin_per_kwh2": 0 if _is_auctioned(bench, order) else slope,
    }
    return Move(fields.pop("by"), fields)


def cancel_order(bench: Bench, choices: Choices) -> Move:
    known = bench.rows(BY_NAME[ORDERS.name])
    if not known:
        return Move("ann", {"round_id": round_id(0), "order_id": NONE})
    round_at, order_id, order = pick(choices, known)
    return Move(NAMES[order.owner], {"round_id": round_at, "order_id": order_id})


def revise_order(bench: Bench, choices: Choices) -> Move:
    """Mostly of an order in a round between its two auctions, near what it has to reach."""
    round_at, each = _round(bench, choices, (RoundStatus.CLOSED,))
    orders = [] if each is None else bench.state.items(ORDERS, round_at)
    if each is None or not orders:
        return Move("ann", {"round_id": round_at, "order_id": NONE, "limit_ucoin_per_kwh": 0})
    order_id, order = pick(choices, orders)
    first = () if each.first is None else each.first.__struct_fields__[:2]
    points = [getattr(each.first, name) for name in first]
    near = (*points, *(point + 1 for point in points), RETAIL, FEED_IN, *PRICES)
    fields = {"round_id": round_at, "order_id": order_id}
    return Move(NAMES[order.owner], fields | {"limit_ucoin_per_kwh": pick(choices, near)})


def propose_clearing(bench: Bench, choices: Choices) -> Move:
    """One price for every order of a book that waits for them; one and the same, mostly."""
    waiting = (RoundStatus.CLOSED, RoundStatus.PROPOSED)
    round_at, each = _round(bench, choices, waiting)
    orders = [] if each is None else bench.state.items(ORDERS, round_at)
    usual = pick(choices, (RETAIL, FEED_IN + sum(FEES), RETAIL - 1, *PRICES))
    near = (usual, usual, usual + sum(FEES), usual + 1, *PRICES)
    prices = tuple(pick(choices, near) * PCOIN_PER_UCOIN for _ in orders)
    parts = 2 if prices and one_in(choices, 8) else 1
    fields = {
        "round_id": round_at,
        "orders_root": NONE if each is None else each.orders_root,
        "prices_hash": digest(b"".join(price.to_bytes(8, "big") for price in prices)),
        "part": 0,
        "parts": parts,
        "prices": prices[: -(-len(prices) // parts)],
    }
    return Move(pick(choices, tuple(MEMBERS)), fields)


def report_readings(bench: Bench, choices: Choices) -> Move:
    """What the meters of a round's awards measured, now and then not what was awarded."""
    round_at, each = _round(bench, choices, (RoundStatus.CLEARED, RoundStatus.DELIVERED))
    if each is None:
        return Move("operator", {"round_id": round_at, "readings": ()})
    net_wh = {"": pick(choices, NET_WH)}
    for _, award in bench.state.items(AWARDS, round_at):
        awarded = award.energy_wh if award.side == Side.BUY else -award.energy_wh
        net_wh[award.port] = awarded + pick(choices, NET_WH)
    if one_in(choices, 4):
        net_wh.pop(pick(choices, tuple(net_wh)))
    readings = [_reading(bench, port, net, each) for port, net in sorted(net_wh.items())]
    if readings and one_in(choices, 8):
        at = choices.below(len(readings))
        readings[at] = _spoilt_reading(bench, choices, readings[at])
    return Move("operator", {"round_id": round_at, "readings": tuple(readings)})


def open_dispute(bench: Bench, choices: Choices) -> Move:
    known = bench.rows(BY_NAME[SETTLEMENTS.name])
    if not known:
        fields = {"round_id": round_id(0), "order_id": NONE, "amount_ucoin": 1}
        return Move("ann", fields | {"statement_hash": NONE})
    round_at, order_id, row = pick(choices, known)
    amounts = (1, row.paid_ucoin, row.received_ucoin, row.penalty_ucoin, 0, 10**9)
    fields = {"round_id": round_at, "order_id": order_id, "statement_hash": NONE}
    return Move(NAMES[row.owner], fields | {"amount_ucoin": pick(choices, amounts)})


def resolve_dispute(bench: Bench, choices: Choices) -> Move:
    known = bench.state.items(DISPUTES)
    if not known:
        return Move("regulator", {"order_id": NONE, "credit_ucoin": 0})
    order_id, each = pick(choices, known)
    credit = pick(choices, (0, each.frozen_ucoin, each.frozen_ucoin // 2, each.frozen_ucoin + 1))
    return Move("regulator", {"order_id": order_id, "credit_ucoin": credit})


def request_opening(bench: Bench, choices: Choices) -> Move:
    """In a dispute, mostly about an order of its round, by somebody who may ask."""
    known = bench.state.items(DISPUTES)
    if not known:
        fields = {"order_id": NONE, "whose_order_id": NONE, "statement_hash": NONE}
        return Move("regulator", fields)
    order_id, each = pick(choices, known)
    rows = bench.state.items(SETTLEMENTS, each.round_id)
    orders = [order_id, *(at for at, _ in rows)]
    by = pick(choices, ("regulator", NAMES[each.owner], NAMES[each.operator]))
    fields = {"order_id": order_id, "whose_order_id": pick(choices, orders)}
    return Move(by, fields | {"statement_hash": NONE})


def consent_opening(bench: Bench, choices: Choices) -> Move:
    known = bench.state.items(DISPUTES)
    if not known:
        return Move("authority", {"order_id": NONE, "wallet": public("ann"), "commitment": NONE})
    order_id, each = pick(choices, known)
    wallets = [opening.wallet for opening in each.openings] or [each.owner]
    fields = {"order_id": order_id, "wallet": pick(choices, wallets), "commitment": NONE}
    return Move("authority", fields)


def fund_rewards(bench: Bench, choices: Choices) -> Move:
    return Move(pick(choices, tuple(MEMBERS)), {"amount_ucoin": pick(choices, COINS)})


MAKERS: dict[str, Maker] = {
    "Tick": tick, "ProposeChange": propose_change,
    "Vote": vote, "OpenWallet": open_wallet,
    "Mint": mint, "Withdraw": withdraw,
    "Transfer": transfer, "RegisterSite": register_site,
    "RegisterPort": register_port, "PublishTariff": publish_tariff,
    "PublishLimits": publish_limits, "OpenRound": open_round,
    "CheckIn": check_in, "CheckOut": check_out,
    "PlaceBuyOrder": place_buy_order, "PlaceSellOrder": place_sell_order,
    "CancelOrder": cancel_order, "ReportReadings": report_readings,
    "OpenDispute": open_dispute, "ResolveDispute": resolve_dispute,
    "ProposeClearing": propose_clearing, "ProposeAuction": propose_auction,
    "ReportAbsence": report_absence, "ConfirmPresence": confirm_presence,
    "RecordTrade": record_trade, "RequestOpening": request_opening,
    "ConsentOpening": consent_opening, "FundRewards": fund_rewards,
    "SealOrder": seal_order, "RevealOrder": reveal_order,
    "ReviseOrder": revise_order,
}  # fmt: skip
KINDS: tuple[type[Any], ...] = get_args(tx.Message)


# --- parts


def _person(choices: Choices) -> bytes:
    return public(pick(choices, PEOPLE))


def _slot_start_s(bench: Bench, choices: Choices) -> int:
    """The start of one of the slots whose gates are still to come."""
    first = max(times(0)["slot_start_s"], -(-(bench.now_s + 61) // SLOT_S) * SLOT_S)
    return first + choices.below(NEXT_SLOTS) * SLOT_S


def _round(
    bench: Bench, choices: Choices, statuses: tuple[RoundStatus, ...]
) -> tuple[bytes, Any | None]:
    """A round, with a liking for those that stand where it makes sense."""
    rounds = bench.state.items(ROUNDS)
    fit = [row for row in rounds if row[1].status in statuses]
    return pick(choices, fit or rounds) if rounds else (round_id(0), None)


def _order(bench: Bench, choices: Choices) -> dict[str, Any]:
    by = pick(choices, (*DRIVERS, "eve"))
    round_at, each = _round(bench, choices, (RoundStatus.OPEN,))
    order = {"by": by, "round_id": round_at, "port": PORTS.get(by, "p1")}
    twice = each is not None and each.mechanism == Mechanism.V2V
    limit = {"limit_ucoin_per_kwh": pick(choices, PRICES)} if twice else {}
    return order | limit | {"max_wh": pick(choices, ENERGY_WH)}


def _is_auctioned(bench: Bench, order: dict[str, Any]) -> bool:
    """Whether an order may say no more than a limit."""
    each = bench.state.get(ROUNDS, order["round_id"])
    return each is not None and each.mechanism.states_limits


def _reading(bench: Bench, port: str, net_wh: int, market_round: Any) -> SignedReading:
    """What the meter at a port signs after the round's slot, going on from its last reading."""
    meter = f"meter/{port}"
    none = MeterProgress(sequence=0, end_s=0, import_wh=0, export_wh=0)
    last = bench.state.get(METER_PROGRESS, public(meter)) or none
    reading = MeterReading(
        meter=public(meter),
        sequence=last.sequence + 1,
        start_s=market_round.slot_start_s,
        end_s=market_round.slot_end_s,
        import_start_wh=last.import_wh,
        import_end_wh=last.import_wh + max(net_wh, 0),
        export_start_wh=last.export_wh,
        export_end_wh=last.export_wh + max(-net_wh, 0),
    )
    return sign_reading(reading, key(meter), bench.chain_id)


def _spoilt_reading(bench: Bench, choices: Choices, signed: SignedReading) -> SignedReading:
    """A field changed and signed again by the meter, or by somebody else."""
    name = pick(choices, MeterReading.__struct_fields__)
    value = twisted(bench, choices, getattr(signed.reading, name))
    meters = {public(f"meter/{port}"): f"meter/{port}" for port in ("", *PORTS.values())}
    signer = meters.get(signed.reading.meter, "eve")
    changed = replace(signed.reading, **{name: value})
    return sign_reading(changed, key(pick(choices, (signer, signer, "eve"))), bench.chain_id)
