"""A file of orders: every row comes back with its outcome, or the file is refused by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from peerwatt.market_lab.clearing import Cleared, Terms, clear_file
from peerwatt.market_lab.order_file import USES, OrderFileError, read_orders
from peerwatt.mechanisms.auction_book import Band, Network
from peerwatt.mechanisms.double_auction import MECHANISMS
from peerwatt.mechanisms.v2v import Profit

BAND = Band(feed_in=0.05, retail=0.35)
HEAD = "side,id,price,kwh"
PLAIN = f"{HEAD}\nbuy,a,0.30,2\nbuy,b,0.20,2\nsell,x,0.10,2\nsell,y,0.25,2\n"
CARS = """side,id,price,kwh,min_kwh,weight,quadratic_cost,linear_cost,signed,place_km
buy,a,0.30,12,3,1.2,,,true,1
buy,b,0.12,12,3,1.2,,,,-2
buy,c,0.11,12,3,1.2,,,FALSE,-2
sell,x,0.08,10,,,0.01,0.02,,3
sell,y,0.29,10,,,0.01,0.02,,2
"""
PAIRS = """side,id,price,kwh,min_kwh,weight,quadratic_cost
buy,a,,12,3,1.2,
buy,b,,12,3,1.2,
sell,x,0.08,10,,,0.01
sell,y,0.29,10,,,0.01
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "orders.csv"
    path.write_text(text, encoding="utf-8")
    return path


def cleared(folder: Path, text: str, mechanism: str, **terms: Any) -> Cleared:
    terms = {"band": BAND, **terms}
    path = write(folder, text)
    file = read_orders(path, mechanism, band=terms["band"], network=terms.get("network"))
    return clear_file(file, mechanism, Terms(**terms))


@pytest.mark.parametrize("mechanism", USES)
def test_every_order_has_its_row_and_its_reason(mechanism: str, tmp_path: Path) -> None:
    text = {"v2v": CARS, "pairs": PAIRS}.get(mechanism, PLAIN)
    found = cleared(tmp_path, text, mechanism)
    ids = [line.split(",")[1] for line in text.splitlines()[1:]]
    assert found.awards["id"].to_list() == ids
    assert found.awards["reason"].str.len_chars().min() > 5
    assert found.summary["orders"] == len(ids) == sum(found.summary["outcomes"].values())
    json.dumps(found.summary, allow_nan=False)
    bought = found.awards.filter(pl.col("side") == "buy")["money"].sum()
    assert bought == pytest.approx(found.summary["paid"])
    again = cleared(tmp_path, text, mechanism)
    assert again.awards.equals(found.awards)


def test_steps_fees_and_places_reach_the_auction(tmp_path: Path) -> None:
    text = (
        "side,id,step,price,kwh,min_kwh,place_km\n"
        "buy,a,2,0.20,4,,\nsell,x,1,0.12,5,,3\nbuy,a,1,0.30,4,1,1\nbuy,b,1,0.25,3,,2\n"
    )
    network = Network(local_fee=0.01, loss_per_km=0.01)
    found = cleared(tmp_path, text, "uniform", network=network)
    assert found.awards["id"].to_list() == ["a", "b", "x"]
    assert found.awards["asked_kwh"].to_list() == [8, 3, 5]
    at_hub = found.trades["received_kwh"] / np.array([0.99, 0.98])
    assert at_hub.sum() == pytest.approx(5 * 0.97)
    assert found.summary["fees"] == pytest.approx(0.01 * 5 * 0.97)


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    frame = pl.read_csv(write(tmp_path, PLAIN))
    frame.write_parquet(tmp_path / "orders.parquet")
    one, other = (
        clear_file(read_orders(tmp_path / name, "mcafee"), "mcafee", Terms())
        for name in ("orders.csv", "orders.parquet")
    )
    assert one.awards.equals(other.awards)
    frame.with_columns(kwh=pl.lit(-1.0)).write_parquet(tmp_path / "orders.parquet")
    with pytest.raises(OrderFileError, match=r"orders.parquet: row 1: kwh: must be above zero"):
        read_orders(tmp_path / "orders.parquet", "mcafee")


def test_a_column_of_another_kind_is_refused(tmp_path: Path) -> None:
    good = {"side": ["buy"], "id": ["a"], "price": [0.2], "kwh": [1.0]}
    for column, values, words in (
        ("id", [[1]], r"column id: holds List\(Int64\), not text"),
        ("kwh", [b"1"], "column kwh: holds Binary, not numbers"),
    ):
        pl.DataFrame({**good, column: values}).write_parquet(tmp_path / "orders.parquet")
        with pytest.raises(OrderFileError, match=words):
            read_orders(tmp_path / "orders.parquet", "uniform")


def test_one_side_alone_is_no_trade_with_a_reason(tmp_path: Path) -> None:
    for mechanism in MECHANISMS:
        found = cleared(tmp_path, f"{HEAD}\nbuy,a,0.30,2\n", mechanism)
        assert found.summary["outcomes"] == {"the other side is empty": 1}
        assert len(found.trades) == 0


def test_v2v_shows_both_rounds_and_the_grid(tmp_path: Path) -> None:
    found = cleared(tmp_path, CARS, "v2v", profit_to=Profit.BOTH)
    awards = found.awards
    parts = awards["first_round_kwh"] + awards["second_round_kwh"] + awards["grid_kwh"]
    np.testing.assert_allclose(parts, awards["awarded_kwh"])
    assert awards["grid_because"][2].startswith("it did not sign")
    assert found.trades["round"].unique().to_list() == [2]
    assert found.summary["auctioneers_profit"] == pytest.approx(0)
    assert found.summary["given_back"][0] > 0


