"""The tables and short texts of a day's page, section by section.

Knows a day's result and the small pieces of HTML. Knows neither the page around it nor the
charts that a script draws.
"""

from __future__ import annotations

import re
from typing import Any

from peerwatt.reporting.day_result import DayResult, Outcome
from peerwatt.reporting.day_series import clock, lost_load_usd_per_kwh, short_name, usd
from peerwatt.reporting.day_words import PAIRWISE, count, dollars, kwh, signed_dollars, small
from peerwatt.reporting.page_parts import (
    Html,
    diverging_bar,
    listing,
    pairs,
    paragraphs,
    show,
    stacked_bar,
    table,
)
from peerwatt.units import WH_PER_KWH

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
RULES = (
    ("plug_and_charge", "Plug-and-charge", "each car at full power from arrival"),
    ("best_grid_only", "Best grid-only", "perfect foresight, no car sells"),
    ("market", "Market", "this run, round by round"),
    ("optimum", "Optimum", "perfect foresight, cars sell: the bound"),
)


def key_figures(result: DayResult) -> Html:
    """Four numbers to take along."""
    baselines, energy = result.summary.baselines, result.summary.energy_wh
    plug = baselines.plug_and_charge
    captured = result.summary.captured
    share = energy.from_cars / energy.sources if energy.sources else 0.0
    figures = (
        (
            "Cost of the day",
            dollars(baselines.market.cost_usd),
            f"plug-and-charge: {dollars(plug.cost_usd)}",
        ),
        ("Need not met", kwh(energy.unmet), f"plug-and-charge: {plug.unmet_kwh:,.1f} kWh"),
        ("From cars", kwh(energy.from_cars), f"{share:.0%} of all energy"),
        (
            "Saving captured",
            "–" if captured is None else f"{captured:.0%}",
            "there was nothing to save"
            if captured is None
            else "of what perfect foresight could save",
        ),
    )
    return pairs(
        (
            (name, Html(f"{show(value)}<small>{show(note)}</small>"))
            for name, value, note in figures
        ),
        "figures",
    )


def dropped_rows(result: DayResult) -> Html:
    """What became of the rows of the session file."""
    sessions = result.summary.sessions
    used = sessions.rows_read - sum(sessions.dropped.values())
    reasons = [f"{reason}: {number:,}" for reason, number in sorted(sessions.dropped.items())]
    return Html(
        f"<details><summary>{used:,} of {sessions.rows_read:,} rows of the session file were "
        f"used</summary>{listing(reasons)}</details>"
    )


def baselines_table(result: DayResult) -> Html:
    """The market between what happens without control and what nobody can beat."""
    baselines, lost_load = result.summary.baselines, lost_load_usd_per_kwh(result)
    outcomes: list[tuple[str, str, Outcome]] = [
        (name, note, getattr(baselines, key)) for key, name, note in RULES
    ]
    whole = max([outcome.cost_usd for _, _, outcome in outcomes] + [0.01])
    plug_usd = baselines.plug_and_charge.cost_usd
    rows = []
    for name, note, outcome in outcomes:
        unmet_usd = outcome.unmet_kwh * lost_load
        bar = stacked_bar((("energy", outcome.cost_usd - unmet_usd), ("unmet", unmet_usd)), whole)
        saved = plug_usd - outcome.cost_usd
        rows.append(
            [
                Html(f"{show(name)}<small>{show(note)}</small>{bar}"),
                dollars(outcome.cost_usd),
                f"{outcome.unmet_kwh:,.1f}",
                "–" if outcome is baselines.plug_and_charge else dollars(saved),
                f"{outcome.grid_kwh:,.1f}",
                f"{outcome.cars_kwh:,.1f}",
            ]
        )
    legend = Html(
        '<p><span class="swatch grid"></span>energy delivered &ensp; '
        f'<span class="swatch unmet"></span>not delivered, at {dollars(lost_load)} a kWh</p>'
    )
    head = ["Rule", "Cost", "Unmet, kWh", "Saved", "From grid, kWh", "From cars, kWh"]
    note = (
        "Cost counts what was used up: the grid's energy at the tariff, the selling cars' refill "
        "and wear, and unmet need. The plans assume ideal batteries and lossless wires."
    )
    shown = table(head, rows, numbers=range(1, 6), marked=[2])
    return Html(legend + shown + paragraphs([note]))


