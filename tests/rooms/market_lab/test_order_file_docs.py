"""The page on order files names every column and every mechanism."""

from __future__ import annotations

from pathlib import Path

from peerwatt.market_lab.order_file import USES

PAGE = Path(__file__).parents[3] / "docs" / "orders.md"


def test_the_page_names_each_column_and_each_mechanism() -> None:
    text = PAGE.read_text(encoding="utf-8")
    columns = {column for uses in USES.values() for part in uses for column in part}
    for name in (*columns, "side", "id", *USES):
        assert f"`{name}`" in text, name
