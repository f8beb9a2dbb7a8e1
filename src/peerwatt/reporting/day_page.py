"""Writes a hub day's report: one page that needs no network, and its figures.

Knows a day's result, HTML and the parts of the page beside it. Nothing in the page is loaded
from elsewhere, and it holds no date of its own making: equal days give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from peerwatt.reporting.day_clearing import AUCTION, how_good
from peerwatt.reporting.day_data import first_shown, page_data
from peerwatt.reporting.day_result import DayResult, read_result
from peerwatt.reporting.day_sections import (
    baselines_table,
    cars_table,
    dropped_rows,
    energy_balance,
    footer,
    key_figures,
    money_table,
    refused_table,
    verify_words,
)
from peerwatt.reporting.day_words import (
    PAIRWISE,
    assumed,
    headline,
    price_rule_words,
    real,
)
from peerwatt.reporting.page_parts import Html, listing, paragraphs, show
from peerwatt.reporting.run_folder import RunFolder

if TYPE_CHECKING:
    import polars

PAGE = "report.html"
PLOTS = "plots"
SUPPLY_IN_PAIRS = (
    "In pairs a seller's cost rises with what it sends to each buyer, so the supply that is drawn "
    "is for one price for all: of each seller, (price − ask) / slope to every buyer, up to its "
    "order. The mark reaches from the cheapest buyer's price to the dearest's."
)
SUPPLY_IN_AUCTIONS = (
    "An order in an auction says its limit alone, so what is drawn is what everybody would have "
    "taken and given at the worst price that it agreed to. The mark reaches from the cheapest "
    "buyer's price to the dearest's."
)


def write_day_report(
    run: RunFolder, summary: Mapping[str, Any], tables: Mapping[str, polars.DataFrame]
) -> None:
    """Write `report.html` and `plots/*.png` into an open run folder.

    `summary` is what `day_result.DaySummary` describes, `tables` what `day_tables.DAY_TABLES`
    does. Raises DayResultError or TablesError, and writes nothing, where they lack something or
    do not add up.
    """
    from peerwatt.reporting.plots import FIGURES

    result = read_result(summary, tables)
    run.write_text(PAGE, day_page(result))
    for name, draw in FIGURES.items():
        run.write_figure(f"{PLOTS}/{name}.png", draw(result))


def day_page(result: DayResult) -> str:
    """The whole page."""
    summary = result.summary
    title = f"A day at the {summary.site.upper()} hub, {summary.date:%A %-d %B %Y}"
    subtitle = (
        f"Simulated market on recorded charging sessions · {summary.mechanism} clearing, "
        f"{price_rule_words(result)} · seed {summary.seed}"
    )
    return Template(page_part("day.html")).substitute(
        title=show(title),
        subtitle=show(subtitle),
        labels=listing(summary.labels, "labels"),
        headline=paragraphs(headline(result), first="lead"),
        figures=key_figures(result),
        real=listing(real(result)),
        assumed=listing(assumed(result)),
        dropped=dropped_rows(result),
        baselines=baselines_table(result),
        energy_balance=energy_balance(result),
        rounds=_rounds(result),
        clearing=_clearing(result),
        cars=cars_table(result),
        money=money_table(result),
        refused=refused_table(result),
        verify=verify_words(result),
        footer=footer(result),
        css=page_part("day.css"),
        js=page_part("day.js"),
        data=_embedded(page_data(result)),
    )


def _rounds(result: DayResult) -> Html:
    count = result.rounds.height
    if count == 0:
        return Html("<p>No round had an order.</p>")
    sources = [("grid", "from the grid"), ("cars", "from cars")]
    if result.summary.energy_wh.from_pv:
        sources.append(("pv", "from the roof"))
    if result.summary.energy_wh.sold_to_grid:
        sources.append(("out", "sold to the grid"))
    sources.append(("unmet", "unmet, when a car leaves"))
    if result.summary.limit_kw is not None:
        sources.append(("stroke limit", f"the connection's limit, {result.summary.limit_kw:g} kW"))
    legend = "".join(
        f'<li><span class="swatch {kind}"></span>{show(text)}</li>' for kind, text in sources
    )
    pairs = result.summary.price_rule == PAIRWISE
    parts = {
        "last": count - 1,
        "first": first_shown(result),
        "legend_energy": legend,
        "price_name": "dearest buyer" if pairs else "clearing price",
        "buyers_name": "buyers pay on average" if pairs else "buyers pay",
        "supply_words": _supply_words(result),
    }
    return Html(Template(page_part("rounds.html")).substitute(parts))


def _supply_words(result: DayResult) -> str:
    if AUCTION in result.summary.mechanism:
        return SUPPLY_IN_AUCTIONS
    return SUPPLY_IN_PAIRS if result.summary.price_rule == PAIRWISE else ""


def _clearing(result: DayResult) -> Html:
    """What is certified of the clearings, and where something is, its chart."""
    said = paragraphs(how_good(result)) or Html("<p>No round was cleared.</p>")
    clearings = result.summary.clearings
    if not clearings.certified:
        return said
    kinds = (
        ("proved", "proved by a member", clearings.by_members),
        ("itself", "cleared by the ledger itself", clearings.by_ledger),
    )
    legend = "".join(
        f'<li><span class="swatch {kind}"></span>{show(text)}</li>'
        for kind, text, number in kinds
        if number
    )
    return Html(said + Template(page_part("clearing.html")).substitute(legend_gap=legend))


def _embedded(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def page_part(name: str) -> str:
    """A file of the page's folder."""
    return (files("peerwatt.reporting") / "page" / name).read_text(encoding="utf-8")
