"""A frozen book becomes awards: cleared by the ledger itself, or by what a proposal has proved.

Knows state, the auctions and the proofs. Holds shrink to what each award can still cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, hold, release
from peerwatt.contracts.among_cars import clear_among_cars
from peerwatt.contracts.auction import Book, Outcome, clear
from peerwatt.contracts.certificates import one_price_gap_ucoin
from peerwatt.contracts.feeders import buyers_alone, find
from peerwatt.contracts.own_prices import certify as certify_own_prices
from peerwatt.contracts.own_prices import own_prices
from peerwatt.contracts.pairs import certify as certify_pairs
from peerwatt.contracts.pairs import split_prices
from peerwatt.contracts.proved import Flaw, ProvedOutcome
from peerwatt.contracts.revisions import take_revisions
from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import (
    AWARDS,
    ORDERS,
    PORT_ORDERS,
    AuctionEnd,
    InvariantError,
    PriceList,
    State,
)
from peerwatt.records.codec import encode
from peerwatt.records.market import (
    NO_HASH,
    Award,
    BuyOrder,
    Clearing,
    Mechanism,
    PriceRule,
    Prices,
    Round,
    SellOrder,
    Side,
)
from peerwatt.units import WH_PER_KWH, cost_ceil_ucoin

PRICE_BYTES = 8
NOTHING: Mapping[bytes, int] = {}


class Pricing(NamedTuple):
    """What each buyer of the book pays and each seller is paid, in ucoin/kWh; the most that one
    pays."""

    buyer_prices: list[int]
    seller_prices: list[int]
    buyer_price: int


class Cleared(NamedTuple):
    """A book with its outcome and prices, and the proof's figures."""

    book: Book
    outcome: Outcome
    pricing: Pricing
    gap_ucoin: int
    traded_ucoin: int
    feeder_prices: tuple[int, ...] = ()


