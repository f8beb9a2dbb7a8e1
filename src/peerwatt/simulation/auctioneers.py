"""Members that end auctions: honest ones, and all that a dishonest one could think of; with the
agents of everybody's orders, who sign what they are asked for, are silent or stall.

Knows the operator's solver and the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from peerwatt.records import transactions as tx
from peerwatt.records.auction import (
    MAX_PAIRS,
    STALL_ITERATIONS,
    Allocation,
    Bid,
    Invitation,
    LastBids,
    Rents,
    Said,
    Stalled,
    said,
    sign_bid,
)
from peerwatt.records.codec import digest, record_id
from peerwatt.records.market import NO_HASH, BuyOrder, Order, Round, RoundStatus, SellOrder
from peerwatt.simulation.parties import FINE_UCOIN, LOST_LOAD, RETAIL, ROLES, SITES, SLOT_S, Parties
from peerwatt.units import PCOIN_PER_UCOIN

SHARES = (100, 100, 100, 60, 30, 5, 0)
"""Of what an order holds, a buyer bids so many hundredths."""
ABOVE = (0, 0, 1, 30_000, 200_000)
"""By how much a seller bids more than it asks, ucoin/kWh."""
SHIFTS = (1, -1, 10**9, -(10**9), 10**11)
MEMBERS = (*SITES.values(), "grid", "regulator")
Amounts = list[list[int]]
MOST_UWH = 2**63
"""More cannot be told."""


class _Step(NamedTuple):
    """Which book is said to be frozen, who of it is invited, buyers first, what they bid, and what
    they are told."""

    root: bytes
    invitation: bytes
    iteration: int
    orders: list[BuyOrder | SellOrder]
    buyers: int
    bids: Amounts
    rents: Rents
    told: list[tuple[int, ...]]


class Auctioneers:
    """Whoever runs auctions, and whoever is in them."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def act(self, round_id: bytes) -> bytes | None:
        """Something to say about an auction that is under way: an end of it, mostly."""
        orders = [order for _, order in self._all.host.items("orders", round_id)]
        if not orders and self._chance.random() < 0.9:
            return None
        each = self._all.host.get("rounds", round_id)
        early = 2 * self._all.now_s <= each.gate_s + each.clear_by_s and each.proposed is None
        asked = self._all.host.items("absences", round_id)
        # In every other slot somebody is sure to be silent, so that nothing can be ended too soon.
        silent = each.slot_start_s // SLOT_S % 2 == 0 and each.status == RoundStatus.CLOSED
        lot = self._chance.random()
        if not orders or lot < (0.9 if silent and early and not asked else 0.04):
            return self._report(round_id, orders)
        if lot > (0.88 if asked else 0.97):
            return self._confirm(round_id, orders)
        return self._end(round_id, orders)

    def _report(self, round_id: bytes, orders: Sequence[Order]) -> bytes:
        """Somebody is said to be silent, rightly or not."""
        site = self._all.host.get("rounds", round_id).site
        by = SITES.get(site, "operator-north")
        if self._chance.random() < 0.15:
            by = self._chance.choice((*ROLES, "ann"))
        ids = [o.order_id for o in orders if self._chance.random() < 0.4]
        if orders and not ids and self._chance.random() < 0.9:
            ids = [self._chance.choice(orders).order_id]
        ids += [digest(b"no order")] * (self._chance.random() < 0.12)
        how = self._chance.random()
        listed = sorted(ids)[::-1] if how < 0.1 else sorted(ids)
        listed += listed[-1:] * (how > 0.95)
        named = self._named(round_id)
        return self._all.sign(by, tx.ReportAbsence, round_id=named, order_ids=tuple(listed))

    def _confirm(self, round_id: bytes, orders: Sequence[Order]) -> bytes:
        """Somebody answers, asked or not."""
        reported = dict(self._all.host.items("absences", round_id))
        asked = [o for o in orders if o.order_id in reported] or list(orders)
        order = self._chance.choice(asked if self._chance.random() < 0.85 else list(orders))
        by = self._all.names[order.owner] if self._chance.random() < 0.75 else "ann"
        order_id = order.order_id if self._chance.random() < 0.88 else digest(b"no order")
        named = self._named(round_id)
        return self._all.sign(by, tx.ConfirmPresence, round_id=named, order_id=order_id)

    def _named(self, round_id: bytes) -> bytes:
        """The round, seldom by a name that none has."""
        return round_id if self._chance.random() < 0.95 else round_id[:-1] + b"?"

    # --- how an auction ends

    def _end(self, round_id: bytes, orders: Sequence[Order]) -> bytes | None:
        host, chance = self._all.host, self._chance
        able = self._able(round_id)
        if not able and chance.random() < 0.9:
            return None
        absences = host.items("absences", round_id)
        silent = [key for key, each in absences if not each.answered]
        if chance.random() < 0.05:
            silent = []
        present = [order for order in orders if order.order_id not in silent]
        stalling = self._stalling(present) if chance.random() < 0.3 else ()
        left_out = [each.order_id for each in stalling]
        step = self._step(round_id, [order for order in present if order.order_id not in left_out])
        lie = chance.random()
        fields = self._fields(round_id, self._false(round_id, step) if lie < 0.4 else step)
        fields["stalling"] = stalling
        if lie > 0.6:
            fields |= chance.choice(self._wrong(fields, step))
        by = chance.choice(able or MEMBERS)
        if chance.random() < 0.05:
            by = chance.choice((*ROLES, "ann"))
        return self._all.sign(by, tx.ProposeAuction, **fields)

    def _able(self, round_id: bytes) -> list[str]:
        """Members that have ended no auction of this round, and can pay for being wrong."""
        ended = dict(self._all.host.items("auctions", round_id))
        return [
            name
            for name in MEMBERS
            if self._all.key(name).public not in ended and self._all.free_ucoin(name) >= FINE_UCOIN
        ]

    def _step(self, round_id: bytes, present: Sequence[Order]) -> _Step:
        """A step of an auction in which everybody bids by chance, solved if that can be."""
        from peerwatt.market_operator.quantize import allocated_uwh, auction_rents, auction_step
        from peerwatt.mechanisms.iterative_auction import solve_allocation
        from peerwatt.mechanisms.welfare_book import InfeasibleError
        from peerwatt.mechanisms.welfare_newton import NotConvergedError

        market_round: Round = self._all.host.get("rounds", round_id)
        buys = [order for order in present if isinstance(order, BuyOrder)]
        sells = [order for order in present if isinstance(order, SellOrder)]
        orders: list[BuyOrder | SellOrder] = [*buys, *sells]
        payments = [self._payments(order, len(sells) + 1) for order in buys]
        asks = [
            [(order.ask_ucoin_per_kwh + self._chance.choice(ABOVE)) * PCOIN_PER_UCOIN for _ in buys]
            for order in sells
        ]
        paid, costs, least, most, offers = auction_step(market_round, orders, payments, asks)
        try:
            found = solve_allocation(
                paid, costs, minimum_kwh=least, maximum_kwh=most, supply_kwh=offers
            )
            rents = auction_rents(found)
        except (InfeasibleError, NotConvergedError):
            rents = Rents(buyers=(0,) * len(buys), sellers=(0,) * len(sells), grid=0)
        root = market_round.orders_root if self._chance.random() < 0.93 else digest(b"another")
        return _Step(
            root=root,
            invitation=record_id(
                Invitation(
                    round_id=round_id,
                    orders_root=root,
                    run=1,
                    buyers=tuple(order.order_id for order in buys),
                    sellers=tuple(order.order_id for order in sells),
                )
            ),
            iteration=self._chance.choice((1, 12, 40)),
            orders=orders,
            buyers=len(buys),
            bids=[*payments, *asks],
            rents=rents,
            told=allocated_uwh(market_round, payments, asks, rents),
        )

    def _payments(self, order: BuyOrder, others: int) -> list[int]:
        share = self._chance.choice(SHARES)
        total = order.held_ucoin * PCOIN_PER_UCOIN * share // 100
        weights = [self._chance.choice((0, 1, 1, 3)) for _ in range(others)]
        if not any(weights):
            weights[-1] = 1
        return [total * weight // sum(weights) for weight in weights]

    def _said(
        self, step: _Step, at: int, latest: bool, amounts: Sequence[int], by: str = ""
    ) -> Said:
        """What an order's agent says, of a step or in answer to it."""
        order, answers = step.orders[at], NO_HASH
        if latest:
            answers = record_id(
                Allocation(
                    invitation=step.invitation,
                    iteration=step.iteration - 1,
                    order_id=order.order_id,
                    energies_uwh=step.told[at],
                )
            )
        bid = Bid(
            invitation=step.invitation,
            iteration=step.iteration - (not latest),
            order_id=order.order_id,
            answers=answers,
            amounts=tuple(amounts),
        )
        key = self._all.key(by or self._all.names[order.owner])
        return said(sign_bid(bid, key, self._all.chain_id))

    def _fields(self, round_id: bytes, step: _Step) -> dict[str, Any]:
        """The end of an auction of which this was the last step but one, and the last hardly any
        different."""
        near = self._chance.choice((0, 0, 1, 900))
        bids = []
        for at, amounts in enumerate(step.bids):
            moved = [amount - amount * near // 10**6 for amount in amounts]
            asked = step.orders[at]
            if isinstance(asked, SellOrder):
                moved = [max(m, asked.ask_ucoin_per_kwh * PCOIN_PER_UCOIN) for m in moved]
            first, last = self._said(step, at, False, amounts), self._said(step, at, True, moved)
            bids.append(LastBids(previous=first, latest=last))
        return {
            "round_id": round_id,
            "orders_root": step.root,
            "run": 1,
            "iteration": step.iteration,
            "before": digest(b"all before"),
            "bids": tuple(bids),
            "rents": step.rents,
        }

    # --- lies

    def _false(self, round_id: bytes, step: _Step) -> _Step:
        """A step that everybody answers, but that is no end of an auction."""
        chance = self._chance
        others = ("free", "lavish", "cheap", "told", "much", "much", "little", "little")
        how = chance.choice((*("rent",) * 3, *others))
        if how == "told":
            told = [tuple(energy + 1 for energy in row) for row in step.told]
            return step._replace(told=told)
        if how == "free" and step.buyers:
            far = -chance.choice((RETAIL, LOST_LOAD)) * PCOIN_PER_UCOIN
            return step._replace(rents=replace(step.rents, buyers=(far,) * step.buyers))
        if how in ("lavish", "cheap", "much", "little"):
            return self._told_again(round_id, self._bent(step, how))
        rents, shift = step.rents, chance.choice(SHIFTS)
        which = chance.choice(("buyers", "sellers", "grid"))
        moved: Any = max(rents.grid + abs(shift), 0)
        if which != "grid":
            least = 0 if which == "sellers" else -LOST_LOAD * PCOIN_PER_UCOIN
            moved = tuple(max(rent + shift, least) for rent in getattr(rents, which))
        return self._told_again(round_id, step._replace(rents=replace(rents, **{which: moved})))

    def _bent(self, step: _Step, how: str) -> _Step:
        """One order bids more than it holds, all of it, hardly anything, or below what it asks."""
        buys = how != "cheap"
        places = range(step.buyers) if buys else range(step.buyers, len(step.orders))
        if not places:
            return step
        at = self._chance.choice(places)
        order, row = step.orders[at], list(step.bids[at])
        if isinstance(order, BuyOrder) and how == "little":
            row = [1] * len(row)
        elif isinstance(order, BuyOrder):
            more = order.held_ucoin * PCOIN_PER_UCOIN - sum(row)
            row[-1] += more + (how == "lavish")
        elif row:
            row[0] = max(order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN - 1, 0)
        return step._replace(bids=[*step.bids[:at], row, *step.bids[at + 1 :]])

    def _told_again(self, round_id: bytes, step: _Step) -> _Step:
        """What these bids come to, where they come to something."""
        from peerwatt.market_operator.quantize import allocated_uwh

        market_round = self._all.host.get("rounds", round_id)
        payments, asks = step.bids[: step.buyers], step.bids[step.buyers :]
        try:
            told = allocated_uwh(market_round, payments, asks, step.rents)
        except ZeroDivisionError:
            return step
        return step._replace(told=[tuple(min(e, MOST_UWH) for e in row) for row in told])

    def _wrong(self, fields: dict[str, Any], step: _Step) -> tuple[dict[str, Any], ...]:
        """One thing in an end that is not as it should be."""
        bids, rents = fields["bids"], fields["rents"]
        wrong: tuple[dict[str, Any], ...] = (
            {"round_id": fields["round_id"][:-1] + b"?"},
            {"orders_root": bytes(32)},
            {"run": 2},
            {"iteration": 0},
            {"iteration": fields["iteration"] + 1},
            {"bids": bids[:-1]},
            {"bids": (*bids, *bids)},
            {"rents": replace(rents, buyers=rents.buyers[:-1])},
            {"rents": replace(rents, sellers=(*rents.sellers, 0))},
        )
        if not bids:
            return wrong
        at = self._chance.randrange(len(bids))
        others = self._bids(step, at, bids[at])
        return (*wrong, *({"bids": (*bids[:at], each, *bids[at + 1 :])} for each in others))

    def _bids(self, step: _Step, at: int, right: LastBids) -> tuple[LastBids, ...]:
        """An order's last bids, of which one is not what it should be."""
        last = right.latest.amounts
        other = [amount + amount // 300 + 10**9 for amount in last]
        forged = self._said(step, at, True, last, by="stranger")
        return (
            LastBids(previous=right.previous, latest=forged),
            LastBids(previous=forged, latest=right.latest),
            LastBids(previous=right.previous, latest=self._said(step, at, True, other)),
            LastBids(previous=right.previous, latest=self._said(step, at, True, last[:-1])),
            LastBids(previous=self._said(step, at, False, last[:-1]), latest=right.latest),
            LastBids(previous=right.previous, latest=replace(right.latest, answers=NO_HASH)),
            LastBids(
                previous=right.previous,
                latest=replace(right.latest, amounts=(0,) * (2 * MAX_PAIRS + 1)),
            ),
        )

    def _stalling(self, present: Sequence[Order]) -> tuple[Stalled, ...]:
        """Somebody moved too far, or so it is said."""
        shown = [self._stalled(order) for order in present if self._chance.random() < 0.4]
        how = self._chance.random()
        if how < 0.2:
            shown += shown[-1:]
        if shown and how > 0.8:
            shown[-1] = replace(shown[-1], order_id=digest(b"no order"))
        return tuple(sorted(shown, key=lambda each: each.order_id))

    def _stalled(self, order: Order) -> Stalled:
        chance = self._chance
        iteration = STALL_ITERATIONS + chance.choice((0, 0, 0, 10, -1))
        before = (1_000_000, 0)
        moved = chance.choice((200_000, 200_000, 200_000, 100_000))
        after: tuple[int, ...] = (before[0] + moved, 0)
        if chance.random() < 0.1:
            after = (*after, 0)
        by = self._all.names[order.owner] if chance.random() < 0.85 else "stranger"
        bids = [
            Bid(
                invitation=NO_HASH,
                iteration=at,
                order_id=order.order_id,
                answers=NO_HASH,
                amounts=amounts,
            )
            for at, amounts in ((iteration - (chance.random() < 0.9), before), (iteration, after))
        ]
        first, last = (said(sign_bid(b, self._all.key(by), self._all.chain_id)) for b in bids)
        return Stalled(
            order_id=order.order_id,
            invitation=NO_HASH,
            iteration=iteration,
            previous=first,
            latest=last,
        )
