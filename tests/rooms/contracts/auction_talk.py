"""Talks auctions for tests: signs what agents would say, and ends as an auctioneer would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pair_books import HUB
from small_hub import key

from peerwatt.market_operator.quantize import allocated_uwh, auction_rents, auction_step
from peerwatt.mechanisms.iterative_auction import solve_allocation
from peerwatt.records.auction import (
    Allocation,
    Bid,
    Invitation,
    LastBids,
    Rents,
    Said,
    Stalled,
    is_settled,
    said,
    sign_bid,
)
from peerwatt.records.codec import digest, record_id
from peerwatt.records.market import (
    NO_HASH,
    BuyOrder,
    Mechanism,
    Order,
    Prices,
    Round,
    RoundStatus,
    SellOrder,
    round_key,
)
from peerwatt.records.transactions import ProposeAuction
from peerwatt.units import PCOIN_PER_UCOIN, UCOIN_PER_COIN, WH_PER_KWH

CHAIN_ID = "sim-auction"
ROUND_ID = round_key("hub", 1_000)
Amounts = list[list[int]]
PCOIN_PER_COIN = PCOIN_PER_UCOIN * UCOIN_PER_COIN


def a_round(prices: Prices = HUB, import_limit_wh: int = 10_000, orders: int = 2) -> Round:
    """A closed round with an auction."""
    return Round(
        site="hub",
        tariff="day",
        mechanism=Mechanism.ITERATIVE_AUCTION,
        status=RoundStatus.CLOSED,
        gate_s=100,
        clear_by_s=500,
        slot_start_s=1_000,
        slot_end_s=1_900,
        settle_by_s=2_000,
        prices=prices,
        import_limit_wh=import_limit_wh,
        export_limit_wh=0,
        order_count=orders,
        awaited_readings=0,
        book_hash=NO_HASH,
        orders_root=digest(b"the book"),
        prices_root=NO_HASH,
        awards_root=NO_HASH,
        readings_root=NO_HASH,
        settlements_root=NO_HASH,
        void_reason=0,
        proposed=None,
        clearing=None,
        totals=None,
    )


def buyer(name: str, limit: int, min_wh: int, max_wh: int) -> BuyOrder:
    """An order of this driver; it holds what it can cost."""
    held = HUB.lost_load_ucoin_per_kwh * min_wh + limit * (max_wh - min_wh)
    return BuyOrder(
        order_id=digest(name.encode()),
        owner=key(name).public,
        port=name,
        min_wh=min_wh,
        max_wh=max_wh,
        price_high_ucoin_per_kwh=limit,
        price_low_ucoin_per_kwh=limit,
        held_ucoin=-(-held // WH_PER_KWH),
    )


def seller(name: str, ask: int, max_wh: int) -> SellOrder:
    return SellOrder(
        order_id=digest(name.encode()),
        owner=key(name).public,
        port=name,
        max_wh=max_wh,
        ask_ucoin_per_kwh=ask,
        slope_ucoin_per_kwh2=0,
        held_ucoin=max_wh * 550,
    )


@dataclass
class Talk:
    """An auction of some orders, by id; `names` tell whose key signs for which owner."""

    market_round: Round
    orders: Sequence[Order]
    names: dict[bytes, str]
    run: int = 1
    round_id: bytes = ROUND_ID
    chain_id: str = CHAIN_ID
    stalling: tuple[Stalled, ...] = ()
    iteration: int = 7

    @property
    def sides(self) -> tuple[list[BuyOrder], list[SellOrder]]:
        """Those who are invited: all but the stalling."""
        stalling = [each.order_id for each in self.stalling]
        invited = [order for order in self.orders if order.order_id not in stalling]
        buys = [order for order in invited if isinstance(order, BuyOrder)]
        return buys, [order for order in invited if isinstance(order, SellOrder)]

    @property
    def invited(self) -> list[Order]:
        buys, sells = self.sides
        return [*buys, *sells]

    @property
    def invitation(self) -> bytes:
        buys, sells = self.sides
        return record_id(
            Invitation(
                round_id=self.round_id,
                orders_root=self.market_round.orders_root,
                run=self.run,
                buyers=tuple(order.order_id for order in buys),
                sellers=tuple(order.order_id for order in sells),
            )
        )

    def bid(self, order: Order, iteration: int, amounts: Sequence[int], **changes: Any) -> Said:
        """What an order's owner says; whatever is changed, it signs."""
        usual: dict[str, Any] = {
            "invitation": self.invitation,
            "iteration": iteration,
            "order_id": order.order_id,
            "answers": NO_HASH,
            "amounts": tuple(amounts),
        }
        by = key(changes.pop("by", self.names[order.owner]))
        return said(sign_bid(Bid(**(usual | changes)), by, self.chain_id))

    def solved(self, payments: Amounts, asks: Amounts) -> Rents:
        """The rents of the allocation that these bids ask for."""
        step = auction_step(self.market_round, self.invited, payments, asks)
        paid, costs, *limits = step
        names = ("minimum_kwh", "maximum_kwh", "supply_kwh")
        return auction_rents(solve_allocation(paid, costs, **dict(zip(names, limits, strict=True))))

    def told(self, payments: Amounts, asks: Amounts, rents: Rents) -> list[tuple[int, ...]]:
        return allocated_uwh(self.market_round, payments, asks, rents)

    def end(
        self,
        payments: Amounts,
        asks: Amounts,
        *,
        rents: Rents | None = None,
        told: list[tuple[int, ...]] | None = None,
        latest: Amounts | None = None,
        **header: Any,
    ) -> dict[str, Any]:
        """The fields of a proposal in which these bids were made, and made again as answers."""
        if rents is None:
            rents = self.solved(payments, asks)
        if told is None:
            told = self.told(payments, asks, rents)
        before = [*payments, *asks]
        bids = []
        for order, first, last, energies in zip(
            self.invited, before, latest or before, told, strict=True
        ):
            allocation = Allocation(
                invitation=self.invitation,
                iteration=self.iteration - 1,
                order_id=order.order_id,
                energies_uwh=energies,
            )
            bids.append(
                LastBids(
                    previous=self.bid(order, self.iteration - 1, first),
                    latest=self.bid(order, self.iteration, last, answers=record_id(allocation)),
                )
            )
        return {
            "round_id": self.round_id,
            "orders_root": self.market_round.orders_root,
            "run": self.run,
            "stalling": self.stalling,
            "iteration": self.iteration,
            "before": digest(b"all before"),
            "bids": tuple(bids),
            "rents": rents,
        } | header

    def message(self, fields: dict[str, Any]) -> ProposeAuction:
        """The message by anybody."""
        return ProposeAuction(
            chain_id=self.chain_id,
            signer=key("operator").public,
            nonce=0,
            valid_until_s=10_000,
            **fields,
        )


