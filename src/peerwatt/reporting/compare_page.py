"""Writes the page of a day under several mechanisms: one file, its figures inside.

Knows a comparison, HTML and the pieces of other pages. Says only what the numbers hold; nothing in
it is loaded from elsewhere, and equal days give equal bytes: times stand beside it, in a file of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from peerwatt.reporting.clearing_gap import at_most
from peerwatt.reporting.compare_plots import FIGURES
from peerwatt.reporting.comparison import (
    BASELINES,
    ROLES,
    Comparison,
    auction_steps,
    comparison_summary,
    comparison_tables,
    mean_prices_ucoin_per_kwh,
    standing,
)
from peerwatt.reporting.day_page import page_part
from peerwatt.reporting.day_result import DayResult
from peerwatt.reporting.day_series import usd
from peerwatt.reporting.day_words import count, dollars, price, signed_dollars
from peerwatt.reporting.page_parts import Html, listing, pairs, paragraphs, show, table
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.reporting.study_page import Section, section_html

PAGE = "compare.html"
NONE = "–"


def write_comparison(folder: RunFolder, comparison: Comparison) -> None:
    """Page, figures, tables and summary into an open folder."""
    images = {}
    for name, draw in FIGURES.items():
        figure = draw(comparison)
        for kind in ("png", "svg"):
            folder.write_figure(f"plots/{name}.{kind}", figure)
        images[name] = folder.written(f"plots/{name}.svg")
    for name, rows in comparison_tables(comparison).items():
        folder.write_table(f"{name}.parquet", rows)
    folder.write_json("summary.json", comparison_summary(comparison))
    folder.write_text(PAGE, compare_page(comparison, images))


def compare_page(comparison: Comparison, images: Mapping[str, bytes]) -> str:
    """The whole page; `images` has the SVG of each of FIGURES."""
    summary = comparison.any_result.summary
    limit = "no limit" if summary.limit_kw is None else f"{summary.limit_kw:g} kW"
    sections = [_costs(comparison), _money(comparison), _gains(comparison)]
    sections += [_proofs(comparison), _privacy(comparison)]
    return Template(page_part("compare.html")).substitute(
        title=show(f"One day, {count(len(comparison.results), 'mechanism')}"),
        subtitle=show(
            f"{summary.site.upper()}, {summary.date:%A %-d %B %Y} · "
            f"{count(summary.sessions.buyers, 'car buys', 'cars buy')}, "
            f"{summary.sessions.sellers} sell · connection: {limit} · seed {summary.seed}"
        ),
        labels=listing(summary.labels, "labels"),
        links="".join(
            f'<li><a href="#{each.name}">{show(each.title)}</a></li>' for each in sections
        ),
        lead=paragraphs(_lead(comparison), first="lead"),
        figures=_figures(comparison),
        sections="\n".join(section_html(each, images) for each in sections),
        footer=paragraphs(
            [
                f"peerwatt {summary.version}. Each mechanism had the same cars, trips, tariff and "
                "connection, and a ledger of its own; `peerwatt day --mechanism NAME` with "
                "config.json runs one alone, in a folder that `peerwatt verify` checks.",
                "The sessions of JPL and Caltech that come with peerwatt are from ACN-Data: Z. J. "
                "Lee, T. Li, S. H. Low, e-Energy 2019, doi:10.1145/3307772.3328313, licensed "
                "CC BY 4.0.",
            ]
        ),
        css=page_part("day.css"),
    )


def _lead(comparison: Comparison) -> list[str]:
    costs = {n: each.summary.baselines.market.cost_usd for n, each in comparison.results.items()}
    low, high = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
    baselines = comparison.any_result.summary.baselines
    plug, best = baselines.plug_and_charge.cost_usd, baselines.optimum.cost_usd
    spread = f"Under {low} the day cost {dollars(costs[low])}"
    if costs[high] - costs[low] >= 0.005:
        spread += f", under {high} {dollars(costs[high])}"
    elif len(costs) > 1:
        spread = f"Under each mechanism the day cost {dollars(costs[low])}"
    texts = [
        f"{spread}; plug-and-charge would have cost {dollars(plug)}, and with all known beforehand "
        f"{dollars(best)} would have done."
    ]
    worse = {
        n: sum(standing(each, r).lose for r in ROLES) for n, each in comparison.results.items()
    }
    if any(worse.values()):
        told = ", ".join(f"{name}: {number}" for name, number in worse.items())
        texts.append(f"Cars that lose against plug-and-charge: {told}.")
    else:
        texts.append("No car loses against plug-and-charge under any of them.")
    return texts


def _figures(comparison: Comparison) -> Html:
    """Each mechanism's cost, and how much of the possible saving it reached."""

    def reached(result: DayResult) -> str:
        captured = result.summary.captured
        if captured is None or captured <= 0:
            return "nothing saved"
        return f"{captured:.0%} of the possible saving"

    return pairs(
        (
            (
                name,
                Html(
                    f"{show(dollars(each.summary.baselines.market.cost_usd))}"
                    f"<small>{show(reached(each))}</small>"
                ),
            )
            for name, each in comparison.results.items()
        ),
        "figures",
    )


