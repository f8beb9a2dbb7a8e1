"""What the page of a day draws and shows of each round: numbers for charts, texts for the rest.

Knows a day's result and how people read it. Knows no HTML; the page's script only places what
stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peerwatt.records.market import Flag
from peerwatt.reporting.clearing_gap import PPB
from peerwatt.reporting.curves import round_curves
from peerwatt.reporting.day_clearing import (
    LEDGER_ITSELF,
    OWN_PRICES,
    cleared_words,
    clearing_facts,
    dearest_buyer_price,
    mean_buyer_price,
    paid_words,
    share_ppb,
    why_this_clearing,
)
from peerwatt.reporting.day_result import DayResult
from peerwatt.reporting.day_series import (
    EnergySeries,
    clock,
    clock_changes,
    energy_series,
    hour_ticks,
    short_name,
    usd,
)
from peerwatt.reporting.day_words import count, kwh, price, signed_dollars, small
from peerwatt.units import WH_PER_KWH

if TYPE_CHECKING:
    import polars

Row = dict[str, Any]

# So many orders keep a page below a few MB; a larger day shows the largest of each round.
MOST_ORDERS = 8_000

FLAG_WORDS = {
    Flag.READING_MISSING: "no reading",
    Flag.OVER_AWARD: "moved more than awarded",
    Flag.MAIN_METER_MISSING: "the main meter sent no reading",
    Flag.MAIN_METER_DISAGREES: "the main meter disagrees with the others",
    Flag.OPERATOR_IN_ARREARS: "the site's operator could not pay all of its loss",
    Flag.SUPPLIER_IN_ARREARS: "the supplier could not pay all that it owed",
}


def page_data(result: DayResult) -> Row:
    """All that the page's script needs, as plain values."""
    series = energy_series(result)
    if not series.start_s:
        return {"rounds": []}
    start_s, end_s = series.span_s
    rounds = result.rounds.rows(named=True)
    return {
        "slot_s": series.slot_s,
        "span_s": series.span_s,
        "limited": result.summary.limit_kw is not None,
        "hours": hour_ticks(start_s, end_s, result.zone, every_h=1),
        "unmet": list(series.unmet_wh.items()),
        "rounds": [_round(result, series, at, row) for at, row in enumerate(rounds)],
    }


def first_shown(result: DayResult) -> int:
    """The round that the page opens with: the one in which cars sold most."""
    sold = energy_series(result).cars_wh
    return max(range(len(sold)), key=lambda at: sold[at], default=0)


def _round(result: DayResult, series: EnergySeries, at: int, row: Row) -> Row:
    mine = {
        name: result.tables[name].filter(result.tables[name]["slot_start_s"] == row["slot_start_s"])
        for name in ("orders", "awards", "readings")
    }
    volume_wh = _volume_wh(mine["awards"])
    bought = mine["awards"].filter(mine["awards"]["side"] == "buy")
    paid = bought["price_ucoin_per_kwh"].to_list()
    cleared = cleared_words(row, paid, volume_wh)
    pairs, share = row["mechanism"] in OWN_PRICES, share_ppb(row)
    curves = round_curves(row, mine["orders"])
    when = _when(result, series, at)
    shown, more = _shown(result, mine["orders"])
    return {
        "start_s": row["slot_start_s"],
        "at": when,
        "title": f"{when}: {cleared or row['status']}",
        "line": _line(when, series, at, row, paid),
        "why": _why(row),
        "grid_wh": series.grid_wh[at],
        "cars_wh": series.cars_wh[at],
        "pv_wh": series.pv_wh[at],
        "exported_wh": series.exported_wh[at],
        "limit_wh": row["import_limit_wh"],
        "price": dearest_buyer_price(row) if pairs else row["price_ucoin_per_kwh"],
        "buyers": mean_buyer_price(row) if pairs else row["buyer_price_ucoin_per_kwh"],
        "least": min(paid) if pairs and paid else None,
        "gap": None if share is None else share / PPB,
        "proved": share is not None and row["cleared_by"] != LEDGER_ITSELF,
        "retail": row["retail_ucoin_per_kwh"],
        "feed_in": row["feed_in_ucoin_per_kwh"],
        "lost_load": row["lost_load_ucoin_per_kwh"],
        "volume_wh": volume_wh,
        "widest_wh": _widest_wh(row, mine["orders"], volume_wh),
        "cleared": cleared,
        "curve": {
            "price": curves.price_ucoin_per_kwh,
            "demand": curves.demand_wh,
            "supply": curves.supply_wh,
        },
        "energy": _energy(row, mine["readings"]),
        "money": _money(row),
        "clearing": clearing_facts(row),
        "rows": _rows(shown, mine["awards"]),
        "more": more,
    }


