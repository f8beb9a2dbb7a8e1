"""Small pieces of HTML."""

from __future__ import annotations

from peerwatt.reporting.page_parts import Html, diverging_bar, listing, stacked_bar, table


def test_text_is_escaped_and_html_is_not() -> None:
    assert "&lt;b&gt;" in table(["<b>"], [])
    assert "<b>x</b>" in table(["a"], [[Html("<b>x</b>")]])
    assert listing(["a & b"]) == "<ul><li>a &amp; b</li></ul>"
    assert listing([]) == ""


def test_the_first_cell_heads_its_row() -> None:
    html = table(["a", "b"], [["x", "1"]], numbers=[1], foot=["sum", "1"])
    assert '<th scope="col">a</th><th scope="col" class="num">b</th>' in html
    assert '<tr><th scope="row">x</th><td class="num">1</td></tr>' in html
    assert '<tfoot><tr><th scope="row">sum</th>' in html


def test_a_tall_table_can_be_reached_and_scrolled_by_keyboard() -> None:
    assert 'tabindex="0" role="region" aria-label="Cars"' in table(["a"], [], tall="Cars")


def test_bars_are_shares_of_the_whole() -> None:
    bar = stacked_bar([("energy", 3.0), ("unmet", 0.0), ("more", -1.0)], 4.0)
    assert bar.count("<i") == 1
    assert 'class="energy" style="width:75.00%"' in bar


def test_a_diverging_bar_starts_at_zero() -> None:
    assert "--zero:25.00%" in diverging_bar(-1, -1, 3)
    assert 'class="loss" style="left:0.00%;width:25.00%"' in diverging_bar(-1, -1, 3)
    assert 'class="gain" style="left:25.00%;width:75.00%"' in diverging_bar(3, -1, 3)
    assert "width:0.00%" in diverging_bar(0, 0, 0)
