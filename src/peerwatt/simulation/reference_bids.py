"""What was said in an auction, and what the reference ledger has against it.

Knows the records and the reference's rows. A buyer's bid on a seller, or on the grid, over their
price is the energy that it gets there, counted in millionths of a Wh. Prices are ucoin per kWh,
energy Wh, money ucoin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from math import floor
from typing import NamedTuple

from peerwatt.records.auction import Allocation, Bid, Invitation, Rents, Said
from peerwatt.records.codec import encode
from peerwatt.records.market import BuyOrder, Order, Round, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import ProposeAuction
from peerwatt.simulation.reference_rows import is_signed

PARTS = 10**6
"""Of a ucoin and of a Wh."""
GRID = b""
ZERO = Fraction(0)
Pairs = Mapping[tuple[bytes, bytes], Fraction]


class Ended(NamedTuple):
    """Who was invited and what they said, by order id; sellers' orders are in the same mapping."""

    round: Round
    buys: Sequence[BuyOrder]
    sells: Sequence[SellOrder]
    paid: Pairs
    """What a buyer bids on a seller or the grid, ucoin."""
    asked: Pairs
    """What a kWh costs a buyer there, fees inside; ucoin/kWh."""
    rents: Mapping[bytes, Fraction]

    @property
    def sources(self) -> list[bytes]:
        """The sellers, and the grid."""
        return [*(order.order_id for order in self.sells), GRID]

    def price(self, buyer: bytes, source: bytes) -> Fraction:
        """What settles energy there, the buyer's own rent apart."""
        return self.asked[buyer, source] + self.rents[source]

    def offer_wh(self, source: bytes) -> int:
        """What there is of it."""
        offers = {order.order_id: order.max_wh for order in self.sells}
        return offers.get(source, self.round.import_limit_wh)


def left_out(message: ProposeAuction) -> list[bytes]:
    """The orders that are said to stall."""
    return [each.order_id for each in message.stalling]


def against_stalling(orders: Sequence[Order], message: ProposeAuction) -> list[Reason]:
    """What is wrong with how orders are left out."""
    owners = {order.order_id: order.owner for order in orders}
    wrong = []
    if left_out(message) != sorted(dict.fromkeys(left_out(message))):
        wrong.append(Reason.OUT_OF_ORDER)
    for each in message.stalling:
        owner = owners.get(each.order_id)
        if owner is None:
            wrong.append(Reason.UNKNOWN_ORDER)
            continue
        before, after = each.previous, each.latest
        signed = all(
            _is_signed(message, owner, said, each.invitation, iteration, each.order_id)
            for said, iteration in ((before, each.iteration - 1), (after, each.iteration))
        )
        alike = len(before.amounts) == len(after.amounts)
        if not signed or not alike or not _moved_too_far(each.iteration, before, after):
            wrong.append(Reason.WRONGLY_LEFT_OUT)
    return wrong


def _moved_too_far(iteration: int, before: Said, after: Said) -> bool:
    """From the 30th iteration on a bid may move by its 10th part, then 11th, 12th and so on."""
    moved = sum((a - b) ** 2 for a, b in zip(before.amounts, after.amounts, strict=True))
    most = sum(Fraction(a**2, max(iteration - 20, 1) ** 2) for a in before.amounts)
    return iteration >= 30 and moved > most


def _is_signed(
    message: ProposeAuction, owner: bytes, said: Said, invitation: bytes, at: int, order_id: bytes
) -> bool:
    if at < 0:
        return False
    bid = Bid(
        invitation=invitation,
        iteration=at,
        order_id=order_id,
        answers=said.answers,
        amounts=said.amounts,
    )
    return is_signed(owner, "bid", message.chain_id, encode(bid), said.signature)


