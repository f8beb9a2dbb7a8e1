"""Clears a frozen round for its members: solve, round the prices, propose them with their proof.

Knows a host's view, the mechanism and the messages' fields. What it proposes is checked by the
ledger; nobody has to believe it, and any member can run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from peerwatt.hosts.host import View
from peerwatt.market_operator.quantize import (
    feeders_of,
    listed_feeder_prices,
    listed_own_prices,
    listed_prices,
    one_price_book,
    pairs_book,
)
from peerwatt.mechanisms.feeder_pairs import clear_pairs_feeders
from peerwatt.mechanisms.feeders import clear_one_price_feeders
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_newton import NotConvergedError
from peerwatt.records.market import Mechanism, Order, Round, RoundStatus, prices_hash

# A price takes at most nine bytes of a message of at most 1 MiB.
PRICES_PER_PART = 100_000
TOLERANCE = 1e-6


def awaits_proposal(market_round: Round) -> bool:
    """Whether a round is frozen and some member has to propose the prices that clear it."""
    waiting = market_round.status in (RoundStatus.CLOSED, RoundStatus.PROPOSED)
    return waiting and market_round.mechanism.priced


def solve_round(view: View, round_id: bytes) -> tuple[int, ...] | None:
    """The prices that clear a frozen round best, in pcoin/kWh: of pairs one per order, else the
    bus's, and then of each limited feeder by how much it is dearer. None where the solver does not
    find them, and the round is left to others or to the grid."""
    market_round: Round = view.get("rounds", round_id)
    orders = [order for _, order in view.items("orders", round_id)]
    if market_round.mechanism == Mechanism.WELFARE_PROPOSED:
        buyers, sellers, grid, feeders, lost_load = one_price_book(market_round, orders)
        found = clear_one_price_feeders(buyers, sellers, grid, feeders, lost_load=lost_load)
        return listed_own_prices(market_round, found)
    try:
        return _solve_pairs(market_round, orders)
    except NotConvergedError:
        return None


def _solve_pairs(market_round: Round, orders: Sequence[Order]) -> tuple[int, ...]:
    buyers, sellers, grid, lost_load = pairs_book(market_round, orders)
    if market_round.feeders:
        feeders = feeders_of(market_round, orders)
        found = clear_pairs_feeders(
            buyers, sellers, grid, feeders, lost_load=lost_load, tolerance=TOLERANCE
        )
        return listed_feeder_prices(market_round, orders, found)
    clearing = clear_pairs(buyers, sellers, grid, lost_load=lost_load, tolerance=TOLERANCE)
    return listed_prices(market_round, orders, clearing)


def proposal_of(
    view: View, round_id: bytes, prices: tuple[int, ...], *, per_part: int = PRICES_PER_PART
) -> Iterator[dict[str, Any]]:
    """The fields of the messages, mostly one, that propose for a round what `solve_round` found."""
    market_round: Round = view.get("rounds", round_id)
    own = len(prices) - len(market_round.feeders)
    prices, feeder_prices = prices[:own], prices[own:]
    parts = max(-(-len(prices) // per_part), 1)
    for part in range(parts):
        yield {
            "round_id": round_id,
            "orders_root": market_round.orders_root,
            "prices_hash": prices_hash(prices, feeder_prices),
            "part": part,
            "parts": parts,
            "prices": prices[part * per_part : (part + 1) * per_part],
            "feeder_prices": () if part else feeder_prices,
        }