@dataclass(frozen=True)
class Car:
    """What nobody is told: w ln(1 + c/kappa) of a buyer, l1 d^2 + l2 d of a seller; coin, kWh."""

    order: Order
    first: float
    second: float

    def answers(self, energies: Sequence[float], before: Sequence[float]) -> list[float]:
        if isinstance(self.order, SellOrder):
            return [2 * self.first * each + self.second for each in energies]
        taken, least = sum(energies), self.order.min_wh / WH_PER_KWH
        value = self.first / (self.second + max(taken - least, 0.0))
        swing = max(taken * value / self.first, 0.0)
        theta = min(max(1 / (swing + 0.1), 0.05), 1.0)
        return [
            b ** (1 - theta) * (value * c) ** theta if b and c else 0.0
            for b, c in zip(before, energies, strict=True)
        ]


def settled(talk: Talk, cars: Sequence[Car], most: int = 200) -> dict[str, Any]:
    """Talk until bids settle; the end of it. Cars are listed as the invited are."""
    buyers, sellers = len(talk.sides[0]), len(talk.sides[1])
    exact = [
        [car.first / car.second * car.order.max_wh / WH_PER_KWH / (sellers + 1)] * (sellers + 1)
        if isinstance(car.order, BuyOrder)
        else car.answers([car.order.max_wh / WH_PER_KWH / buyers] * buyers, [])
        for car in cars
    ]
    bids = [_pcoin(each) for each in exact]
    for iteration in range(1, most):
        payments, asks = bids[:buyers], bids[buyers:]
        rents = talk.solved(payments, asks)
        told = talk.told(payments, asks, rents)
        energies = [[each / 1e9 for each in row] for row in told]
        exact = [
            car.answers(e, before) for car, e, before in zip(cars, energies, exact, strict=True)
        ]
        after = [_pcoin(each) for each in exact]
        sides = (slice(0, buyers), slice(buyers, None))
        if all(is_settled(bids[side], after[side]) for side in sides):
            talk.iteration = iteration
            return talk.end(payments, asks, rents=rents, told=told, latest=after)
        bids = after
    raise AssertionError("bids did not settle")


def _pcoin(amounts: Sequence[float]) -> list[int]:
    return [round(each * PCOIN_PER_COIN) for each in amounts]


def random_talk(seed: int) -> tuple[Talk, list[Car]]:
    """A small book, in which there may be too little for all minima, and what its cars think."""
    chance = random.Random(seed)
    buyers, sellers = chance.randint(1, 4), chance.randint(0, 4)
    cars: list[Car] = []
    for at in range(buyers):
        most = chance.choice([1, 10, 2_000, 11_000])
        least = chance.choice([0, 0, most // 3, most])
        limit = chance.choice([150_000, 250_000, 310_000, 400_000, 500_000])
        scale = max(most - least, 1) / WH_PER_KWH * chance.choice([0.3, 1.0, 4.0])
        order = buyer(f"buyer {seed} {at}", limit, least, most)
        cars.append(Car(order, limit / UCOIN_PER_COIN * scale, scale))
    for at in range(sellers):
        ask, most = chance.choice([0, 50_000, 150_000, 280_000]), chance.choice([1, 700, 5_000])
        order = seller(f"seller {seed} {at}", ask, most)
        cars.append(Car(order, chance.choice([0.0, 0.003, 0.03]), ask / UCOIN_PER_COIN))
    needed = sum(c.order.min_wh for c in cars if isinstance(c.order, BuyOrder))
    market_round = a_round(
        import_limit_wh=chance.choice([needed // 2, needed + 1, needed + 500, needed + 40_000]),
        orders=len(cars),
    )
    cars.sort(key=lambda car: (isinstance(car.order, SellOrder), car.order.order_id))
    names = {key(c.order.port).public: c.order.port for c in cars}
    orders = sorted((car.order for car in cars), key=lambda order: order.order_id)
    return Talk(market_round, orders, names), cars