def _when(result: DayResult, series: EnergySeries, at: int) -> str:
    """The round's slot on the local clock, with the clock's name on days when it changes."""
    named = clock_changes(*series.span_s, result.zone)
    ends = (series.start_s[at], series.start_s[at] + series.slot_s)
    return "–".join(clock(end, result.zone, result.summary.date, named=named) for end in ends)


def _volume_wh(awards: polars.DataFrame) -> int:
    """What was cleared: all that buyers got or, where a surplus went to the grid, sellers gave."""
    return max(_sum(awards.filter(awards["side"] == side), "energy_wh") for side in ("buy", "sell"))


def _sum(table: polars.DataFrame, name: str) -> int:
    return sum(table[name].to_list())


def _widest_wh(row: Row, orders: polars.DataFrame, volume_wh: int) -> int:
    """Where the curves' chart ends: all demand and, unless far beyond it, all supply."""
    wanted = _sum(orders.filter(orders["side"] == "buy"), "max_wh")
    offered = _sum(orders.filter(orders["side"] == "sell"), "max_wh") + row["import_limit_wh"]
    most = max(wanted, volume_wh, 1)
    return int(1.08 * max(most, min(offered, int(1.6 * most))))


def _line(when: str, series: EnergySeries, at: int, row: Row, paid: list[int]) -> str:
    """A round in one line, for the pointer that passes over it."""
    sources = (
        (series.grid_wh[at], "from the grid"),
        (series.cars_wh[at], "from cars"),
        (series.pv_wh[at], "from the roof"),
        (series.exported_wh[at], "sold to the grid"),
    )
    parts = [f"{kwh(wh, 2)} {what}" for wh, what in sources if wh]
    cleared = row["price_ucoin_per_kwh"]
    if cleared is None:
        parts.append("void")
    elif row["mechanism"] not in OWN_PRICES:
        parts.append(f"clearing price {price(cleared)}")
    else:
        parts.append(f"buyers pay {paid_words(paid)}" if paid else "nobody bought")
    return f"{when}: {', '.join(parts)}"


def _why(row: Row) -> str:
    """What set the price, and what was unusual."""
    return " ".join(
        [why_this_clearing(row), *(f"Note: {each}." for each in flag_words(row["flags"]))]
    )


def flag_words(flags: int | None) -> list[str]:
    """The bits of `flags` in words."""
    return [words for flag, words in FLAG_WORDS.items() if (flags or 0) & flag]


def _energy(row: Row, readings: polars.DataFrame) -> list[tuple[str, str]]:
    from_cars = row["sold_wh"] - row["pv_wh"]
    lines = [
        ("Bought by cars", row["bought_wh"]),
        ("of it from cars", from_cars),
        ("of it from the roof", row["pv_wh"]),
        ("of it from the grid", row["import_wh"]),
        ("Sold to the grid", row["export_wh"]),
        ("Awarded, but the connection was full", row["unserved_wh"]),
    ]
    kept = {"Bought by cars", "of it from cars", "of it from the grid"}
    shown = [(name, kwh(wh, 2)) for name, wh in lines if wh or name in kept]
    shown.append(("Lost in the site", small(row["site_loss_wh"])))
    main = readings.filter(readings["port"] == "")
    drawn = _sum(main, "import_end_wh") - _sum(main, "import_start_wh")
    fed_in = _sum(main, "export_end_wh") - _sum(main, "export_start_wh")
    shown.append(("Main meter, in / out", f"{drawn / WH_PER_KWH:,.2f} / {kwh(fed_in, 2)}"))
    return [*shown, ("Signed readings", f"{readings.height:,}")]


