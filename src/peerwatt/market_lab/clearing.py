"""A file of orders cleared by a mechanism of one's choice: awards, trades, prices as tables.

Knows the file's form and the mechanisms' results. Knows neither ledger nor screen. Every order of
the file is a row of the awards, with the reason for what it was not awarded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from peerwatt.market_lab.order_file import BUY, SELL, OrderFile, SideOfFile
from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Band, Book, Network
from peerwatt.mechanisms.auction_result import Auction, Unmet
from peerwatt.mechanisms.double_auction import MECHANISMS, clear_double_auction
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price
from peerwatt.mechanisms.v2v import Profit, V2VClearing, clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell
from peerwatt.mechanisms.welfare import clear_pairs, trades
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers

CURVE = "its own curve asks for no more at this price"
GRID = "the rest is traded with the grid"
UNSIGNED = "it did not sign the second round's price; the rest is traded with the grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds beside the orders."""

    band: Band | None = None
    network: Network = field(default_factory=Network)
    seed: int = 0
    profit_to: Profit = Profit.AUCTIONEER

    def grid(self, mechanism: str) -> GridTerms:
        """The grid without limits; raises ValueError where its prices are not given."""
        if self.band is None:
            raise ValueError(f"{mechanism} has the grid inside: --retail and --feed-in are needed")
        return GridTerms(
            retail=self.band.retail,
            feed_in=self.band.feed_in,
            import_limit_kwh=np.inf,
            export_limit_kwh=np.inf,
            local_fee=self.network.local_fee,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What a market came to."""

    summary: dict[str, Any]
    """JSON values: prices, energy, money, and how many orders were not awarded in full, by why."""
    awards: pl.DataFrame
    """A row an order, in the order of the file's first rows, buyers first."""
    trades: pl.DataFrame


def clear_file(file: OrderFile, mechanism: str, terms: Terms) -> Cleared:
    """Clear a checked file; raises ValueError for terms that the mechanism cannot do without."""
    if mechanism in MECHANISMS:
        return _auction(file, mechanism, terms)
    return {"one-price": _one_price, "pairs": _pairs, "v2v": _v2v}[mechanism](file, terms)


def _auction(file: OrderFile, mechanism: str, terms: Terms) -> Cleared:
    book = Book(
        bids=file.bids.orders(), asks=file.asks.orders(), network=terms.network, band=terms.band
    )
    found = clear_double_auction(book, mechanism, seed=terms.seed)
    awards = pl.concat(
        [
            _awards(BUY, file.bids, book.bids.whole_kwh, found.bought_kwh, found.paid).with_columns(
                _words(found.bid_unmet)
            ),
            _awards(
                SELL, file.asks, book.asks.whole_kwh, found.sold_kwh, found.earned
            ).with_columns(_words(found.ask_unmet)),
        ]
    )
    return Cleared(
        summary={**_auction_summary(found), **_counts(awards), "seed": terms.seed},
        awards=awards,
        trades=pl.DataFrame(
            {
                **_names(file, found.trades.buyer, found.trades.seller),
                "sent_kwh": found.trades.sent_kwh,
                "received_kwh": found.trades.received_kwh,
                "paid": found.trades.paid,
                "earned": found.trades.earned,
            }
        ),
    )


def _auction_summary(found: Auction) -> dict[str, Any]:
    what = MECHANISMS[found.mechanism]
    return {
        "mechanism": found.mechanism,
        "case": found.case,
        "buyer_price": _number(found.bid_price),
        "seller_price": _number(found.ask_price),
        "bought_kwh": float(found.bought_kwh.sum()),
        "sold_kwh": float(found.sold_kwh.sum()),
        "paid": float(found.paid.sum()),
        "earned": float(found.earned.sum()),
        "fees": found.fees,
        "auctioneers_surplus": found.surplus,
        "welfare": found.welfare,
        "truthful_in_price": what.truthful_in_price,
        "truthful_in_quantity": what.truthful_in_quantity,
        "budget": what.budget,
    }


def _one_price(file: OrderFile, terms: Terms) -> Cleared:
    bids, asks = file.bids, file.asks
    high = bids.of_order("price", 0.0)
    low = bids.of_order("price_low", np.nan)
    grid = terms.grid("one-price")
    found = clear_one_price(
        BuyerCurves(
            minimum_kwh=bids.of_order("min_kwh", 0.0),
            maximum_kwh=bids.of_order("kwh", 0.0),
            price_high=high,
            price_low=np.where(np.isnan(low), high, low),
        ),
        SellerCurves(
            maximum_kwh=asks.of_order("kwh", 0.0),
            ask=asks.of_order("price", 0.0),
            slope=asks.of_order("slope", 0.0),
        ),
        grid,
        lost_load=max(grid.retail, float(high.max(initial=0.0))),
    )
    paid, earned = found.buyer_price * found.bought_kwh, found.seller_price * found.sold_kwh
    awards = _with_reason(
        _awards(BUY, bids, bids.of_order("kwh", 0.0), found.bought_kwh, paid),
        _awards(SELL, asks, asks.of_order("kwh", 0.0), found.sold_kwh, earned),
        CURVE,
    )
    summary = {
        "mechanism": "one-price",
        "case": str(found.regime),
        "buyer_price": found.buyer_price,
        "seller_price": found.seller_price,
        "bought_kwh": float(found.bought_kwh.sum()),
        "sold_kwh": float(found.sold_kwh.sum()),
        "import_kwh": found.import_kwh,
        "export_kwh": found.export_kwh,
        "paid": float(paid.sum()),
        "earned": float(earned.sum()),
        "welfare": found.welfare,
    }
    return Cleared(summary={**summary, **_counts(awards)}, awards=awards, trades=_no_trades())


def _pairs(file: OrderFile, terms: Terms) -> Cleared:
    bids, asks = file.bids, file.asks
    found = clear_pairs(
        PairBuyers(
            weight=bids.of_order("weight", 0.0),
            minimum_kwh=bids.of_order("min_kwh", 0.0),
            maximum_kwh=bids.of_order("kwh", 0.0),
        ),
        PairSellers(
            maximum_kwh=asks.of_order("kwh", 0.0),
            quadratic_cost=asks.of_order("quadratic_cost", 0.0),
            linear_cost=asks.of_order("price", 0.0),
        ),
        None if terms.band is None else terms.grid("pairs"),
    )
    sent = found.sold_kwh + found.to_grid_kwh
    exported = 0.0 if terms.band is None else terms.band.feed_in * found.to_grid_kwh
    earned = found.income - terms.network.local_fee * found.sold_kwh + exported
    paid = found.buyer_price * found.bought_kwh
    awards = _with_reason(
        _awards(BUY, bids, bids.of_order("kwh", 0.0), found.bought_kwh, paid),
        _awards(SELL, asks, asks.of_order("kwh", 0.0), sent, earned),
        CURVE,
    )
    pairs = trades(found)
    summary = {
        "mechanism": "pairs",
        "bought_kwh": float(found.bought_kwh.sum()),
        "sold_kwh": float(sent.sum()),
        "import_kwh": found.import_kwh,
        "export_kwh": found.export_kwh,
        "paid": float(paid.sum()),
        "earned": float(earned.sum()),
        "welfare": found.welfare,
        "proved_relative_gap": found.certificate.relative_gap,
    }
    return Cleared(
        summary={**summary, **_counts(awards)},
        awards=awards,
        trades=pl.DataFrame(
            {
                **_names(file, pairs.buyer, pairs.seller),
                "sent_kwh": pairs.sent_kwh,
                "received_kwh": pairs.charged_kwh,
                "paid": pairs.payment,
                "earned": pairs.payment - terms.network.local_fee * pairs.sent_kwh,
            }
        ),
    )


def _v2v(file: OrderFile, terms: Terms) -> Cleared:
    if terms.band is None:
        raise ValueError("v2v has the grid behind it: --retail and --feed-in are needed")
    bids, asks = file.bids, file.asks
    found = clear_v2v(
        CarsThatBuy(
            bid=bids.of_order("price", 0.0),
            weight=bids.of_order("weight", 0.0),
            minimum_kwh=bids.of_order("min_kwh", 0.0),
            maximum_kwh=bids.of_order("kwh", 0.0),
            adjustment=bids.of_order("adjustment", 1.5),
            place_km=bids.of_order("place_km", 0.0),
        ),
        CarsThatSell(
            ask=asks.of_order("price", 0.0),
            maximum_kwh=asks.of_order("kwh", 0.0),
            quadratic_cost=asks.of_order("quadratic_cost", 0.0),
            linear_cost=asks.of_order("linear_cost", 0.0),
            adjustment=asks.of_order("adjustment", 1.5),
            place_km=asks.of_order("place_km", 0.0),
        ),
        terms.band,
        signed=(bids.of_order("signed", 1.0) > 0, asks.of_order("signed", 1.0) > 0),
        profit_to=terms.profit_to,
        seed=terms.seed,
    )
    bought = found.first.bought_kwh + found.second.bought_kwh + found.grid_bought_kwh
    sold = found.first.sold_kwh + found.second.sold_kwh + found.grid_sold_kwh
    awards = _with_reason(
        _awards(BUY, bids, bids.of_order("kwh", 0.0), bought, found.paid),
        _awards(SELL, asks, asks.of_order("kwh", 0.0), sold, found.earned),
        "welfare asks for no more of it",
    )
    steps = {
        "first_round_kwh": [*found.first.bought_kwh, *found.first.sold_kwh],
        "second_round_price": [*found.second.bid, *found.second.ask],
        "second_round_kwh": [*found.second.bought_kwh, *found.second.sold_kwh],
        "grid_kwh": [*found.grid_bought_kwh, *found.grid_sold_kwh],
        "grid_because": [
            *_grid_words(found.grid_bought_kwh, found.first.bought_kwh, found.signed[0]),
            *_grid_words(found.grid_sold_kwh, found.first.sold_kwh, found.signed[1]),
        ],
    }
    awards = awards.with_columns(*(pl.Series(name, values) for name, values in steps.items()))
    return Cleared(
        summary={**_v2v_summary(found), **_counts(awards), "seed": terms.seed},
        awards=awards.with_columns(pl.col("second_round_price").fill_nan(None)),
        trades=pl.DataFrame(
            {
                "round": found.trades.round,
                **_names(file, found.trades.buyer, found.trades.seller),
                "kwh": found.trades.kwh,
                "distance_km": found.trades.distance_km,
            }
        ),
    )


def _v2v_summary(found: V2VClearing) -> dict[str, Any]:
    rounds = {
        name: {
            "buyer_price": _number(each.buyer_price),
            "seller_price": _number(each.seller_price),
            "kwh": float(each.bought_kwh.sum()),
            "surplus": each.surplus,
        }
        for name, each in (("first_round", found.first), ("second_round", found.second))
    }
    return {
        "mechanism": "v2v",
        "auction": found.auction,
        "multiplier": found.quantities.multiplier,
        "equilibrium_price": [_number(each) for each in found.star],
        **rounds,
        "grid_bought_kwh": float(found.grid_bought_kwh.sum()),
        "grid_sold_kwh": float(found.grid_sold_kwh.sum()),
        "paid": float(found.paid.sum()),
        "earned": float(found.earned.sum()),
        "given_back": list(found.given_back),
        "auctioneers_profit": found.profit,
        "welfare": found.quantities.welfare,
    }


def _awards(
    side: str, of: SideOfFile, asked: FloatArray, awarded: FloatArray, money: FloatArray
) -> pl.DataFrame:
    with np.errstate(invalid="ignore", divide="ignore"):
        price = np.where(awarded > 0, money / awarded, np.nan)
    frame = pl.DataFrame(
        {
            "side": [side] * len(of.ids),
            "id": of.ids,
            "asked_kwh": asked,
            "awarded_kwh": awarded,
            "money": money,
            "price": price,
        },
        schema_overrides={"side": pl.String, "id": pl.String},
    )
    return frame.with_columns(pl.col("price").fill_nan(None))


def _words(unmet: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> pl.Series:
    words = {int(each): each.words for each in Unmet}
    codes = pl.Series("reason", unmet, dtype=pl.Int8)
    return codes.replace_strict(words, return_dtype=pl.String)


def _with_reason(bids: pl.DataFrame, asks: pl.DataFrame, why: str) -> pl.DataFrame:
    full = pl.col("awarded_kwh") >= pl.col("asked_kwh") * (1 - 1e-9)
    reason = pl.when(full).then(pl.lit(Unmet.NOTHING.words)).otherwise(pl.lit(why))
    return pl.concat([bids, asks]).with_columns(reason.alias("reason"))


def _grid_words(
    grid: FloatArray, first: FloatArray, signed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> list[str]:
    rows = zip(grid > 0, first > 0, signed, strict=True)
    return ["" if not some else GRID if won or agreed else UNSIGNED for some, won, agreed in rows]


def _names(file: OrderFile, buyer: Any, seller: Any) -> dict[str, pl.Series]:
    return {
        "buyer": pl.Series(file.bids.ids, dtype=pl.String).gather(buyer),
        "seller": pl.Series(file.asks.ids, dtype=pl.String).gather(seller),
    }


def _no_trades() -> pl.DataFrame:
    """Everybody trades with one pool, in which the grid is."""
    return pl.DataFrame(
        {"buyer": [], "seller": []}, schema={"buyer": pl.String, "seller": pl.String}
    )


def _counts(awards: pl.DataFrame) -> dict[str, Any]:
    counted = awards.group_by("reason", maintain_order=True).len()
    return {"orders": len(awards), "outcomes": dict(counted.iter_rows())}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