def energy_balance(result: DayResult) -> Html:
    """Sources equal uses, to the Wh."""
    energy = result.summary.energy_wh
    sources = f"{kwh(energy.from_grid)} from the grid, {kwh(energy.from_cars)} from cars"
    if energy.from_pv:
        sources += f", {kwh(energy.from_pv)} from the roof"
    uses = [f"{kwh(energy.needed - energy.unmet)} charged"]
    if energy.sold_to_grid:
        uses.append(f"{kwh(energy.sold_to_grid)} sold to the grid")
    uses.append(f"{small(energy.losses)} lost in the site")
    rounds, orders = result.summary.rounds, result.summary.orders
    empty = rounds.opened - result.rounds.height
    text = (
        f"{count(rounds.cleared, 'round')} cleared, {empty:,} had no orders, "
        f"{rounds.void - empty:,} were void for another reason; "
        f"{count(orders.awarded, 'award')} from {count(orders.placed, 'order')}. "
        f"Metered: {sources}; {', '.join(uses)}. Sources and uses agree to the Wh."
    )
    return paragraphs([text])


def cars_table(result: DayResult) -> Html:
    """Every car, by what it saved against plug-and-charge."""
    rows: list[dict[str, Any]] = result.tables["cars"].rows(named=True)
    for row in rows:
        row["saved_ucoin"] = row["plug_cost_ucoin"] - row["market_cost_ucoin"]
    rows.sort(key=lambda row: (-row["saved_ucoin"], row["session_id"]))
    saved = [row["saved_ucoin"] for row in rows]
    low, high = min([0, *saved]), max([0, *saved])
    body = [_car(row, low, high, result) for row in rows]
    sums = [sum(row[f"{of}_ucoin"] for row in rows) for of in ("saved", "market_cost", "plug_cost")]
    head = ["Car", "Saved", "Market", "Plug-and-charge", "Wanted, kWh", "Got, kWh", "Stay"]
    foot = ["All", *(dollars(usd(ucoin)) for ucoin in sums), "", "", ""]
    shown = table(head, body, numbers=range(1, 6), foot=foot, tall="Savings by car")
    note = (
        "A cost below zero is an income. † The stated departure is a copy of the true one. All "
        "together pay the day's cost and what fees, the operator and the pot keep."
    )
    return Html(paragraphs([_winners(rows)]) + shown + f'<p class="muted">{note}</p>')


def _winners(rows: list[dict[str, Any]]) -> str:
    """How many fared better, and how many worse."""
    buyers = [row["saved_ucoin"] for row in rows if row["role"] == "buyer"]
    sellers = [row["saved_ucoin"] for row in rows if row["role"] == "seller"]
    better, worse = sum(each > 0 for each in buyers), sum(each < 0 for each in buyers)
    text = (
        f"Of {count(len(buyers), 'buying car')}, {better:,} fared better than under "
        f"plug-and-charge and {worse:,} worse."
    )
    if sellers:
        gained = sum(each > 0 for each in sellers)
        text += f" Of {count(len(sellers), 'selling car')}, {gained:,} earned more than its cost."
    return text


def _car(row: dict[str, Any], low: int, high: int, result: DayResult) -> list[str]:
    sells = row["role"] != "buyer"
    name = f'<span title="{show(row["session_id"])}">{show(short_name(row["session_id"]))}</span>'
    mark = " †" if row["oracle"] else ""
    wanted, got = ("for_sale_wh", "sold_wh") if sells else ("need_wh", "charged_wh")
    energies = [f"{row[each] / WH_PER_KWH:.1f}" for each in (wanted, got)]
    if sells:
        offered = "–" if row["role"] == "pv" else energies[0]
        energies = [
            Html(f"{offered}<small>for sale</small>"),
            Html(f"{energies[1]}<small>sold</small>"),
        ]
    bar = diverging_bar(row["saved_ucoin"], low, high)
    return [
        Html(f"{name}{mark}<small>{'sells' if sells else 'buys'}</small>"),
        Html(show(dollars(usd(row["saved_ucoin"]))) + bar),
        dollars(usd(row["market_cost_ucoin"])),
        "–" if sells else dollars(usd(row["plug_cost_ucoin"])),
        *energies,
        "–".join(
            clock(row[end], result.zone, result.summary.date)
            for end in ("arrival_s", "departure_s")
        ),
    ]


