"""Writes the report of a day at several hubs: a page with their map, and one page a hub.

Knows a region's summary, HTML and the page of a single hub. Nothing in a page is loaded from
elsewhere, and it holds no date of its own making: equal days give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import TYPE_CHECKING, Any

from peerwatt.reporting.day_page import PAGE, day_page, page_part
from peerwatt.reporting.day_result import read_result
from peerwatt.reporting.day_sections import RULES
from peerwatt.reporting.day_series import usd
from peerwatt.reporting.day_words import count, dollars, kwh, signed_dollars
from peerwatt.reporting.page_parts import (
    Html,
    diverging_bar,
    listing,
    pairs,
    paragraphs,
    show,
    table,
)
from peerwatt.reporting.region_map import region_map
from peerwatt.reporting.region_result import RegionSummary, read_region
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.units import WH_PER_KWH

if TYPE_CHECKING:
    import polars

HUBS = "hubs"
NUMBERS = ("Cars", "Ports", "Limit, kW", "Cost", "Plug-and-charge", "Unmet, kWh", "From cars, kWh")


def write_region_report(
    run: RunFolder,
    summary: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, polars.DataFrame]],
) -> None:
    """Write `report.html` and `hubs/NAME.html` into an open run folder; `tables` are by hub.

    Raises DayResultError or TablesError where they lack something or do not add up.
    """
    region = read_region(summary)
    run.write_text(PAGE, region_page(region))
    shared = {name: summary[name] for name in ("chain_id", "ledger")}
    for name, own in tables.items():
        result = read_result(shared | summary["hubs"][name], own)
        run.write_text(f"{HUBS}/{name}.html", day_page(result))


def region_page(summary: RegionSummary) -> str:
    """The whole page."""
    hubs = len(summary.hubs) + len(summary.idle)
    return Template(page_part("region.html")).substitute(
        title=show(f"A day at {count(hubs, 'hub')} on one ledger, {summary.date:%A %-d %B %Y}"),
        subtitle=show(
            f"Simulated market on recorded charging sessions · map {summary.map} · "
            f"{summary.mechanism} clearing · seed {summary.seed}"
        ),
        labels=listing(_assumed(summary), "labels"),
        headline=paragraphs(_headline(summary), first="lead"),
        figures=_figures(summary),
        map=region_map(summary),
        legend=_legend(summary),
        hubs=_hubs(summary),
        baselines=_baselines(summary),
        money=_money(summary),
        verify=_verify(summary),
        footer=paragraphs(
            [
                f"peerwatt {summary.version}. Times are local: {summary.zone}.",
                "The sessions of JPL and Caltech that come with peerwatt are from ACN-Data: Z. J. "
                "Lee, T. Li, S. H. Low, e-Energy 2019, doi:10.1145/3307772.3328313, licensed "
                "CC BY 4.0.",
            ]
        ),
        css=page_part("day.css") + page_part("region.css"),
    )


def _assumed(summary: RegionSummary) -> list[str]:
    """What no data hold."""
    labels = [
        "assumed: where each car comes from, evenly spread over the map and drawn from the seed",
        "assumed: the hubs' places, ports and connections, and which cars sell",
    ]
    return [*labels, f"map: {summary.note}"] if summary.note else labels


def _headline(summary: RegionSummary) -> list[str]:
    cars, total = summary.cars, summary.total
    market, plug = total.baselines.market, total.baselines.plug_and_charge
    saved, away = plug.cost_usd - market.cost_usd, cars.turned_away
    laid = f", {len(cars.days)} like days laid on one" if len(cars.days) > 1 else ""
    texts = [
        f"{count(cars.came, 'car')} of {cars.source} ({cars.site}{laid}) looked for a hub; "
        f"{cars.at_the_nearest:,} found a port at the nearest one and "
        f"{cars.parked - cars.at_the_nearest:,} at another, after {cars.mean_distance_m:,} m on "
        f"average. {count(cars.turned_away, 'car was', 'cars were') if away else 'None was'} "
        "turned away.",
        f"At the hubs the day cost {dollars(market.cost_usd)}, {dollars(abs(saved))} "
        f"{'less' if saved >= 0 else 'more'} than under plug-and-charge; cars sold "
        f"{kwh(total.energy_wh.from_cars)} to one another.",
        f"{count(summary.trades_recorded, 'trade')} stand on the ledger, each signed by buyer and "
        f"seller; {count(summary.histories_checked, 'wallet')} checked their history there.",
    ]
    if away:
        texts.append(
            f"What the cars that were turned away needed, {kwh(cars.turned_away_wh)}, is in none "
            "of these sums: they charged elsewhere."
        )
    return texts


def _figures(summary: RegionSummary) -> Html:
    total, cars = summary.total, summary.cars
    plug = total.baselines.plug_and_charge
    figures = (
        (
            "Cost of the day",
            dollars(total.baselines.market.cost_usd),
            f"plug-and-charge: {dollars(plug.cost_usd)}",
        ),
        ("Need not met", kwh(total.energy_wh.unmet), f"plug-and-charge: {plug.unmet_kwh:,.1f} kWh"),
        ("From cars", kwh(total.energy_wh.from_cars), f"{count(total.orders.awarded, 'award')}"),
        ("Turned away", f"{cars.turned_away:,}", f"of {count(cars.came, 'car')}"),
    )
    return pairs(
        (
            (name, Html(f"{show(value)}<small>{show(note)}</small>"))
            for name, value, note in figures
        ),
        "figures",
    )


def _legend(summary: RegionSummary) -> Html:
    """What the map's marks mean, as far as there are such marks."""
    far = summary.cars.parked - summary.cars.at_the_nearest
    marks = [("hub", "a hub, its area by the cars that came"), ("car", "where a car came from")]
    if summary.idle:
        marks.insert(1, ("idle", "a hub to which no car came"))
    if far:
        marks.append(("stroke far", "its way, where nearer hubs were full"))
    items = "".join(
        f'<li><span class="swatch {kind}"></span>{show(text)}</li>' for kind, text in marks
    )
    return Html(f'<ul class="legend">{items}</ul>')


