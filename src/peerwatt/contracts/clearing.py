"""A closed book becomes awards: energy from the auction, prices from the tariff's price rule.

Knows state and the auction. Holds shrink to what each award can still cost.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, hold, release
from peerwatt.contracts.auction import Book, Outcome, clear
from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import AWARDS, ORDERS, PORT_ORDERS, State
from peerwatt.records.codec import encode
from peerwatt.records.market import (
    Award,
    BuyOrder,
    Clearing,
    PriceRule,
    Prices,
    Round,
    SellOrder,
    Side,
)
from peerwatt.units import cost_ceil_ucoin


class Pricing(NamedTuple):
    """What buyers pay and each seller of the book is paid, in ucoin/kWh."""

    buyer_price: int
    seller_prices: list[int]


def clear_round(state: State, round_id: bytes, market_round: Round) -> Round:
    """Clear a closed round's book; awards are written and sealed, orders are gone."""
    book = _book(state, round_id, market_round)
    supplier = site_of(state, market_round.site).supplier
    free_ucoin = account_of(state, supplier).free_ucoin
    outcome = clear(book)
    supplier_held = _surplus_cost(outcome, market_round.prices)
    dropped = supplier_held > free_ucoin
    if dropped:
        book = book._replace(sells=[], export_limit_wh=0)
        outcome = clear(book)
        supplier_held = 0
    hold(state, supplier, supplier_held)
    pricing = price(book, outcome)
    awards = award(book, outcome, pricing)
    _write(state, round_id, awards)
    root = state.seal("awards", round_id, [(each.order_id, encode(each)) for each in awards])
    return replace(
        market_round,
        awaited_readings=len(awards) + 1,
        awards_root=root,
        clearing=Clearing(
            price_ucoin_per_kwh=outcome.price_ucoin_per_kwh,
            buyer_price_ucoin_per_kwh=pricing.buyer_price,
            bought_wh=sum(outcome.bought_wh),
            sold_wh=sum(outcome.sold_wh),
            import_wh=outcome.import_wh,
            export_wh=outcome.export_wh,
            supplier_held_ucoin=supplier_held,
            sellers_dropped=dropped,
        ),
    )


def _book(state: State, round_id: bytes, market_round: Round) -> Book:
    orders = [order for _, order in state.items(ORDERS, round_id)]
    return Book(
        mechanism=market_round.mechanism,
        buys=[order for order in orders if isinstance(order, BuyOrder)],
        sells=[order for order in orders if isinstance(order, SellOrder)],
        prices=market_round.prices,
        import_limit_wh=market_round.import_limit_wh,
        export_limit_wh=market_round.export_limit_wh,
    )


def _surplus_cost(outcome: Outcome, prices: Prices) -> int:
    """What the supplier pays at most if no car takes what the sellers were awarded."""
    return cost_ceil_ucoin(sum(outcome.sold_wh), prices.feed_in_ucoin_per_kwh)


def price(book: Book, outcome: Outcome) -> Pricing:
    """Buyers' and sellers' prices under the tariff's rule.

    `marginal`: the clearing price, less the local fee for sellers. `midpoint`: grid energy
    passes through at retail and feed-in; what cars sell to cars is paid at the midpoint of ask
    and clearing price; buyers share the whole cost. Buyers' prices round up, sellers' down.
    """
    fee = book.prices.local_fee_ucoin_per_kwh
    seller_price = max(outcome.price_ucoin_per_kwh - fee, 0)
    sold, bought = sum(outcome.sold_wh), sum(outcome.bought_wh)
    if book.prices.price_rule == PriceRule.MARGINAL or bought == 0:
        return Pricing(outcome.price_ucoin_per_kwh, [seller_price] * len(book.sells))
    local = sold - outcome.export_wh
    midpoints = [(order.ask_ucoin_per_kwh + seller_price) // 2 for order in book.sells]
    blends = [
        (midpoint * local + seller_price * outcome.export_wh) // sold if sold else 0
        for midpoint in midpoints
    ]
    sellers_cost = sum(p * e for p, e in zip(blends, outcome.sold_wh, strict=True))
    grid_cost = (
        book.prices.retail_ucoin_per_kwh * outcome.import_wh
        - book.prices.feed_in_ucoin_per_kwh * outcome.export_wh
    )
    buyer_price = -(-(sellers_cost + fee * local + grid_cost) // bought)
    return Pricing(max(buyer_price, 0), blends)


def award(book: Book, outcome: Outcome, pricing: Pricing) -> list[Award]:
    """The awards of all who got energy, by id, each with the hold that it still needs."""
    replacement = max(book.prices.retail_ucoin_per_kwh, pricing.buyer_price)
    penalty = book.prices.shortfall_penalty_ucoin_per_kwh
    awards = [
        _award(order, Side.BUY, energy_wh, pricing.buyer_price, pricing.buyer_price)
        for order, energy_wh in zip(book.buys, outcome.bought_wh, strict=True)
    ]
    sells = zip(book.sells, outcome.sold_wh, pricing.seller_prices, strict=True)
    for order, energy_wh, price_paid in sells:
        at_risk = max(replacement - price_paid, 0) + penalty
        awards.append(_award(order, Side.SELL, energy_wh, price_paid, at_risk))
    return sorted((each for each in awards if each.energy_wh), key=lambda each: each.order_id)


def _award(
    order: BuyOrder | SellOrder, side: Side, energy_wh: int, unit_price: int, at_risk: int
) -> Award:
    return Award(
        order_id=order.order_id,
        owner=order.owner,
        port=order.port,
        side=side,
        energy_wh=energy_wh,
        price_ucoin_per_kwh=unit_price,
        held_ucoin=cost_ceil_ucoin(energy_wh, at_risk),
    )


def _write(state: State, round_id: bytes, awards: list[Award]) -> None:
    """Replace every order by its award, or by nothing, and free what is held no longer."""
    held = {each.order_id: each.held_ucoin for each in awards}
    for order_id, order in state.items(ORDERS, round_id):
        release(state, order.owner, order.held_ucoin - held.get(order_id, 0))
        state.delete(ORDERS, order_id, round_id)
        if order_id not in held:
            state.delete(PORT_ORDERS, order.port.encode(), round_id)
    for each in awards:
        state.put(AWARDS, each.order_id, each, round_id)
