"""The page stands alone, says what the run says, and cannot be broken by what it shows."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from peerwatt.records.signing import derive_key
from peerwatt.reporting import day_data
from peerwatt.reporting.clearing_gap import gap_ppb
from peerwatt.reporting.day_data import page_data
from peerwatt.reporting.day_page import day_page, write_day_report
from peerwatt.reporting.day_result import DayResultError, read_result
from peerwatt.reporting.manifest import check_manifest
from peerwatt.reporting.run_folder import RunFolder

CHAIN = "sim-made-up-1"
VOID = {"meta", "link", "input", "br", "img", "hr"}
LOADING = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")


class Page(HTMLParser):
    """A page's tags, ids, references, and whether every tag is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in LOADING:
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page(day: Any) -> str:
    return day_page(read_result(day.summary, day.tables))


def _data(page: str) -> Any:
    [text] = re.findall(r'<script type="application/json" id="day-data">(.*?)</script>', page, re.S)
    return json.loads(text)


@pytest.fixture(scope="module")
def page(day: Any) -> str:
    return _page(day)


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    for reference in parsed.references:
        assert reference.startswith("#") or reference == "data:,"
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_every_link_and_every_part_that_the_script_asks_for_is_there(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {reference[1:] for reference in parsed.references if reference.startswith("#")}
    asked = set(re.findall(r'byId\("([\w-]+)"\)', page)) | set(re.findall(r'for="([\w-]+)"', page))
    labelled = set(re.findall(r'aria-labelledby="([\w-]+)"', page))
    assert targets | asked | labelled <= set(parsed.ids)


def test_headings_go_down_one_step_at_a_time(page: str) -> None:
    levels = [int(tag[1]) for tag in Page(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_the_page_of_a_full_day_is_small(page: str) -> None:
    assert len(page.encode()) < 1_500_000


def test_the_data_hold_every_round_with_its_orders(day: Any, page: str) -> None:
    data = _data(page)
    assert [each["start_s"] for each in data["rounds"]] == day.tables["rounds"][
        "slot_start_s"
    ].to_list()
    assert sum(len(each["rows"]) for each in data["rounds"]) == day.tables["orders"].height
    for each in data["rounds"]:
        assert {len(values) for values in each["curve"].values()} == {len(each["curve"]["price"])}
        assert len(each["curve"]["price"]) >= 2
        assert each["widest_wh"] > each["volume_wh"]
        assert all(len(row) == 7 for row in each["rows"])
        assert dict(each["money"])["Sum"] == "$0.0000"


def test_the_tables_say_what_the_summary_says(day: Any, page: str) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for outcome in day.summary["baselines"].values():
        assert f"${outcome['cost_usd']:,.2f}" in text
        assert f"{outcome['unmet_kwh']:,.1f}" in text
    for ucoin in day.summary["money_ucoin"].values():
        assert f"${abs(ucoin) / 1e6:,.6f}" in text
    for words in (
        day.summary["ledger"]["head"],
        day.summary["ledger"]["app_hash"],
        "peerwatt verify DIR",
        "the meter did not sign it",
        "501 BAD_READING_SIGNATURE",
        "in block 400",
        "CC BY 4.0",
    ):
        assert words in text


def test_pairs_are_told_as_pairs(make: Callable[..., Any]) -> None:
    """No price for all: what a buyer pays lies between two prices, and a word says so."""
    day = make(mechanism="welfare-pairs")
    text = _page(day)
    assert "welfare-pairs clearing, each buyer at its own price" in text
    assert "midpoint" not in text
    for words in ("dearest buyer", "buyers pay on average", "A buyer pays its own price"):
        assert words in text
    for each, row in zip(_data(text)["rounds"], day.tables["rounds"].to_dicts(), strict=True):
        if row["buyer_price_ucoin_per_kwh"]:
            assert each["price"] == row["buyer_price_ucoin_per_kwh"]
            assert each["least"] - 5 <= each["buyers"] <= each["price"] + 5
            assert "buyers pay $" in each["line"]
        else:
            assert each["price"] is each["least"] is each["buyers"] is None
            assert "nobody bought" in each["line"]
            assert each["title"].endswith("for the grid")
        assert "clearing price" not in each["line"]
        assert each["proved"]
        assert dict(each["clearing"])["Cleared by"] == "aggregator"
        assert each["gap"] == gap_ppb(row["gap_ucoin"], row["traded_ucoin"]) / 1e9
    other = _page(make(buyers=5))
    assert "midpoint prices" in other
    assert "In pairs" not in other


def test_equal_days_have_equal_pages(make: Callable[..., Any], page: str) -> None:
    assert _page(make()) == page


def test_odd_days_have_pages(make: Callable[..., Any]) -> None:
    for given in (
        {"buyers": 0, "sellers": 0, "forged": False},
        {"buyers": 1, "sellers": 0, "forged": False},
        {"limit_kw": None, "pv_kwp": 100.0, "void_every": 9, "fee": 10_000},
        {"mechanism": "uniform", "buyers": 5},
        {"mechanism": "welfare-pairs", "buyers": 9, "void_every": 5},
    ):
        text = _page(make(**given))
        assert Page(text).open == []
        _data(text)
    nothing = _page(make(buyers=0, sellers=0, forged=False))
    assert "No round had an order." in nothing
    assert "No message was refused." in nothing


def test_void_rounds_say_so_and_have_no_price(make: Callable[..., Any]) -> None:
    rounds = _data(_page(make(void_every=9)))["rounds"]
    void = [each for each in rounds if each["price"] is None]
    assert len(void) == len(rounds) // 9
    for each in void:
        assert "void" in each["why"]
        assert each["cleared"] is None
        assert each["volume_wh"] == 0
        assert each["rows"]


def test_what_others_wrote_is_text_and_never_markup(day: Any) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    tables = {
        **day.tables,
        "cars": day.tables["cars"].with_columns(pl.lit(evil).alias("session_id")),
        "orders": day.tables["orders"].with_columns(pl.lit(evil).alias("car")),
        "refused": day.tables["refused"].with_columns(
            pl.lit(evil).alias("words"), pl.lit(evil).alias("field"), pl.lit(evil).alias("message")
        ),
    }
    summary = day.summary | {"labels": [evil], "site": evil, "version": evil}
    text = day_page(read_result(summary, tables))
    parsed = Page(text)
    assert parsed.tags.count("script") == 2
    assert "img" not in parsed.tags
    assert _data(text)["rounds"][0]["rows"][0][0] == evil


def test_flags_excuses_and_open_settlements_stand_beside_the_award(day: Any) -> None:
    first = day.tables["awards"]["slot_start_s"][0]
    mine = pl.col("slot_start_s") == first
    awards = day.tables["awards"].with_columns(
        pl.when(mine).then(3).otherwise(pl.col("flags")).alias("flags"),
        pl.when(mine).then(120).otherwise(pl.col("excused_wh")).alias("excused_wh"),
    )
    rounds = day.tables["rounds"].with_columns(pl.lit(8).alias("flags"))
    open_awards = awards.with_columns(pl.lit(None).alias("metered_wh"))
    for table, note in (
        (awards, "no reading; moved more than awarded; 0.12 kWh excused"),
        (open_awards, "not settled"),
    ):
        tables = {**day.tables, "awards": table, "rounds": rounds}
        shown = page_data(read_result(day.summary, tables))["rounds"][0]
        assert any(row[6] == note for row in shown["rows"])
        assert "Note: the main meter disagrees" in shown["why"]


def test_a_very_large_day_shows_the_largest_orders_and_says_so(
    day: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_data, "MOST_ORDERS", 200)
    shown = page_data(read_result(day.summary, day.tables))["rounds"]
    assert sum(len(each["rows"]) for each in shown) <= 200
    full = [each for each in shown if each["more"]]
    assert full
    assert all("not shown; all are in table orders" in each["more"] for each in full)


def test_the_report_goes_into_a_run_folder(day: Any, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as run:
        write_day_report(run, day.summary, day.tables)
        manifest = run.finish(derive_key(1, "operator", CHAIN), CHAIN)
    assert sorted(manifest.files) == [
        "plots/certified_gap.png",
        "plots/cost_against_baselines.png",
        "plots/energy_over_day.png",
        "plots/money_that_sums_to_zero.png",
        "plots/price_over_day.png",
        "plots/savings_by_car.png",
        "report.html",
    ]
    assert check_manifest(tmp_path / "out") == []


def test_a_result_that_does_not_add_up_is_not_reported(day: Any, tmp_path: Path) -> None:
    summary = day.summary | {"money_ucoin": day.summary["money_ucoin"] | {"pot": 0}}
    with (
        pytest.raises(DayResultError, match="money_ucoin: adds up to"),
        RunFolder(tmp_path / "out") as run,
    ):
        write_day_report(run, summary, day.tables)
    assert list(tmp_path.iterdir()) == []
