"""Orders from a CSV or Parquet file: every row is used or refused, none is dropped.

Knows the columns, which mechanism uses which, and polars. Knows nothing of how orders clear. A
refusal names the file, the row (in a CSV file its line) and the column. docs/orders.md says what
the columns mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Band, IndexArray, Network, Orders
from peerwatt.mechanisms.double_auction import MECHANISMS

BUY, SELL = "buy", "sell"
_AUCTION = (("price", "kwh"), ("step", "min_kwh", "place_km"))
USES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(MECHANISMS, _AUCTION),
    "one-price": (("price", "kwh"), ("min_kwh", "price_low", "slope")),
    "pairs": (("price", "kwh", "weight", "quadratic_cost"), ("min_kwh",)),
    "v2v": (
        ("price", "kwh", "weight", "quadratic_cost"),
        ("min_kwh", "linear_cost", "adjustment", "place_km", "signed"),
    ),
}
"""Each mechanism's columns beside `side` and `id`: those it needs and those it can use."""
_OF_SIDE = {
    "weight": BUY,
    "price_low": BUY,
    "slope": SELL,
    "quadratic_cost": SELL,
    "linear_cost": SELL,
}
"""Columns that say something of one side only, and are empty on the other."""
MOST = 1e12
"""Of any number, so that no product of two of them is too large for a float."""
_ABOVE_ZERO = ("kwh", "weight", "quadratic_cost", "price_low")


