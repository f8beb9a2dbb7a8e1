"""What parties send about auctions: who is silent, who is there after all, and how one ended.

Knows the messages and the bench. Bids are made up, and signed by those whose orders they are.
"""

from __future__ import annotations

from typing import Any

from auction_talk import Talk
from fuzz_bench import NAMES, Bench
from fuzz_choices import Choices, one_in, pick
from fuzz_spoil import NONE, Move
from small_hub import MEMBERS, RETAIL, round_id

from peerwatt.contracts.state import ABSENCES, ORDERS, ROUNDS
from peerwatt.records.auction import Rents
from peerwatt.records.market import Mechanism, Order, Round, RoundStatus
from peerwatt.units import PCOIN_PER_UCOIN

SHARES = (1, 2, 0, 4, 9)

RENTS = (0, 0, 0, 1, 10**5 * PCOIN_PER_UCOIN)


def propose_auction(bench: Bench, choices: Choices) -> Move:
    """An end in which each buyer pays a share of what its order is worth at the grid's price."""
    round_at, each, orders = _auction(bench, choices)
    if each is None:
        none: dict[str, Any] = dict.fromkeys(("stalling", "bids"), ())
        none |= dict.fromkeys(("run", "iteration"), 1)
        none |= dict.fromkeys(("orders_root", "before"), NONE)
        rents = Rents(buyers=(), sellers=(), grid=0)
        return Move("operator", {"round_id": round_at, "rents": rents} | none)
    absences = [key for key, row in bench.state.items(ABSENCES, round_at) if not row.answered]
    present = [order for order in orders if order.order_id not in absences]
    talk = Talk(each, present, NAMES, round_id=round_at, chain_id=bench.chain_id)
    buys, sells = talk.sides
    share = pick(choices, SHARES)
    worth = [order.max_wh * RETAIL // 4 * PCOIN_PER_UCOIN // 1_000 for order in buys]
    payments = [[full * share // (2 * len(sells) + 2)] * (len(sells) + 1) for full in worth]
    asks = [[order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN] * len(buys) for order in sells]
    rents = Rents(
        buyers=tuple(pick(choices, (*RENTS, -1)) for _ in buys),
        sellers=tuple(pick(choices, RENTS) for _ in sells),
        grid=pick(choices, RENTS),
    )
    return Move(pick(choices, tuple(MEMBERS)), talk.end(payments, asks, rents=rents))


def report_absence(bench: Bench, choices: Choices) -> Move:
    round_at, _, orders = _auction(bench, choices)
    silent = [order.order_id for order in orders if one_in(choices, 2)]
    return Move("operator", {"round_id": round_at, "order_ids": tuple(silent or [NONE])})


def confirm_presence(bench: Bench, choices: Choices) -> Move:
    round_at, _, orders = _auction(bench, choices)
    reported = [key for key, _ in bench.state.items(ABSENCES, round_at)]
    fit = [order for order in orders if order.order_id in reported] or orders
    if not fit:
        return Move("ann", {"round_id": round_at, "order_id": NONE})
    order = pick(choices, fit)
    return Move(NAMES[order.owner], {"round_id": round_at, "order_id": order.order_id})


def _auction(bench: Bench, choices: Choices) -> tuple[bytes, Round | None, list[Order]]:
    """A closed round with an auction, and its orders."""
    waiting = (RoundStatus.CLOSED, RoundStatus.PROPOSED)
    fit = [
        row
        for row in bench.state.items(ROUNDS)
        if row[1].mechanism == Mechanism.ITERATIVE_AUCTION and row[1].status in waiting
    ]
    if not fit:
        return round_id(0), None, []
    round_at, each = pick(choices, fit)
    return round_at, each, [order for _, order in bench.state.items(ORDERS, round_at)]