def _costs(comparison: Comparison) -> Section:
    outcomes = comparison.outcomes
    plug = next(iter(outcomes.values())).cost_usd
    rows = [
        (
            label,
            dollars(each.cost_usd),
            signed_dollars(plug - each.cost_usd),
            f"{each.unmet_kwh:,.1f}",
            f"{each.grid_kwh:,.1f}",
            f"{each.cars_kwh:,.1f}",
        )
        for label, each in outcomes.items()
    ]
    known = BASELINES.values()
    marked = [at for at, label in enumerate(outcomes) if label not in known]
    return Section(
        "costs",
        "Cost and energy",
        [
            "What the day used: the grid's energy, sellers' refill and wear, and each kWh that a "
            "car needed and did not get. Grey bars are yardsticks: two are planned with all known."
        ],
        [("costs", "Cost of the day, energy from cars and need not met.")],
        table(
            ("", "Cost", "Saved", "Unmet, kWh", "From grid, kWh", "From cars, kWh"),
            rows,
            numbers=range(1, 6),
            marked=marked,
        ),
    )


def _money(comparison: Comparison) -> Section:
    rows = []
    for name, each in comparison.results.items():
        money = each.summary.money_ucoin
        sides = (NONE if p is None else price(p) for p in mean_prices_ucoin_per_kwh(each))
        flows = (money.pot, money.site_operator, money.fees, -money.penalties)
        told = (signed_dollars(usd(flow), 4) for flow in flows)
        rows.append((name, each.summary.price_rule, *sides, *told))
    head = ("", "Prices", "Buyers paid, kWh", "Sellers got, kWh", "Pot", "Site's operator")
    return Section(
        "money",
        "Prices of both sides, and the budget",
        [
            "Mean prices of the day: what buyers paid is for the grid's energy, too, and may "
            "be below what cars and roof got. The pot keeps what buyers pay "
            "beyond what sellers, supplier and fees get: above zero the mechanism runs a surplus, "
            "below zero it would need one. A penalty is what those paid that fell short."
        ],
        [("prices", "What a kWh cost buyers and brought sellers.")],
        table((*head, "Fees", "Penalties"), rows, numbers=range(2, 8)),
    )


def _gains(comparison: Comparison) -> Section:
    rows = []
    for name, each in comparison.results.items():
        for role in ROLES:
            s = standing(each, role)
            if not s.gain + s.even + s.lose:
                continue
            money = (dollars(usd(s.gained_ucoin)), dollars(usd(s.lost_ucoin)))
            rows.append((f"{name}, {role}s", f"{s.gain}", f"{s.even}", f"{s.lose}", *money))
    return Section(
        "gains",
        "Who gains and who loses",
        [
            "Each car against its own day under plug-and-charge, its unmet need counted; "
            "a seller would have sold nothing then. A difference below half a cent is none."
        ],
        [("gains", "Gain of every car against plug-and-charge, the largest first.")],
        table(
            ("", "Gain", "Even", "Lose", "Gained in all", "Lost in all"), rows, numbers=range(1, 6)
        ),
    )


def _proofs(comparison: Comparison) -> Section:
    rows = []
    for name, each in comparison.results.items():
        clearings, ledger = each.summary.clearings, each.summary.ledger
        gap = (NONE, NONE)
        if clearings.certified:
            gap = (_to_the_last(clearings.gap_ucoin), at_most(clearings.largest_gap_ppb))
        who = (clearings.by_ledger, clearings.by_members, clearings.grid_alone)
        work = (auction_steps(each), ledger.messages, ledger.height)
        rows.append((name, *(f"{n:,}" for n in who), *gap, *(f"{n:,}" for n in work)))
    head = ("", "By ledger", "By members", "Grid alone", "Gap, all rounds", "Largest, of trade")
    return Section(
        "proofs",
        "What is proved, and the work of it",
        [
            "Who cleared the rounds; how much welfare any other clearing of the same orders could "
            "have gained at most (in an auction: of its last bids), rounds "
            "against the grid alone left out; and the ledger's work. "
            "How long each took on the machine that ran it stands in timings.json."
        ],
        table=table((*head, "Auction's steps", "Messages", "Blocks"), rows, numbers=range(1, 9)),
    )


def _privacy(comparison: Comparison) -> Section:
    rows = [(name, comparison.learned[name]) for name in comparison.results]
    return Section(
        "privacy",
        "Who learns what",
        ["Whatever the mechanism: " + "; ".join(comparison.always_learned) + "."],
        table=table(("", "Of a driver's bids"), rows),
    )


def _to_the_last(ucoin: int) -> str:
    """A bound to the last micro-coin."""
    return f"${usd(ucoin):,.6f}"
