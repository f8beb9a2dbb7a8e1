"""Cars sell to cars in two rounds: welfare says how much, an auction for how much, then the grid.

Knows the mechanisms beside it and numpy. Knows neither ledger nor agents.

The scheme of "V2V Electric Vehicle Energy Trading Based on a Consortium Blockchain" (an iterative
double auction after McAfee), with what its text leaves open said in full:

1. `welfare_quantities` fixes D_i and S_j from declared needs and costs, never from price bids.
2. The first round's auction picks winners and p*; the shorter side of the winners is served
   whole, the longer by shares of size.
3. A loser's price becomes p' = p + n (p* - p), eq. (4): beyond p*, by (n - 1) times what it was
   short of it. So P_buy = min p' of buyers is never below P_sell = max p' of sellers, and all who
   are left trade at these two prices as far as the shorter side reaches. A winner with energy
   left keeps its price, and so does who reached p* and was left out. As p' is worse for its owner
   than what it said, it is a new order that its owner signs; unless asked to take the paper
   literally, p' is held inside the grid's two prices, so that nobody signs what the grid would
   better.
4. The grid sells and buys the rest at retail and feed-in.

What holds: never a deficit; with p' held inside the band nobody fares worse than with the grid
alone; in the first round taken by itself no lie about a price pays. What the paper claims and
does not hold: round two makes the whole untruthful, for its price depends on what losers said;
it costs losers more than they bid, which is rational only against the grid, and unclamped not
even so; all energy is allocated among cars only as far as both sides have any. Lies about
quantities pay in either round.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import (
    Band,
    Book,
    BoolArray,
    IndexArray,
    Orders,
    OutsideBandError,
)
from peerwatt.mechanisms.auction_result import Auction, pair_off
from peerwatt.mechanisms.double_auction import clear_double_auction
from peerwatt.mechanisms.v2v_quantities import (
    CarsThatBuy,
    CarsThatSell,
    Quantities,
    welfare_quantities,
)

FIRST_ROUNDS = ("mcafee", "mcafee-paper", "huang", "uniform")
"""Auctions with one price a side, from which a loser's new price can be told."""


class Profit(StrEnum):
    """Who has what buyers pay beyond what sellers get."""

    AUCTIONEER = "auctioneer"
    BUYERS = "buyers"
    SELLERS = "sellers"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Round:
    """Trade among cars at one buyers' and one sellers' price; NaN where there is none."""

    bid: FloatArray
    """(buyers,) price that each stands with; NaN for those who are not in the round."""
    ask: FloatArray
    """(sellers,)"""
    buyer_price: float
    seller_price: float
    bought_kwh: FloatArray
    """(buyers,) at the bus, like all energy here."""
    sold_kwh: FloatArray
    """(sellers,)"""

    @property
    def surplus(self) -> float:
        """Coin paid beyond what is earned."""
        kwh = float(self.bought_kwh.sum())
        return kwh * (self.buyer_price - self.seller_price) if kwh > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarTrades:
    """Who sends what to whom in which round, a row each, (trades,)."""

    round: IndexArray
    """1 or 2."""
    buyer: IndexArray
    seller: IndexArray
    kwh: FloatArray
    distance_km: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class V2VClearing:
    """Every step of one market of cars. Energy in kWh at the bus, money in coin.

    `paid.sum()` is `earned.sum()` + `profit` + the grid's sales less its purchases.
    """

    quantities: Quantities
    auction: str
    star: tuple[float, float]
    """p* of the first round for buyers and for sellers; NaN where one side is empty."""
    first: Round
    second: Round
    signed: tuple[BoolArray, BoolArray]
    """Losers' consent to the second round, as it was given."""
    grid_bought_kwh: FloatArray
    """(buyers,) at retail, what was needed before all included."""
    grid_sold_kwh: FloatArray
    """(sellers,) at feed-in."""
    trades: CarTrades
    paid: FloatArray
    """(buyers,) in all, the grid's part and what is given back included."""
    earned: FloatArray
    """(sellers,) in all."""
    surplus: float
    """Of both rounds."""
    given_back: tuple[float, float]
    """Of it, to buyers and to sellers, by the energy that each traded with cars."""
    profit: float
    """What the auctioneer keeps of it."""