class OrderFileError(ValueError):
    """A file of orders that cannot be used: one line that names the file, the row, the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOfFile:
    """One side's orders, those of several steps with their steps in order."""

    ids: list[str]
    """(orders,) in the order of their first rows."""
    order: IndexArray
    """(steps,)"""
    first: IndexArray
    """(orders,) first step of each."""
    columns: dict[str, FloatArray]
    """(steps,) each; NaN where a column may be empty and is."""

    def of_order(self, name: str, default: float) -> FloatArray:
        """(orders,) what the first step's row says, `default` where it is silent."""
        if name not in self.columns:
            return np.full(len(self.first), default)
        values = self.columns[name][self.first]
        return np.where(np.isnan(values), default, values)

    def orders(self) -> Orders:
        """The side as a double auction takes it."""
        return Orders(
            price=self.columns["price"],
            kwh=self.columns["kwh"],
            order=self.order,
            minimum_kwh=self.of_order("min_kwh", 0.0),
            distance_km=self.of_order("place_km", 0.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFile:
    """A checked file."""

    name: str
    bids: SideOfFile
    asks: SideOfFile


def read_orders(
    path: Path, mechanism: str, *, band: Band | None = None, network: Network | None = None
) -> OrderFile:
    """Read and check a file for one mechanism, price by price against the grid's `band`.

    Raises OrderFileError naming row and column; an empty side is none, it is no trade.
    """
    if mechanism not in USES:
        raise OrderFileError(f"mechanism {mechanism!r} is none of {', '.join(USES)}")
    table = _Table(path, _frame(path))
    table.check_columns(mechanism)
    table.check_names()
    table.check_numbers(mechanism)
    table.check_steps(mechanism)
    table.check_prices(band)
    table.check_minima(mechanism)
    table.check_distances(network or Network(), mechanism)
    return OrderFile(name=path.name, bids=table.side(BUY), asks=table.side(SELL))


def _frame(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())[:120]
        raise OrderFileError(f"{path.name}: is no file of orders: {what}") from None


class _Table:
    """A file's rows while they are checked; refusals name the first row that is wrong."""

    def __init__(self, path: Path, frame: pl.DataFrame) -> None:
        self.name = path.name
        self.frame = frame
        self.first_row = 1 if path.suffix == ".parquet" else 2
        self.numbers: dict[str, FloatArray] = {}

    def refuse(self, wrong: Any, column: str, why: str | Callable[[int], str]) -> None:
        """Raise for the first row in which `wrong` holds."""
        rows = np.flatnonzero(np.asarray(wrong, dtype=np.bool_))
        if len(rows):
            row = int(rows[0])
            words = why if isinstance(why, str) else why(row)
            raise OrderFileError(f"{self.name}: row {row + self.first_row}: {column}: {words}")

    def check_columns(self, mechanism: str) -> None:
        needed, usable = USES[mechanism]
        for column in ("side", "id", *needed):
            if column not in self.frame.columns:
                raise OrderFileError(f"{self.name}: column {column}: {mechanism} needs it")
        for column in self.frame.columns:
            if column not in ("side", "id", *needed, *usable):
                raise OrderFileError(
                    f"{self.name}: column {column!r}: {mechanism} has no use for it"
                )

    def check_names(self) -> None:
        for column in ("side", "id"):
            text = self._cast(column, self.frame[column], pl.String, "text")
            self.frame = self.frame.with_columns(text.str.strip_chars().alias(column))
            self.refuse(self.frame[column].is_null(), column, "must not be empty")
        side, name = self.frame["side"], self.frame["id"]
        self.refuse(~side.is_in([BUY, SELL]), "side", self._must("be buy or sell", "side"))
        self.refuse(name == "", "id", "must not be empty")
        if "step" not in self.frame.columns:
            self.refuse(name.is_duplicated() & ~name.is_first_distinct(), "id", self._again("id"))

    def check_numbers(self, mechanism: str) -> None:
        """Read each column of numbers; what may be empty is NaN there."""
        buys = (self.frame["side"] == BUY).to_numpy()
        for column in self.frame.columns:
            if column in ("side", "id"):
                continue
            given = self.frame[column]
            if given.dtype == pl.String:
                given = given.str.strip_chars().replace("", None)
            if column == "signed":
                given = self._booleans(given)
            empty = given.is_null().to_numpy()
            numbers = self._cast(column, given, pl.Float64, "numbers")
            array = numbers.to_numpy().astype(np.float64)
            self.refuse(~empty & ~np.isfinite(array), column, self._must("be a number", column))
            self.refuse(array > MOST, column, self._must(f"be at most {MOST:g}", column))
            side = SELL if (mechanism, column) == ("pairs", "price") else _OF_SIDE.get(column)
            of_side = np.ones(len(buys), np.bool_) if side is None else buys == (side == BUY)
            if column in USES[mechanism][0] or column == "step":
                self.refuse(empty & of_side, column, "must not be empty")
            self.refuse(~empty & ~of_side, column, f"is for the side {side} alone: leave it empty")
            if column in _ABOVE_ZERO:
                self.refuse(~empty & (array <= 0), column, self._must("be above zero", column))
            elif (mechanism, column) != ("v2v", "place_km"):
                self.refuse(~empty & (array < 0), column, self._must("be at least zero", column))
            self.numbers[column] = array

    def _cast(self, column: str, values: pl.Series, to: type[pl.DataType], what: str) -> pl.Series:
        try:
            return values.cast(to, strict=False)
        except pl.exceptions.PolarsError:
            message = f"column {column}: holds {values.dtype}, not {what}"
            raise OrderFileError(f"{self.name}: {message}") from None

    def _booleans(self, given: pl.Series) -> pl.Series:
        if given.dtype != pl.String:
            return given
        words = given.str.to_lowercase()
        known = words.is_null() | words.is_in(["true", "false"])
        self.refuse(~known, "signed", self._must("be true or false", "signed"))
        return words == "true"

    def check_steps(self, mechanism: str) -> None:
        """Steps of one id count 1, 2, ... on one side; the rows are put into that order."""
        names = self.frame["id"]
        rank = names.unique(maintain_order=True)
        place = dict(zip(rank.to_list(), range(len(rank)), strict=True))
        self.of = names.replace_strict(place, return_dtype=pl.Int64).to_numpy()
        step = self.numbers.get("step", np.ones(len(self.of)))
        self.rows = np.lexsort((step, self.of))
        of, step = self.of[self.rows], step[self.rows]
        starts = np.diff(of, prepend=-1) > 0
        due = np.arange(len(of)) - np.flatnonzero(starts)[np.cumsum(starts) - 1] + 1
        wrong = np.zeros(len(of), np.bool_)
        wrong[self.rows] = step != due
        self.refuse(wrong, "step", "the steps of one id must count 1, 2, 3, ... once each")
        side = (self.frame["side"] == BUY).to_numpy()
        first = np.zeros(len(of), np.intp)
        first[self.rows] = self.rows[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
        self.first = first
        self.refuse(side != side[first], "side", "is not that of the id's first step")
        later = first != np.arange(len(of))
        if mechanism in MECHANISMS and MECHANISMS[mechanism].one_size:
            kwh = self.numbers["kwh"]
            self.refuse(kwh != kwh[:1], "kwh", f"{mechanism} takes orders of one size")
        if mechanism in MECHANISMS and not MECHANISMS[mechanism].takes_steps:
            self.refuse(later, "step", f"{mechanism} takes one price an order, not steps")
        for column in ("min_kwh", "place_km"):
            if column in self.numbers:
                values = self.numbers[column]
                silent = np.isnan(values) | (values == values[first])
                self.refuse(later & ~silent, column, "belongs on the id's first step")

    def check_prices(self, band: Band | None) -> None:
        price, buys = self.numbers["price"], (self.frame["side"] == BUY).to_numpy()
        if band is not None:
            outside = (price < band.feed_in) | (price > band.retail)
            words = f"lie within the grid's prices {band.feed_in:g} to {band.retail:g}"
            self.refuse(outside, "price", self._must(words, "price"))
        ranked, of = price[self.rows], self.of[self.rows]
        same = np.diff(of, prepend=-1) == 0
        better = np.diff(ranked, prepend=0.0) * np.where(buys[self.rows], 1.0, -1.0) > 0
        wrong = np.zeros(len(price), np.bool_)
        wrong[self.rows] = same & better
        words = "a buyer's prices must fall from step to step, a seller's rise"
        self.refuse(wrong, "price", words)
        if "price_low" in self.numbers:
            crossed = self.numbers["price_low"] > price
            self.refuse(crossed, "price_low", "is above price")

    def check_minima(self, mechanism: str) -> None:
        if "min_kwh" not in self.numbers:
            return
        least = np.nan_to_num(self.numbers["min_kwh"])
        over = (self.first == np.arange(len(least))) & (least > self.numbers["kwh"])
        self.refuse(over, "min_kwh", "is above kwh")
        if mechanism in MECHANISMS and not MECHANISMS[mechanism].takes_minima:
            self.refuse(least > 0, "min_kwh", f"{mechanism} takes no minimum")
        if mechanism not in MECHANISMS:
            sells = (self.frame["side"] == SELL).to_numpy()
            self.refuse((least > 0) & sells, "min_kwh", f"{mechanism} takes none of sellers")

    def check_distances(self, network: Network, mechanism: str) -> None:
        if mechanism in MECHANISMS and "place_km" in self.numbers:
            lost = network.loss_per_km * np.nan_to_num(self.numbers["place_km"]) >= 1
            self.refuse(lost, "place_km", "is so far that all is lost")

    def side(self, name: str) -> SideOfFile:
        rows = self.rows[(self.frame["side"] == name).to_numpy()[self.rows]]
        of = self.of[rows]
        starts = np.diff(of, prepend=-1) != 0
        first = np.flatnonzero(starts)
        ids: Sequence[str] = self.frame["id"].gather(rows[first]).to_list()
        return SideOfFile(
            ids=list(ids),
            order=np.cumsum(starts) - 1,
            first=first,
            columns={column: values[rows] for column, values in self.numbers.items()},
        )

    def _must(self, words: str, column: str) -> Callable[[int], str]:
        return lambda row: f"must {words}, is {self.frame[column][row]!r}"

    def _again(self, column: str) -> Callable[[int], str]:
        return lambda row: f"{self.frame[column][row]!r} stands in the file before"