BAD: tuple[tuple[str, str, str], ...] = (
    ("uniform", f"{HEAD}\nbuy,a,nan,2\n", "row 2: price: must be a number, is 'nan'"),
    ("uniform", f"{HEAD}\nbuy,a,,2\n", "row 2: price: must not be empty"),
    ("uniform", f"{HEAD}\nbuy,a,0.1,2\nsell,x,0.1,0\n", "row 3: kwh: must be above zero, is '0'"),
    ("uniform", f"{HEAD}\nbuy,a,0.1,-2\n", "row 2: kwh: must be above zero, is '-2'"),
    ("uniform", f"{HEAD}\nbuy,a,0.1,two\n", "row 2: kwh: must be a number, is 'two'"),
    ("uniform", f"{HEAD}\nbuy,a,0.1,2\nsell,a,0.1,2\n", "row 3: id: 'a' stands in the file"),
    ("uniform", f"{HEAD}\nbid,a,0.1,2\n", "row 2: side: must be buy or sell, is 'bid'"),
    ("uniform", f"{HEAD}\nbuy,,0.1,2\n", "row 2: id: must not be empty"),
    ("uniform", f"{HEAD}\nbuy,a,0.4,2\n", "row 2: price: must lie within the grid's prices 0.05"),
    ("uniform", f"{HEAD}\nsell,a,0.01,2\n", "row 2: price: must lie within the grid's prices"),
    ("uniform", f"{HEAD}\nbuy,a,2e12,2\n", "row 2: price: must be at most 1e+12, is '2e12'"),
    ("uniform", "side,id,price\nbuy,a,0.1\n", "column kwh: uniform needs it"),
    ("uniform", f"{HEAD},colour\nbuy,a,0.1,2,red\n", "column 'colour': uniform has no use for it"),
    ("uniform", f"{HEAD},weight\nbuy,a,0.1,2,1\n", "column 'weight': uniform has no use for it"),
    ("uniform", f"{HEAD},min_kwh\nbuy,a,0.1,2,3\n", "row 2: min_kwh: is above kwh"),
    ("uniform", f"{HEAD},min_kwh\nbuy,a,0.1,2,-3\n", "row 2: min_kwh: must be at least zero"),
    ("uniform", f"{HEAD},place_km\nbuy,a,0.1,2,200\n", "row 2: place_km: is so far that all"),
    ("mcafee", f"{HEAD},min_kwh\nbuy,a,0.1,2,1\n", "row 2: min_kwh: mcafee takes no minimum"),
    ("muda", f"{HEAD},min_kwh\nbuy,a,0.1,2,1\n", "row 2: min_kwh: muda takes no minimum"),
    ("huang", f"{HEAD},step\nbuy,a,0.2,2,1\nbuy,a,0.1,2,2\n", "row 3: step: huang takes one price"),
    ("vcg", f"{HEAD},step\nbuy,a,0.1,2,1\nbuy,a,0.2,2,2\n", "row 3: price: a buyer's prices must"),
    ("vcg", f"{HEAD},step\nsell,a,0.2,2,1\nsell,a,0.1,2,2\n", "row 3: price: a buyer's prices"),
    ("vcg", f"{HEAD},step\nbuy,a,0.2,2,1\nbuy,a,0.1,2,3\n", "row 3: step: the steps of one id"),
    ("vcg", f"{HEAD},step\nbuy,a,0.2,2,1\nbuy,a,0.1,2,1\n", "row 3: step: the steps of one id"),
    ("vcg", f"{HEAD},step\nbuy,a,0.2,2,1\nsell,a,0.1,2,2\n", "row 3: side: is not that of the id"),
    ("sbba", f"{HEAD}\nbuy,a,0.2,2\nsell,x,0.1,3\n", "row 3: kwh: sbba takes orders of one size"),
    ("one-price", f"{HEAD},price_low\nbuy,a,0.2,2,0.3\n", "row 2: price_low: is above price"),
    ("one-price", f"{HEAD},slope\nbuy,a,0.2,2,0.3\n", "row 2: slope: is for the side sell alone"),
    ("pairs", PAIRS.replace("a,,", "a,0.2,"), "row 2: price: is for the side sell alone"),
    ("pairs", PAIRS.replace(",1.2,", ",,"), "row 2: weight: must not be empty"),
    ("v2v", CARS.replace("true", "yes"), "row 2: signed: must be true or false, is 'yes'"),
    ("v2v", CARS.replace("x,0.08", "x,"), "row 5: price: must not be empty"),
)


@pytest.mark.parametrize(("mechanism", "text", "words"), BAD)
def test_what_cannot_be_used_is_refused_by_row(
    mechanism: str, text: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(OrderFileError) as refused:
        read_orders(write(tmp_path, text), mechanism, band=BAND, network=Network(loss_per_km=0.01))
    assert str(refused.value).startswith(f"orders.csv: {words}")


def test_what_is_no_file_of_orders_is_refused(tmp_path: Path) -> None:
    for text in ("", 'side,id\n"'):
        with pytest.raises(OrderFileError, match=r"orders\.csv: is no file of orders: "):
            read_orders(write(tmp_path, text), "uniform")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(OrderFileError, match=r"x\.parquet: is no file of orders: "):
        read_orders(tmp_path / "x.parquet", "uniform")


def test_the_grids_prices_are_needed_where_the_grid_is_inside(tmp_path: Path) -> None:
    for mechanism, text in (("one-price", PLAIN), ("v2v", CARS)):
        with pytest.raises(ValueError, match="--retail and --feed-in are needed"):
            cleared(tmp_path, text, mechanism, band=None)
