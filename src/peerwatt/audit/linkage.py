"""What a reader of the ledger can join: which orders are of one car, by each kind of evidence.

Knows blocks, as anybody may read them. Which orders truly are of one car comes from whoever knows,
and only scores the guesses. A guess names an earlier order; it is right if that is the same car's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peerwatt.hosts.replica import Replica
from peerwatt.records import transactions as tx
from peerwatt.reporting.linkage import Joined

BUY, SELL = "buy", "sell"


class Seen(NamedTuple):
    """An order as it stands in a block, and what stands there about its wallet and its port."""

    order_id: bytes
    slot: bytes
    """The round's start; compares as time does."""
    wallet: bytes
    place: str
    """Site and port; the port's meter says the same."""
    stay: int
    """Which stay at that port: a wallet that is checked in where another is checked out in the same
    block counts as the same car."""
    deposit: tuple[int, int] | None
    """Height and amount of the coins that were minted for the wallet."""
    group: bytes
    """The least of all wallets that transfers connect with this one."""
    side: str
    figures: tuple[int, ...]
    """A buyer's minimum, maximum and two prices, a seller's maximum, ask and slope."""


@dataclass(slots=True)
class _Reader:
    """Reads blocks in order, and remembers what it can join to later orders."""

    stays: dict[str, int] = field(default_factory=dict)
    freed: dict[str, int] = field(default_factory=dict)
    last_stay: int = 0
    deposits: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    joined: dict[bytes, bytes] = field(default_factory=dict)
    orders: list[tuple[bytes, str, tx.PlaceBuyOrder | tx.PlaceSellOrder, int]] = field(
        default_factory=list
    )

    def read(self, height: int, transaction: tx.Transaction, message: tx.Message) -> None:
        """Take in one accepted message."""
        match message:
            case tx.CheckOut():
                self.freed[f"{message.site}/{message.port}"] = height
            case tx.CheckIn():
                place = f"{message.site}/{message.port}"
                if self.freed.get(place) != height:
                    self.last_stay += 1
                    self.stays[place] = self.last_stay
            case tx.Mint():
                self.deposits[message.to] = (height, message.amount_ucoin)
            case tx.Transfer():
                one, other = sorted((self.group(message.signer), self.group(message.to)))
                self.joined[other] = one
            case tx.PlaceBuyOrder() | tx.PlaceSellOrder():
                place = f"{message.round_id[8:].decode()}/{message.port}"
                stay = self.stays.get(place, 0)
                self.orders.append((transaction.message_id, place, message, stay))
            case _:
                pass

    def group(self, wallet: bytes) -> bytes:
        """The least wallet that transfers connect with this one, itself if none do."""
        while wallet in self.joined:
            wallet = self.joined[wallet]
        return wallet


def seen_orders(chain: Replica) -> list[Seen]:
    """Every accepted order of a chain, by slot and order id."""
    reader = _Reader()
    for height in range(1, chain.height + 1):
        receipts = chain.receipts(height)
        for data, receipt in zip(chain.block(height).transactions, receipts, strict=True):
            if receipt.ok:
                reader.read(height, *tx.parse(data))
    found = [_seen(reader, *each) for each in reader.orders]
    return sorted(found, key=lambda each: (each.slot, each.order_id))


def _seen(
    reader: _Reader,
    order_id: bytes,
    place: str,
    message: tx.PlaceBuyOrder | tx.PlaceSellOrder,
    stay: int,
) -> Seen:
    figures: tuple[int, ...]
    if isinstance(message, tx.PlaceBuyOrder):
        prices = (message.price_high_ucoin_per_kwh, message.price_low_ucoin_per_kwh)
        figures = (message.min_wh, message.max_wh, *prices)
    else:
        figures = (message.max_wh, message.ask_ucoin_per_kwh, message.slope_ucoin_per_kwh2)
    return Seen(
        order_id=order_id,
        slot=message.round_id[:8],
        wallet=message.signer,
        place=place,
        stay=stay,
        deposit=reader.deposits.get(message.signer),
        group=reader.group(message.signer),
        side=BUY if isinstance(message, tx.PlaceBuyOrder) else SELL,
        figures=figures,
    )


Guess = Callable[[Seen, Sequence[Seen]], Seen | None]
"""Given an order and all of earlier slots, in order, the one that is believed to be its car's."""