def clear_v2v(
    buyers: CarsThatBuy,
    sellers: CarsThatSell,
    band: Band,
    *,
    efficiency: float = 1.0,
    signed: tuple[BoolArray, BoolArray] | None = None,
    paper: bool = False,
    auction: str | None = None,
    profit_to: Profit = Profit.AUCTIONEER,
    seed: int = 0,
) -> V2VClearing:
    """Clear a market of cars; see the module for its steps and for what holds.

    `signed` (buyers,) and (sellers,) says who, having lost, would trade at the new price; None:
    everybody. `paper` takes the text literally: `mcafee-paper`, and
    p' may lie outside the band. `auction` names another one of `FIRST_ROUNDS`. Pairs are such that
    the distances come to least, which on one street they do if both sides are laid along it.
    Money given back depends on others' prices: with `profit_to` other than the auctioneer even
    the first round's truthfulness is gone.
    Raises `BookError` for a book that means nothing or prices outside the band.
    """
    _refuse_outside(buyers.bid, "CarsThatBuy.bid", band)
    _refuse_outside(sellers.ask, "CarsThatSell.ask", band)
    name = auction or ("mcafee-paper" if paper else "mcafee")
    if name not in FIRST_ROUNDS:
        raise ValueError(f"auction {name!r} is none of {', '.join(FIRST_ROUNDS)}")
    quantities = welfare_quantities(buyers, sellers, efficiency=efficiency)
    first, star = _first_round(buyers, sellers, quantities, band, name, seed)
    if signed is None:
        signed = (np.ones(len(buyers.bid), np.bool_), np.ones(len(sellers.ask), np.bool_))
    second = _second_round(
        buyers, sellers, quantities, first, star, signed, None if paper else band
    )
    rounds = first, second
    bought, sold = (first.bought_kwh + second.bought_kwh, first.sold_kwh + second.sold_kwh)
    surplus = sum(each.surplus for each in rounds)
    back = _given_back(surplus, profit_to)
    grid_bought = quantities.grid_first_kwh + _left(quantities.wanted_kwh, bought)
    grid_sold = _left(quantities.offered_kwh, sold)
    paid = sum(
        (_cost(each.buyer_price, each.bought_kwh) for each in rounds), band.retail * grid_bought
    )
    earned = sum(
        (_cost(each.seller_price, each.sold_kwh) for each in rounds), band.feed_in * grid_sold
    )
    return V2VClearing(
        quantities=quantities,
        auction=name,
        star=star,
        first=first,
        second=second,
        signed=signed,
        grid_bought_kwh=grid_bought,
        grid_sold_kwh=grid_sold,
        trades=_pairs(buyers, sellers, rounds),
        paid=paid - back[0] * _shares(bought),
        earned=earned + back[1] * _shares(sold),
        surplus=surplus,
        given_back=back,
        profit=surplus - sum(back),
    )


def _first_round(
    buyers: CarsThatBuy,
    sellers: CarsThatSell,
    quantities: Quantities,
    band: Band,
    name: str,
    seed: int,
) -> tuple[Round, tuple[float, float]]:
    """The auction among those who are to trade at all, and p*."""
    ins = np.flatnonzero(quantities.wanted_kwh > 0), np.flatnonzero(quantities.offered_kwh > 0)
    book = Book(
        bids=Orders(price=buyers.bid[ins[0]], kwh=quantities.wanted_kwh[ins[0]]),
        asks=Orders(price=sellers.ask[ins[1]], kwh=quantities.offered_kwh[ins[1]]),
        band=band,
    )
    found = clear_double_auction(book, name, seed=seed)
    bought, sold = np.zeros(len(buyers.bid)), np.zeros(len(sellers.ask))
    bought[ins[0]], sold[ins[1]] = found.bought_kwh, found.sold_kwh
    bid, ask = np.full(len(bought), np.nan), np.full(len(sold), np.nan)
    bid[ins[0]], ask[ins[1]] = book.bids.price, book.asks.price
    first = Round(
        bid=bid,
        ask=ask,
        buyer_price=found.bid_price,
        seller_price=found.ask_price,
        bought_kwh=bought,
        sold_kwh=sold,
    )
    return first, _star(book, found)


def _star(book: Book, found: Auction) -> tuple[float, float]:
    """p*: what winners pay and get; where no bid reaches an ask, the middle of the best two."""
    if len(book.bids) == 0 or len(book.asks) == 0:
        return np.nan, np.nan
    if np.isfinite(found.bid_price):
        return found.bid_price, found.ask_price
    middle = float(book.bids.price.max() + book.asks.price.min()) / 2
    return middle, middle