def _money(row: Row) -> list[tuple[str, str]]:
    parties = {
        "Buyers": -row["paid_ucoin"],
        "Penalties": -row["penalty_ucoin"],
        "Sellers": row["received_ucoin"],
        "Supplier": row["supplier_ucoin"],
        "Fees": row["fees_ucoin"],
        "Operator of the site": row["operator_ucoin"],
        "Pot": row["pot_ucoin"],
    }
    parties["Sum"] = sum(parties.values())
    shown = [(name, signed_dollars(usd(ucoin), 4)) for name, ucoin in parties.items()]
    dearest = ("Buyers pay, per kWh", row["buyer_price_ucoin_per_kwh"])
    if row["mechanism"] in OWN_PRICES:
        dearest = ("Buyers pay at most, per kWh", dearest_buyer_price(row))
    mean = mean_buyer_price(row) if row["mechanism"] in OWN_PRICES else None
    prices = (
        dearest,
        ("on average, per kWh", mean),
        ("Retail, per kWh", row["retail_ucoin_per_kwh"]),
    )
    return [*((name, price(p)) for name, p in prices if p is not None), *shown]


def _shown(result: DayResult, orders: polars.DataFrame) -> tuple[list[Row], str]:
    """A round's orders, sellers first and by size, and a word on those left out of the page."""
    rounds, total = result.rounds.height, result.tables["orders"].height
    most = orders.height if total <= MOST_ORDERS else max(MOST_ORDERS // rounds, 1)
    rows = sorted(
        orders.iter_rows(named=True),
        key=lambda row: (row["side"] == "buy", -row["max_wh"], row["order_id"]),
    )
    more = orders.height - most
    said = f"{count(more, 'smaller order')} not shown; all are in table orders." if more > 0 else ""
    return rows[:most], said


def _rows(orders: list[Row], awards: polars.DataFrame) -> list[list[str]]:
    """Cells: car, order, awarded, price, metered, money, note."""
    by_order = {row["order_id"]: row for row in awards.iter_rows(named=True)}
    rows = []
    for order in orders:
        cells = [short_name(order["car"]), _order_words(order)]
        award = by_order.get(order["order_id"])
        rows.append(cells + (["–", "", "", "", ""] if award is None else _award_cells(award)))
    return rows


def _order_words(order: Row) -> str:
    most = order["max_wh"] / WH_PER_KWH
    if order["side"] == "sell":
        ask = order["ask_ucoin_per_kwh"]
        last = ask + order["slope_ucoin_per_kwh2"] * order["max_wh"] // WH_PER_KWH
        return f"sells {most:.2f} at {_band(ask, last)}"
    band = _band(order["price_high_ucoin_per_kwh"], order["price_low_ucoin_per_kwh"])
    least = order["min_wh"]
    if least == order["max_wh"]:
        return f"buys {most:.2f}, cannot wait"
    waits = f", {least / WH_PER_KWH:.2f} cannot wait" if least else ""
    return f"buys {most:.2f} at {band}{waits}"


def _band(first: int, last: int) -> str:
    """Marginal values or costs from the first Wh to the last."""
    ends = price(first), price(last)
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def _award_cells(award: Row) -> list[str]:
    awarded, paid_price = f"{award['energy_wh'] / WH_PER_KWH:.3f}", award["price_ucoin_per_kwh"]
    if award["metered_wh"] is None:
        return [awarded, price(paid_price), "", "", "not settled"]
    money = usd(award["received_ucoin"] - award["paid_ucoin"] - award["penalty_ucoin"])
    notes = flag_words(award["flags"])
    if award["penalty_ucoin"]:
        notes.append(f"{price(award['penalty_ucoin'])} of it a penalty")
    if award["excused_wh"]:
        notes.append(f"{kwh(award['excused_wh'], 2)} excused")
    metered = f"{award['metered_wh'] / WH_PER_KWH:.3f}"
    return [awarded, price(paid_price), metered, signed_dollars(money, 4), "; ".join(notes)]