def clear_book(book: Book, revised: Mapping[bytes, int] = NOTHING) -> Cleared:
    """What the ledger finds by itself: one price for all, or what an auction among cars and the
    grid come to; `revised` are limits for the second of two rounds, by order."""
    if book.mechanism.among_cars:
        return _among_cars(book, revised)
    outcome = clear(book)
    value = outcome.price_ucoin_per_kwh * sum(outcome.bought_wh)
    gap_ucoin = one_price_gap_ucoin(book, outcome)
    return Cleared(book, outcome, price(book, outcome), gap_ucoin, value // WH_PER_KWH)


def grid_alone(book: Book) -> Cleared:
    """Buyers against the grid, at retail, minima first, within the feeders' limits: what is left
    where nobody's energy can be sold."""
    return clear_book(buyers_alone(book))


def price_count(market_round: Round) -> int:
    """How many prices a proposed clearing of the round has, its feeders' not counted."""
    return market_round.order_count if market_round.mechanism == Mechanism.WELFARE_PAIRS else 1


def clear_proposed(
    book: Book,
    orders: Sequence[BuyOrder | SellOrder],
    prices: Sequence[int],
    feeder_prices: Sequence[int],
) -> Cleared | Flaw:
    """The clearing that proposed prices prove, `price_count` of them and one for each limited
    feeder; or what is wrong with them."""
    if book.mechanism == Mechanism.WELFARE_PAIRS:
        found = certify_pairs(book, split_prices(orders, prices, feeder_prices))
    else:
        found = certify_own_prices(book, prices[0], feeder_prices)
    if isinstance(found, Flaw):
        return found
    return _proved(book, found, tuple(feeder_prices))


def _proved(book: Book, found: ProvedOutcome, feeder_prices: tuple[int, ...]) -> Cleared:
    """A proved clearing with its prices. One price for all allows the midpoint rule, as long as
    what it has buyers pay is no more than that price; where a feeder is full, there is none."""
    outcome = Outcome(
        price_ucoin_per_kwh=found.grid_price,
        bought_wh=found.bought_wh,
        sold_wh=found.sold_wh,
        import_wh=found.import_wh,
        export_wh=found.export_wh,
    )
    paying = [p for p, e in zip(found.buyer_prices, found.bought_wh, strict=True) if e]
    pricing = Pricing(found.buyer_prices, found.seller_prices, max(paying, default=0))
    if book.mechanism == Mechanism.WELFARE_PROPOSED and not any(feeder_prices):
        ruled = price(book, outcome)
        if ruled.buyer_price <= outcome.price_ucoin_per_kwh:
            pricing = ruled
    return Cleared(book, outcome, pricing, found.gap_ucoin, found.traded_ucoin, feeder_prices)


def _among_cars(book: Book, revised: Mapping[bytes, int]) -> Cleared:
    """Cars among themselves, and the grid for the rest."""
    found = clear_among_cars(book, revised)
    paying = [p for p, e in zip(found.buyer_prices, found.outcome.bought_wh, strict=True) if e]
    pricing = Pricing(found.buyer_prices, found.seller_prices, max(paying, default=0))
    return Cleared(book, found.outcome, pricing, found.gap_ucoin, found.traded_ucoin)


def without_sellers(book: Book, revised: Mapping[bytes, int] = NOTHING) -> Cleared:
    """What buyers get where the supplier cannot stand behind what sellers would sell."""
    if book.mechanism.among_cars:
        return _among_cars(book._replace(sells=[]), revised)
    return grid_alone(book)


def served(book: Book, ended: AuctionEnd) -> Cleared:
    """The clearing that the end of an auction came to; whom it leaves out gets nothing."""
    rows = {each.order_id: each for each in ended.served}

    def energies(orders: Sequence[BuyOrder | SellOrder]) -> list[int]:
        return [rows[each.order_id].energy_wh if each.order_id in rows else 0 for each in orders]

    def prices(orders: Sequence[BuyOrder | SellOrder]) -> list[int]:
        known = [rows.get(each.order_id) for each in orders]
        return [0 if row is None else row.price_ucoin_per_kwh for row in known]

    outcome = Outcome(
        price_ucoin_per_kwh=ended.grid_price_ucoin_per_kwh,
        bought_wh=energies(book.buys),
        sold_wh=energies(book.sells),
        import_wh=ended.import_wh,
        export_wh=0,
    )
    paid = prices(book.buys)
    pricing = Pricing(paid, prices(book.sells), max(paid, default=0))
    return Cleared(book, outcome, pricing, ended.gap_ucoin, ended.traded_ucoin)


def clear_round(
    state: State,
    round_id: bytes,
    market_round: Round,
    won: PriceList | AuctionEnd | None = None,
) -> Round:
    """Clear a frozen book: by the prices or the auction of the proposal that won, or by the ledger
    alone; awards are written and sealed, orders and what was said of them are gone."""
    orders = [order for _, order in state.items(ORDERS, round_id)]
    book = book_of(market_round, orders)
    supplier = site_of(state, market_round.site).supplier
    revised = take_revisions(state, round_id)
    cleared = _cleared(book, orders, won, revised)
    supplier_held = _surplus_cost(cleared.outcome, market_round.prices)
    backed = supplier_held <= account_of(state, supplier).free_ucoin
    if not backed:
        cleared, supplier_held = without_sellers(book, revised), 0
    dropped = cleared.book is not book
    proposed = None if dropped else market_round.proposed
    prices_root = NO_HASH
    if proposed is not None and isinstance(won, PriceList):
        listed = sealed_prices(book, orders, won.prices, won.feeder_prices)
        prices_root = state.seal("prices", round_id, listed)
    hold(state, supplier, supplier_held)
    awards = award(cleared.book, cleared.outcome, cleared.pricing)
    _write(state, round_id, awards)
    root = state.seal("awards", round_id, [(each.order_id, encode(each)) for each in awards])
    return replace(
        market_round,
        prices_root=prices_root,
        awaited_readings=len(awards) + 1,
        awards_root=root,
        clearing=Clearing(
            price_ucoin_per_kwh=cleared.outcome.price_ucoin_per_kwh,
            buyer_price_ucoin_per_kwh=cleared.pricing.buyer_price,
            bought_wh=sum(cleared.outcome.bought_wh),
            sold_wh=sum(cleared.outcome.sold_wh),
            import_wh=cleared.outcome.import_wh,
            export_wh=cleared.outcome.export_wh,
            supplier_held_ucoin=supplier_held,
            sellers_dropped=dropped,
            proposer=b"" if proposed is None else proposed.proposer,
            gap_ucoin=cleared.gap_ucoin,
            traded_ucoin=cleared.traded_ucoin,
            feeder_prices=cleared.feeder_prices,
        ),
    )


def _cleared(
    book: Book,
    orders: Sequence[BuyOrder | SellOrder],
    won: PriceList | AuctionEnd | None,
    revised: Mapping[bytes, int],
) -> Cleared:
    if not book.mechanism.proposed:
        return clear_book(book, revised)
    if won is None:
        return grid_alone(book)
    if isinstance(won, AuctionEnd):
        return served(book, won)
    found = clear_proposed(book, orders, won.prices, won.feeder_prices)
    if isinstance(found, Flaw):
        raise InvariantError(f"a proved clearing proves nothing any more: {found.reason.name}")
    return found


def book_of(market_round: Round, orders: Sequence[BuyOrder | SellOrder]) -> Book:
    """The book of a round from its frozen orders."""
    return Book(
        mechanism=market_round.mechanism,
        buys=[order for order in orders if isinstance(order, BuyOrder)],
        sells=[order for order in orders if isinstance(order, SellOrder)],
        prices=market_round.prices,
        import_limit_wh=market_round.import_limit_wh,
        export_limit_wh=market_round.export_limit_wh,
        feeders=market_round.feeders,
        seed=market_round.book_hash,
        lot_wh=market_round.lot_wh,
    )


def sealed_prices(
    book: Book,
    orders: Sequence[BuyOrder | SellOrder],
    prices: Sequence[int],
    feeder_prices: Sequence[int],
) -> list[tuple[bytes, bytes]]:
    """The own price of each order in a proposal that won, by id, for the round's sealed tree."""
    if book.mechanism == Mechanism.WELFARE_PROPOSED:
        own = own_prices(prices[0], feeder_prices)
        prices = [own[place] for place in find(book, orders)]
    return [
        (order.order_id, price.to_bytes(PRICE_BYTES, "big"))
        for order, price in zip(orders, prices, strict=True)
    ]


def proposed_prices(
    book: Book,
    orders: Sequence[BuyOrder | SellOrder],
    sealed: Sequence[tuple[bytes, bytes]],
    feeder_prices: Sequence[int],
) -> list[int]:
    """The prices of the proposal whose own prices were sealed so, if any were."""
    prices = [int.from_bytes(data, "big") for _, data in sealed]
    if book.mechanism == Mechanism.WELFARE_PROPOSED:
        return [prices[0] - [*feeder_prices, 0][find(book, orders[:1])[0]]]
    return prices


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
        return _one_price(book, outcome.price_ucoin_per_kwh, [seller_price] * len(book.sells))
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
    return _one_price(book, max(buyer_price, 0), blends)


def _one_price(book: Book, buyer_price: int, seller_prices: list[int]) -> Pricing:
    return Pricing([buyer_price] * len(book.buys), seller_prices, buyer_price)


def award(book: Book, outcome: Outcome, pricing: Pricing) -> list[Award]:
    """The awards of all who got energy, by id, each with the hold that it still needs."""
    replacement = max(book.prices.retail_ucoin_per_kwh, pricing.buyer_price)
    penalty = book.prices.shortfall_penalty_ucoin_per_kwh
    awards = [
        _award(order, Side.BUY, energy_wh, price_paid, price_paid)
        for order, energy_wh, price_paid in zip(
            book.buys, outcome.bought_wh, pricing.buyer_prices, strict=True
        )
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
