"""`peerwatt clear`: a folder, JSON on the screen, or one line and exit 2."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Peerwatt = Callable[..., Any]
ORDERS = "side,id,price,kwh\nbuy,a,0.30,2\nbuy,b,0.20,2\nsell,x,0.10,2\nsell,y,0.25,2\n"


def orders(folder: Path, text: str = ORDERS) -> Path:
    path = folder / "orders.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_of_awards_trades_and_prices(peerwatt: Peerwatt, tmp_path: Path) -> None:
    said = peerwatt("clear", orders(tmp_path), "--mechanism", "uniform", "--out", "cleared")
    assert (said.code, said.err) == (0, "")
    assert "buyer_price: 0.225" in said.out
    assert "2 orders: awarded in full" in said.out
    folder = tmp_path / "cleared"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("awards.csv", "manifest.json", "summary.json", "trades.csv")
    ]
    with (folder / "awards.csv").open(encoding="utf-8") as file:
        awards = {row["id"]: row for row in csv.DictReader(file)}
    assert float(awards["a"]["awarded_kwh"]) == 2
    assert awards["y"]["reason"].startswith("its price does not reach")


def test_json_on_the_screen(peerwatt: Peerwatt, tmp_path: Path) -> None:
    options = ("--retail", "0.35", "--feed-in", "0.05", "--local-fee", "0.01")
    said = peerwatt("clear", orders(tmp_path), "--mechanism", "mcafee", "--out", "-", *options)
    found = json.loads(said.out)
    assert [each["id"] for each in found["awards"]] == ["a", "b", "x", "y"]
    assert found["trades"][0]["buyer"] == "a"
    assert found["summary"]["truthful_in_price"] is True


def test_bad_orders_and_options_are_one_line(peerwatt: Peerwatt, tmp_path: Path) -> None:
    file = orders(tmp_path, ORDERS.replace("0.20,2", "0.20,0"))
    clear = ("clear", file, "--mechanism")
    assert peerwatt(*clear, "vcg", "--out", "cleared").complaint == (
        "orders.csv: row 3: kwh: must be above zero, is '0'"
    )
    assert not (tmp_path / "cleared").exists()
    file = orders(tmp_path)
    for words, options in (
        ("mechanism 'x' is none of uniform", ("x", "--out", "-")),
        ("--retail and --feed-in come together", ("vcg", "--out", "-", "--retail", "0.3")),
        ("--profit-to must be one of auctioneer", ("vcg", "--out", "-", "--profit-to", "me")),
        ("Network.local_fee must be a number >= 0", ("vcg", "--out", "-", "--local-fee", "nan")),
        ("exists and is not empty", ("vcg", "--out", ".")),
    ):
        assert words in peerwatt(*clear, *options).complaint
    missing = peerwatt("clear", "none.csv", "--mechanism", "vcg", "--out", "-").complaint
    assert "none.csv" in missing
