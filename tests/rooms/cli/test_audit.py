"""`peerwatt audit`: tables, a folder of figures and plots, exit 1 where a claim is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peerwatt.market_lab import subjects

Peerwatt = Callable[..., Any]
ORDERS = "side,id,price,kwh\nbuy,a,0.30,2\nbuy,b,0.20,2\nsell,x,0.10,2\nsell,y,0.25,2\n"
GRID = ("--retail", "0.35", "--feed-in", "0.05")


def test_claims_are_tried_and_what_was_found_is_kept(peerwatt: Peerwatt, tmp_path: Path) -> None:
    said = peerwatt("audit", "huang", "--markets", "4", "--seed", "3", "--out", "audited")
    assert (said.code, said.err) == (0, "")
    assert "huang claims to be truthful in price: held, 16 owners of 4 markets" in said.out
    folder = tmp_path / "audited"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["audit.json", "gains.png", "lies.png", "manifest.json", "timings.json"]
    row = json.loads((folder / "audit.json").read_text(encoding="utf-8"))[0]
    assert row["price_lies_pay"] == 0
    assert row["quantity_lies_pay"] > 0
    assert row["best_lies"]["quantity"]["market"] in range(3, 7)
    assert (folder / "lies.png").read_bytes().startswith(b"\x89PNG")
    peerwatt("audit", "huang", "--markets", "4", "--seed", "3", "--out", "again")
    for name in ("audit.json", "lies.png", "gains.png", "manifest.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_one_market_of_a_file(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS, encoding="utf-8")
    said = peerwatt("audit", "uniform", "--orders", "orders.csv", *GRID)
    assert said.code == 0
    assert "uniform: market 0, " in said.out


def test_a_broken_claim_is_exit_1(peerwatt: Peerwatt, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = replace(subjects.subject_of("one-price"), truthful_in_price=True)
    monkeypatch.setitem(subjects._OTHERS, "one-price", lying)
    said = peerwatt("audit", "one-price", "--markets", "3")
    assert said.code == 1
    assert "does not hold: truthful in price" in said.out


def test_what_cannot_be_audited_is_one_line(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS, encoding="utf-8")
    (tmp_path / "alone.csv").write_text("side,id,price,kwh\nbuy,a,0.30,2\n", encoding="utf-8")
    far = "side,id,price,kwh,place_km\nbuy,a,0.3,2,1\nsell,x,0.1,2,\n"
    (tmp_path / "far.csv").write_text(far, encoding="utf-8")
    for words, options in (
        ("mechanism 'pairs' is none of uniform, ", ("pairs",)),
        ("an audit needs the grid's prices", ("vcg", "--orders", "orders.csv")),
        ("alone.csv: nobody would sell", ("vcg", "--orders", "alone.csv", *GRID)),
        ("far.csv: column place_km", ("vcg", "--orders", "far.csv", *GRID)),
    ):
        assert words in peerwatt("audit", *options).complaint