def money_table(result: DayResult) -> Html:
    """Who paid and who received, to the millionth of a dollar."""
    parties = result.summary.money_ucoin.parties
    low, high = min(0, *parties.values()), max(0, *parties.values())
    rows = [
        [name, signed_dollars(usd(ucoin), 6), diverging_bar(ucoin, low, high)]
        for name, ucoin in parties.items()
    ]
    foot = ["Sum", f"${usd(sum(parties.values())):.6f}", ""]
    note = (
        "Received above zero, paid below. The supplier's part is what the main meter and the "
        "tariff say it is due, and not what was left over; the pot keeps roundings and what "
        f"shortfalls cost more than their replacement.{_scarcity(result)}"
    )
    notes = [note, *_rewards(result)]
    return Html(
        paragraphs(notes) + table(["Party", "Over the day", ""], rows, numbers=[1], foot=foot)
    )


def _rewards(result: DayResult) -> list[str]:
    """What went through the reward account, which the table, made of rounds, does not show."""
    rewards = result.summary.rewards
    if rewards is None:
        return []
    given, left = dollars(usd(rewards.given_ucoin)), dollars(usd(rewards.left_ucoin))
    return [
        f"Rewards are apart from this: of {given} that members gave, "
        f"{count(rewards.contributions, 'reward')} went to wallets whose meters saw most energy "
        f"sold in an epoch and {count(rewards.blocks, 'reward')} to proposers of blocks; {left} is "
        "left."
    ]


def _scarcity(result: DayResult) -> str:
    """Where the grid's energy is not passed through at retail, somebody gets the difference."""
    rule = result.summary.price_rule
    if rule == "midpoint":
        return ""
    text = (
        " Where the connection was full, buyers paid more than retail for the grid's energy too; "
        "the pot keeps that difference."
    )
    if rule != PAIRWISE:
        return text
    return (
        " A buyer pays its own price, and a seller gets what its buyers pay for its energy, less "
        f"fees.{text}"
    )


def refused_table(result: DayResult) -> Html:
    """Every message that was turned away, and why."""
    refused = result.tables["refused"]
    if refused.height == 0:
        return paragraphs(["No message was refused."])
    rows = [
        [
            _CAPITAL.sub(" ", row["message"]).capitalize(),
            "at admission" if row["height"] is None else f"in block {row['height']:,}",
            row["words"],
            Html(f"<code>{show(row['field'])}</code>"),
            f"{row['reason']} {row['reason_name']}",
        ]
        for row in refused.iter_rows(named=True)
    ]
    note = (
        "A message refused at admission never entered a block: only the host that refused it "
        "says so. One refused in a block is on record, with its reason, for everyone who replays "
        "the ledger."
    )
    head = ["Message", "Where", "Why", "Field", "Reason"]
    long = "Refused messages" if refused.height > 12 else ""
    return Html(paragraphs([note]) + table(head, rows, tall=long))


def verify_words(result: DayResult) -> Html:
    """The ledger's end, and the command that checks everything again."""
    ledger = result.summary.ledger
    keys = (
        ("Ledger", f"{count(ledger.height, 'block')}, {count(ledger.messages, 'message')}"),
        ("Chain", result.summary.chain_id),
        ("Head", Html(f"<code>{show(ledger.head)}</code>")),
        ("State hash", Html(f"<code>{show(ledger.app_hash)}</code>")),
    )
    commands = "peerwatt verify DIR\npeerwatt verify DIR --trusted-head HEAD"
    text = (
        "DIR is the folder in which this page lies. The first command checks every file against "
        "the signed manifest, executes the ledger again from its first block, derives every award "
        "and every payment anew and checks that no coin and no Wh appeared or vanished. The second "
        "also compares the ledger's end with a HEAD that someone you trust told you. Without that, "
        "or a witness whose key you know, nothing shows that this is the only ledger that was "
        "made of the day."
    )
    items = "".join(f"<dt>{show(name)}</dt><dd>{show(value)}</dd>" for name, value in keys)
    return Html(
        f'{paragraphs([text])}<pre><code>{show(commands)}</code></pre><dl class="keys">{items}</dl>'
    )


def footer(result: DayResult) -> Html:
    """Where it comes from."""
    return paragraphs(
        [
            f"peerwatt {result.summary.version}. Times are local: {result.summary.zone}.",
            "The sessions of JPL and Caltech that come with peerwatt are from ACN-Data: Z. J. Lee, "
            "T. Li, S. H. Low, e-Energy 2019, doi:10.1145/3307772.3328313, licensed CC BY 4.0.",
        ]
    )