def heard(
    market_round: Round,
    buys: Sequence[BuyOrder],
    sells: Sequence[SellOrder],
    message: ProposeAuction,
) -> Ended:
    """The bids from which the last allocation was made; on a connection that carries nothing, none
    counts."""
    prices = market_round.prices
    fee = prices.network_fee_ucoin_per_kwh + prices.platform_fee_ucoin_per_kwh
    fee += prices.levy_ucoin_per_kwh
    sources = [*(order.order_id for order in sells), GRID]
    said = [each.previous.amounts for each in message.bids]
    asks = dict(zip(sources, said[len(buys) :], strict=False))
    paid, asked = {}, {}
    for at, order in enumerate(buys):
        for source, bid in zip(sources, said[at], strict=True):
            counts = source != GRID or market_round.import_limit_wh > 0
            pair = order.order_id, source
            paid[pair] = Fraction(bid, PARTS) if counts else ZERO
            asked[pair] = Fraction(prices.retail_ucoin_per_kwh)
            if source != GRID:
                asked[pair] = Fraction(asks[source][at], PARTS) + fee
    return Ended(market_round, buys, sells, paid, asked, _by_order(buys, sells, message.rents))


def _by_order(
    buys: Sequence[BuyOrder], sells: Sequence[SellOrder], rents: Rents
) -> dict[bytes, Fraction]:
    orders: list[BuyOrder | SellOrder] = [*buys, *sells]
    listed = zip(orders, (*rents.buyers, *rents.sellers), strict=True)
    of = {order.order_id: Fraction(rent, PARTS) for order, rent in listed}
    return of | {GRID: Fraction(rents.grid, PARTS)}


def energies_of(ended: Ended) -> Pairs | None:
    """What each bid gets; none where energy would cost nothing."""
    energies = {}
    for pair, paid in ended.paid.items():
        price = ended.price(*pair) + ended.rents[pair[0]]
        if price <= 0 and paid:
            return None
        energies[pair] = Fraction(floor(1000 * paid / price * PARTS), PARTS) if paid else ZERO
    return energies


def against_bids(
    message: ProposeAuction, listed: Sequence[BuyOrder | SellOrder], buyers: int
) -> list[Reason]:
    """What is wrong with what was said and signed."""
    wrong = []
    invitation = Invitation(
        round_id=message.round_id,
        orders_root=message.orders_root,
        run=message.run,
        buyers=tuple(order.order_id for order in listed[:buyers]),
        sellers=tuple(order.order_id for order in listed[buyers:]),
    )
    invited = sha256(encode(invitation)).digest()
    for order, bids in zip(listed, message.bids, strict=True):
        for said, at in ((bids.previous, message.iteration - 1), (bids.latest, message.iteration)):
            if not _is_signed(message, order.owner, said, invited, at, order.order_id):
                wrong.append(Reason.BAD_BID_SIGNATURE)
            if isinstance(order, BuyOrder):
                if sum(said.amounts) > order.held_ucoin * PARTS:
                    wrong.append(Reason.UNBACKED_BID)
            elif any(amount < order.ask_ucoin_per_kwh * PARTS for amount in said.amounts):
                wrong.append(Reason.BELOW_COST)
    for side in (message.bids[:buyers], message.bids[buyers:]):
        moved = sum(
            (a - b) ** 2
            for each in side
            for a, b in zip(each.previous.amounts, each.latest.amounts, strict=True)
        )
        if moved > Fraction(sum(a**2 for each in side for a in each.latest.amounts), 1000**2):
            wrong.append(Reason.NOT_SETTLED)
    return wrong


def against_answers(message: ProposeAuction, ended: Ended, energies: Pairs) -> list[Reason]:
    """The last bids have to answer these very energies."""
    invitation = Invitation(
        round_id=message.round_id,
        orders_root=message.orders_root,
        run=message.run,
        buyers=tuple(order.order_id for order in ended.buys),
        sellers=tuple(order.order_id for order in ended.sells),
    )
    rows = {b.order_id: [energies[b.order_id, s] for s in ended.sources] for b in ended.buys}
    for order in ended.sells:
        rows[order.order_id] = [energies[b.order_id, order.order_id] for b in ended.buys]
    for (order_id, row), bids in zip(rows.items(), message.bids, strict=True):
        told = Allocation(
            invitation=sha256(encode(invitation)).digest(),
            iteration=message.iteration - 1,
            order_id=order_id,
            energies_uwh=tuple(int(energy_wh * PARTS) for energy_wh in row),
        )
        if sha256(encode(told)).digest() != bids.latest.answers:
            return [Reason.NOT_ANSWERED]
    return []