def _second_round(
    buyers: CarsThatBuy,
    sellers: CarsThatSell,
    quantities: Quantities,
    first: Round,
    star: tuple[float, float],
    signed: tuple[BoolArray, BoolArray],
    clamp: Band | None,
) -> Round:
    """Everybody with energy left, losers at p' and if they signed it, at the least favourable
    prices of all; shares by size on the longer side."""
    bid = buyers.bid + _move(star[0] - buyers.bid, buyers.adjustment, first.bought_kwh)
    ask = sellers.ask - _move(sellers.ask - star[1], sellers.adjustment, first.sold_kwh)
    if clamp is not None:
        bid, ask = np.minimum(bid, clamp.retail), np.maximum(ask, clamp.feed_in)
    wanted = _left(quantities.wanted_kwh, first.bought_kwh)
    offered = _left(quantities.offered_kwh, first.sold_kwh)
    in_bid = (wanted > 0) & (signed[0] | (bid == buyers.bid)) & np.isfinite(bid)
    in_ask = (offered > 0) & (signed[1] | (ask == sellers.ask)) & np.isfinite(ask)
    wanted, offered = np.where(in_bid, wanted, 0.0), np.where(in_ask, offered, 0.0)
    prices = np.nan, np.nan
    volume = 0.0
    if in_bid.any() and in_ask.any():
        prices = float(bid[in_bid].min()), float(ask[in_ask].max())
        volume = min(float(wanted.sum()), float(offered.sum())) if prices[0] >= prices[1] else 0.0
    return Round(
        bid=np.where(in_bid, bid, np.nan),
        ask=np.where(in_ask, ask, np.nan),
        buyer_price=prices[0],
        seller_price=prices[1],
        bought_kwh=volume * _shares(wanted),
        sold_kwh=volume * _shares(offered),
    )


def _move(short: FloatArray, factor: FloatArray | float, traded: FloatArray) -> FloatArray:
    """How far each goes for round two: a loser n (p* - p), eq. (4), for what it is `short` of
    p*; nothing who won, or left out for others' sake was short of nothing."""
    return np.where((traded > 0) | (short <= 0), 0.0, np.asarray(factor) * short)


def _left(kwh: FloatArray, traded: FloatArray) -> FloatArray:
    """What is not traded yet; the last digits of a sum are nothing."""
    left = kwh - traded
    return np.where(left > 1e-12 * np.maximum(kwh, 1.0), left, 0.0)


def _shares(kwh: FloatArray) -> FloatArray:
    """Each one's share of all, zeros if there is nothing."""
    total = float(kwh.sum())
    return kwh / total if total > 0 else np.zeros(len(kwh))


def _cost(price: float, kwh: FloatArray) -> FloatArray:
    return np.where(kwh > 0, price * kwh, 0.0)


def _given_back(surplus: float, profit_to: Profit) -> tuple[float, float]:
    share = {
        Profit.AUCTIONEER: (0.0, 0.0),
        Profit.BUYERS: (1.0, 0.0),
        Profit.SELLERS: (0.0, 1.0),
        Profit.BOTH: (0.5, 0.5),
    }[profit_to]
    return surplus * share[0], surplus * share[1]


def _pairs(buyers: CarsThatBuy, sellers: CarsThatSell, rounds: tuple[Round, Round]) -> CarTrades:
    """Both sides laid along the street: no other pairs of the same totals are nearer in all."""
    places = np.asarray(buyers.place_km), np.asarray(sellers.place_km)
    along = [np.argsort(place, kind="stable") for place in places]
    rows = []
    for number, each in enumerate(rounds, 1):
        buyer, seller, kwh = pair_off(each.bought_kwh[along[0]], each.sold_kwh[along[1]])
        rows.append((np.full(len(kwh), number), along[0][buyer], along[1][seller], kwh))
    of, buyer, seller, kwh = (np.concatenate(column) for column in zip(*rows, strict=True))
    return CarTrades(
        round=of,
        buyer=buyer,
        seller=seller,
        kwh=kwh,
        distance_km=np.abs(places[0][buyer] - places[1][seller]),
    )


def _refuse_outside(price: FloatArray, name: str, band: Band) -> None:
    outside = np.flatnonzero((price < band.feed_in) | (price > band.retail))
    if len(outside):
        raise OutsideBandError(
            f"{name} lies outside the grid's prices {band.feed_in:g} to {band.retail:g}"
            f" (row {int(outside[0])})"
        )