def _hubs(summary: RegionSummary) -> Html:
    """One row a hub, and all together."""
    rows = []
    for name, hub in summary.hubs.items():
        outcome, plug = hub.baselines.market, hub.baselines.plug_and_charge
        page = f'<a href="{HUBS}/{show(name)}.html">{show(name)}</a>'
        link = Html(f"{page}<small>{show(hub.operator)}</small>")
        rows.append(
            [
                link,
                f"{len(hub.cars_from):,}",
                f"{hub.ports:,}",
                f"{hub.limit_kw:g}",
                dollars(outcome.cost_usd),
                dollars(plug.cost_usd),
                f"{hub.energy_wh.unmet / WH_PER_KWH:,.1f}",
                f"{hub.energy_wh.from_cars / WH_PER_KWH:,.1f}",
            ]
        )
    total, outcomes = summary.total.energy_wh, summary.total.baselines
    foot = [
        "All",
        f"{summary.cars.parked:,}",
        f"{sum(hub.ports for hub in summary.hubs.values()):,}",
        "",
        dollars(outcomes.market.cost_usd),
        dollars(outcomes.plug_and_charge.cost_usd),
        f"{total.unmet / WH_PER_KWH:,.1f}",
        f"{total.from_cars / WH_PER_KWH:,.1f}",
    ]
    idle = [each.name for each in summary.idle]
    said = [f"To {count(len(idle), 'hub')} no car came: {', '.join(idle)}."] if idle else []
    tall = "Hubs" if len(rows) > 12 else ""
    head = ["Hub and operator", *NUMBERS]
    shown = table(head, rows, numbers=range(1, len(head)), foot=foot, tall=tall)
    return Html(shown + paragraphs(said))


def _baselines(summary: RegionSummary) -> Html:
    """The market between what happens without control and what nobody can beat."""
    rows = []
    for key, name, note in RULES:
        outcome = getattr(summary.total.baselines, key)
        rows.append(
            [
                Html(f"{show(name)}<small>{show(note)}</small>"),
                dollars(outcome.cost_usd),
                f"{outcome.unmet_kwh:,.1f}",
                f"{outcome.grid_kwh:,.1f}",
                f"{outcome.cars_kwh:,.1f}",
            ]
        )
    head = ["Rule", "Cost", "Unmet, kWh", "From grid, kWh", "From cars, kWh"]
    note = "Each hub is planned on its own: no plan sends a car to another hub."
    return Html(table(head, rows, numbers=range(1, 5), marked=[2]) + paragraphs([note]))


def _money(summary: RegionSummary) -> Html:
    """Who paid and who received at all hubs."""
    parties = summary.total.money_ucoin.parties
    low, high = min(0, *parties.values()), max(0, *parties.values())
    rows = [
        [name, signed_dollars(usd(ucoin), 6), diverging_bar(ucoin, low, high)]
        for name, ucoin in parties.items()
    ]
    foot = ["Sum", f"${usd(sum(parties.values())):.6f}", ""]
    return table(["Party", "Over the day", ""], rows, numbers=[1], foot=foot)


def _verify(summary: RegionSummary) -> Html:
    """The ledger's end, and the command that checks everything again."""
    ledger = summary.ledger
    keys = (
        ("Ledger", f"{count(ledger.height, 'block')}, {count(ledger.messages, 'message')}"),
        ("Chain", summary.chain_id),
        ("Head", Html(f"<code>{show(ledger.head)}</code>")),
        ("State hash", Html(f"<code>{show(ledger.app_hash)}</code>")),
    )
    items = "".join(f"<dt>{show(name)}</dt><dd>{show(value)}</dd>" for name, value in keys)
    text = (
        "DIR is the folder in which this page lies. The command checks every file against the "
        "signed manifest, executes the one ledger of all hubs again from its first block and holds "
        "each hub's rows and sums against it."
    )
    return Html(
        f"{paragraphs([text])}<pre><code>peerwatt verify DIR</code></pre>"
        f'<dl class="keys">{items}</dl>'
    )
