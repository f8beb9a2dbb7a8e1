"""Whoever trades in auctions among cars: orders of one price, and new limits for a second round.

Knows the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import (
    BuyOrder,
    Mechanism,
    Order,
    Prices,
    Round,
    RoundStatus,
    round_key,
)
from peerwatt.simulation.parties import (
    CLEAR_LEAD_S,
    DRIVERS,
    PORTS,
    PROPOSE_LEAD_S,
    SETTLE_LAG_S,
    SITES,
    SLOT_S,
    Parties,
)
from peerwatt.simulation.sealers import Sealers

AMONG_CARS = (*(each for each in Mechanism if each.among_cars), Mechanism.V2V)
MEETINGS = 0.02
LOT_WH = 1_000
SIZES_WH = (0, 999, 1_000, 1_000, 1_500, 2_000, 2_000, 2_000, 2_003, 2_750)
NEAR = ((2, 3, 4, 5, 6), (1, 2, 3, 4, 5))
BESIDE = (-1, -1, 0, 0, 0, 0, 1, 1)
"""How far a price is from one that matters."""


class Bargainers:
    """Drivers in rounds in which cars trade with one another."""

    def __init__(self, parties: Parties, chance: Random, sealers: Sealers) -> None:
        self._all = parties
        self._sealers = sealers
        self._chance = chance
        self._plan: deque[Callable[[], bytes | None]] = deque()

    def meet(self, anew: bool = True) -> bool:
        """Whether all are about to meet in one round, which now and then they begin to."""
        if not self._plan and anew and self._chance.random() < MEETINGS:
            self._plan.extend(self._meeting())
        return bool(self._plan)

    def next(self) -> bytes | None:
        """What is next on the way to a full book."""
        return self._plan.popleft()()

    def _meeting(self) -> Iterator[Callable[[], bytes | None]]:
        """A round, and at every port somebody with coins and an order."""
        site, operator = self._chance.choice(tuple(SITES.items()))
        mechanism = self._chance.choice(AMONG_CARS)
        start_s = (self._all.now_s // SLOT_S + 2) * SLOT_S
        times: dict[str, Any] = {"slot_start_s": start_s, "slot_end_s": start_s + SLOT_S}
        times["settle_by_s"] = start_s + SLOT_S + SETTLE_LAG_S
        times |= {"gate_s": start_s - PROPOSE_LEAD_S, "clear_by_s": start_s - CLEAR_LEAD_S}
        times["reveal_by_s"] = self._sealers.reveal_by_s(times["gate_s"], times["clear_by_s"])
        named: dict[str, Any] = {"site": site, "tariff": "day", "mechanism": mechanism}
        named["lot_wh"] = LOT_WH if mechanism == Mechanism.SBBA else 0
        yield lambda: self._all.sign(operator, tx.OpenRound, **named, **times)
        round_id = round_key(site, start_s)
        for port, name in zip(PORTS, self._chance.sample(DRIVERS[:6], len(PORTS)), strict=True):
            yield partial(self._all.mint, name, 300)
            yield partial(self._plug, site, operator, port, name)
            yield partial(self._meets, round_id, site, port)

    def _plug(self, site: str, operator: str, port: str, name: str) -> bytes | None:
        """A port gets a car, if it has none."""
        at = self._all.host.get("ports", f"{site}/{port}".encode())
        if at is None or at.wallet:
            return None
        wallet = self._all.key(name).public
        return self._all.sign(operator, tx.CheckIn, site=site, port=port, wallet=wallet)

    def _meets(self, round_id: bytes, site: str, port: str) -> bytes | None:
        """Who is at a port orders."""
        at = self._all.host.get("ports", f"{site}/{port}".encode())
        if at is None or not at.wallet or self._all.host.get("rounds", round_id) is None:
            return None
        book = [order for _, order in self._all.host.items("orders", round_id)]
        order = self.order(self._all.names[at.wallet], round_id, port, book)
        return self._sealers.sealed(order)

    def lot_wh(self, mechanism: Mechanism) -> int:
        """The one size that an operator names for a round, mostly rightly."""
        wants = (mechanism == Mechanism.SBBA) != (self._chance.random() < 0.03)
        return LOT_WH if wants else 0

    def order(self, by: str, round_id: bytes, port: str, book: list[Order]) -> bytes:
        """An order on the side that the book lacks, seldom one that no auction takes."""
        market_round: Round = self._all.host.get("rounds", round_id)
        prices, twice = market_round.prices, market_round.mechanism == Mechanism.V2V
        buyers = sum(isinstance(order, BuyOrder) for order in book)
        sells = self._chance.random() < (0.8 if 2 * buyers > len(book) else 0.25)
        limit, most = self._limit(prices, sells), self._chance.choice(SIZES_WH)
        odd = self._chance.random() < 0.04
        shared: dict[str, Any] = {"round_id": round_id, "port": port, "max_wh": most}
        shared["limit_ucoin_per_kwh"] = limit if twice != odd else 0
        if sells:
            ask = self._chance.choice((0, 30_001)) if twice else limit
            slope = self._chance.choice((0, 10_000)) if twice != odd else 0
            return self._all.sign(
                by,
                tx.PlaceSellOrder,
                ask_ucoin_per_kwh=ask,
                slope_ucoin_per_kwh2=slope,
                **shared,
            )
        high = self._chance.choice((250_000, 400_001)) if twice else limit
        low = self._chance.choice((20_000, high)) if twice != odd else high
        least = self._chance.choice((0, 0, 0, most // 3, most))
        return self._all.sign(
            by,
            tx.PlaceBuyOrder,
            min_wh=least,
            price_high_ucoin_per_kwh=high,
            price_low_ucoin_per_kwh=low,
            **shared,
        )

    def _limit(self, prices: Prices, sells: bool) -> int:
        """A price within the grid's, such that most bids reach most asks, at one of them, or just
        beyond."""
        feed_in, retail = prices.feed_in_ucoin_per_kwh, prices.retail_ucoin_per_kwh
        if self._chance.random() < 0.2:
            edge = self._chance.choice((feed_in, retail))
            return max(edge + self._chance.choice(BESIDE), 0)
        return feed_in + (retail - feed_in) * self._chance.choice(NEAR[sells]) // 7

    def revise(self) -> bytes | None:
        """A loser comes to meet the first round's price, or somebody does what nobody may."""
        found: list[tuple[bytes, Round, Order]] = []
        for _, entry in self._all.host.items("agenda"):
            market_round: Round = self._all.host.get("rounds", entry.round_id)
            waits = market_round.status in (RoundStatus.CLOSED, RoundStatus.OPEN)
            twice = market_round.mechanism == Mechanism.V2V
            if waits and (twice or self._chance.random() < 0.05):
                orders = self._all.host.items("orders", entry.round_id)
                found += [(entry.round_id, market_round, order) for _, order in orders]
        closed = [row for row in found if row[1].status == RoundStatus.CLOSED]
        if not found:
            return None
        wanted = closed if closed and self._chance.random() < 0.95 else found
        round_id, market_round, order = self._chance.choice(wanted)
        first, prices = market_round.first, market_round.prices
        buys = isinstance(order, BuyOrder)
        point = prices.retail_ucoin_per_kwh if buys else prices.feed_in_ucoin_per_kwh
        if first is not None and self._chance.random() < 0.6:
            point = first.buyer_price_ucoin_per_kwh if buys else first.seller_price_ucoin_per_kwh
        by = self._all.names[order.owner]
        known = self._chance.random() < 0.97
        return self._all.sign(
            self._chance.choice(DRIVERS) if self._chance.random() < 0.2 else by,
            tx.ReviseOrder,
            round_id=round_id if self._chance.random() < 0.98 else round_id + b"?",
            order_id=order.order_id if known else digest(b"no order"),
            limit_ucoin_per_kwh=max(point + self._chance.choice(BESIDE), 0),
        )