def _by(key: Callable[[Seen], object]) -> Guess:
    """The latest earlier order that is alike in something."""

    def guess(order: Seen, before: Sequence[Seen]) -> Seen | None:
        mine = key(order)
        return next((each for each in reversed(before) if key(each) == mine), None)

    return guess


def _blindly(order: Seen, before: Sequence[Seen]) -> Seen | None:
    """Any order of the slot before, which is as good as none; ids are as good as chance."""
    return before[-1] if before else None


def _by_amounts(order: Seen, before: Sequence[Seen]) -> Seen | None:
    """The order of the slot before, of the same side, whose figures are nearest."""
    if not before:
        return None
    last = before[-1].slot
    alike = [each for each in before if each.slot == last and each.side == order.side]
    return min(alike, key=lambda each: (_distance(order, each), each.order_id), default=None)


def _distance(one: Seen, other: Seen) -> float:
    """By how much figures differ, each relative to the larger."""
    pairs = zip(one.figures, other.figures, strict=True)
    return sum(abs(a - b) / max(a, b) for a, b in pairs if a != b)


def _by_transfers(order: Seen, before: Sequence[Seen]) -> Seen | None:
    """The latest order of another wallet that transfers connect with this one."""
    alike = (each for each in reversed(before) if each.group == order.group)
    return next((each for each in alike if each.wallet != order.wallet), None)


def _by_all(order: Seen, before: Sequence[Seen]) -> Seen | None:
    """The surest evidence that there is."""
    for guess in (EVIDENCE["wallet"], EVIDENCE["transfers"], EVIDENCE["port and time"]):
        found = guess(order, before)
        if found is not None:
            return found
    return None


EVIDENCE: dict[str, Guess] = {
    "wallet": _by(lambda order: order.wallet),
    "port, meter": _by(lambda order: order.place),
    "port and time": _by(lambda order: order.stay),
    "amounts, prices": _by_amounts,
    "funding": _by(lambda order: order.deposit),
    "transfers": _by_transfers,
    "all together": _by_all,
    "a blind guess": _blindly,
}
"""By which an order is joined to an earlier one: its wallet's key; the latest order at its port, or
at the same meter; the same without a pause; what it says; when and with how much its wallet was
funded; coins sent from wallet to wallet. A blind guess tells what chance alone would join."""


def linkage(orders: Sequence[Seen], car_of: Mapping[bytes, str]) -> list[Joined]:
    """How well each kind of evidence joins these orders; `car_of` has the truth by order id, and
    orders that it does not have are left out."""
    known = [order for order in orders if order.order_id in car_of]
    return [_joined(name, guess, known, car_of) for name, guess in EVIDENCE.items()]


def _joined(name: str, guess: Guess, orders: Sequence[Seen], car_of: Mapping[bytes, str]) -> Joined:
    links = {order.order_id: found for order, found in _guesses(guess, orders)}
    first: dict[str, None] = {}
    later = guessed = right = 0
    for order in orders:
        car, found = car_of[order.order_id], links[order.order_id]
        is_later, first[car] = car in first, None
        later += is_later
        guessed += found is not None
        right += found is not None and car_of[found.order_id] == car
    whole, cars = _whole(orders, links, car_of)
    return Joined(name, later, guessed, right, cars, whole)


def _guesses(guess: Guess, orders: Sequence[Seen]) -> Iterator[tuple[Seen, Seen | None]]:
    """A guess for every order from those of earlier slots."""
    start = 0
    for at, order in enumerate(orders):
        if order.slot != orders[start].slot:
            start = at
        yield order, guess(order, orders[:start])


def _whole(
    orders: Sequence[Seen], links: Mapping[bytes, Seen | None], car_of: Mapping[bytes, str]
) -> tuple[int, int]:
    """How many cars with two orders or more are one chain of guesses and nothing else, and how
    many such cars there are."""
    chain_of: dict[bytes, bytes] = {}
    for order in orders:
        found = links[order.order_id]
        before = None if found is None else chain_of[found.order_id]
        chain_of[order.order_id] = order.order_id if before is None else before
    chains: dict[str, list[bytes]] = {}
    cars: dict[bytes, dict[str, None]] = {}
    for order_id, chain in chain_of.items():
        chains.setdefault(car_of[order_id], []).append(chain)
        cars.setdefault(chain, {})[car_of[order_id]] = None
    several = [mine for mine in chains.values() if len(mine) > 1]
    return sum(len({*mine}) == 1 == len(cars[mine[0]]) for mine in several), len(several)
