"""How a day's rounds were cleared, and how good that is at most: in words, and as numbers to draw.

Knows a day's result and what each mechanism's bound means. Knows no HTML and no charts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from peerwatt.reporting.clearing_gap import PPB, at_most, gap_ppb
from peerwatt.reporting.day_result import DayResult
from peerwatt.reporting.day_series import usd
from peerwatt.reporting.day_words import count, dollars, kwh, price, why_this_price
from peerwatt.units import WH_PER_KWH

GRID_ALONE, LEDGER_ITSELF = "grid alone", "ledger"
PAIRS, AUCTION = "welfare-pairs", "iterative-auction"
OWN_PRICES = (PAIRS, AUCTION)
"""Mechanisms in which every buyer pays a price of its own."""
Row = dict[str, Any]


class GapPoint(NamedTuple):
    """A round's certified gap as a share of its trade, and whether a member proved it."""

    start_s: int
    share: float
    by_member: bool


def gap_points(result: DayResult) -> list[GapPoint]:
    """Of every round that was cleared with its sellers; of the others nothing is certified."""
    return [
        GapPoint(row["slot_start_s"], share / PPB, row["cleared_by"] != LEDGER_ITSELF)
        for row in result.rounds.iter_rows(named=True)
        if (share := share_ppb(row)) is not None
    ]


def share_ppb(market_round: Row) -> int | None:
    """A round's certified gap in billionths of its trade."""
    if market_round["cleared_by"] in (None, GRID_ALONE):
        return None
    return gap_ppb(market_round["gap_ucoin"], market_round["traded_ucoin"])


def how_good(result: DayResult) -> list[str]:
    """The day's bound, what it means, and where there is none."""
    clearings = result.summary.clearings
    said = []
    if clearings.certified:
        said.append(
            "Take any other way to clear the same orders of a round: all parties together could "
            "have gained by it no more than what is drawn here. That is no estimate but a proof, "
            f"which the ledger works out from the {_proof(result)}: it holds whoever cleared the "
            "round, and however."
        )
        said.append(
            f"{_who(result)} In none of them was more than {at_most(clearings.largest_gap_ppb)} of "
            "its trade (counted as at least $1) left on the table, and at most "
            f"{_fine(clearings.gap_ucoin)} in all these, of {dollars(usd(clearings.traded_ucoin))} "
            f"traded. {_meaning(result)}"
        )
    if clearings.grid_alone:
        said.append(
            f"{count(clearings.grid_alone, 'round')} had to be cleared against the grid alone, "
            "without the sellers: how much was lost by that, nothing certifies."
        )
    return said


def _who(result: DayResult) -> str:
    clearings = result.summary.clearings
    if not clearings.by_members:
        return f"The ledger itself cleared {count(clearings.by_ledger, 'round')}."
    text = f"A member proposed the clearing of {count(clearings.by_members, 'round')} and proved it"
    ledger = f"; the ledger itself cleared {clearings.by_ledger:,}" if clearings.by_ledger else ""
    return f"{text} by its {_proof(result)}{ledger}."


def _proof(result: DayResult) -> str:
    return "last bids" if AUCTION in result.summary.mechanism else "prices"


def _meaning(result: DayResult) -> str:
    """What the bound of a mechanism leaves out, or why it is not smaller."""
    if "uniform" in result.summary.mechanism:
        return (
            "Uniform clearing reads each order's curve as ten equal steps: what lies between steps "
            "and curve is welfare left on the table."
        )
    if PAIRS in result.summary.mechanism:
        return (
            "A seller's cost rises with what it sends to each buyer; energies are counted before "
            "they are rounded to whole Wh."
        )
    if AUCTION in result.summary.mechanism:
        return (
            "Counted is what the last bids say that energy is worth: how far that is from what it "
            "is truly worth, nobody but the bidders knows."
        )
    return "What is left is the rounding to whole Wh and to a millionth of a dollar."


def clearing_facts(market_round: Row) -> list[tuple[str, str]]:
    """How one round was cleared, line by line."""
    who = market_round["cleared_by"]
    if who is None:
        return []
    said = {LEDGER_ITSELF: "the ledger itself", GRID_ALONE: "the ledger, without sellers"}
    name = said.get(str(who), str(who))
    facts = [("Cleared by", name), ("Traded", _fine(market_round["traded_ucoin"]))]
    if market_round["iterations"] is not None:
        facts.append(("Bids and answers until they were at rest", str(market_round["iterations"])))
    share = share_ppb(market_round)
    if share is not None:
        facts.append(("Could be better by at most", _fine(market_round["gap_ucoin"])))
        facts.append(("of what was traded", at_most(share)))
    return facts


def mean_buyer_price(market_round: Row) -> int | None:
    """What buyers paid on average for metered energy, ucoin/kWh."""
    bought_wh = market_round["bought_wh"]
    if market_round["price_ucoin_per_kwh"] is None or not bought_wh:
        return None
    return int(market_round["paid_ucoin"] * WH_PER_KWH // bought_wh)


def dearest_buyer_price(market_round: Row) -> int | None:
    """The most that a buyer paid in pairs, ucoin/kWh; none where nobody bought."""
    return market_round["buyer_price_ucoin_per_kwh"] or None


def cleared_words(market_round: Row, paid: list[int], volume_wh: int) -> str | None:
    """Volume and price of a clearing; `paid` are the prices of its buyers."""
    cleared = market_round["price_ucoin_per_kwh"]
    if cleared is None:
        return None
    if market_round["mechanism"] not in OWN_PRICES:
        return f"{kwh(volume_wh, 2)} at {price(cleared)}"
    if not paid:
        return f"{kwh(volume_wh, 2)} for the grid"
    return f"{kwh(volume_wh, 2)} at {paid_words(paid)}"


def paid_words(paid: list[int]) -> str:
    """From the cheapest buyer's price to the dearest's."""
    ends = price(min(paid)), price(max(paid))
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def why_this_clearing(market_round: Row) -> str:
    """What set a round's price or, in pairs, its prices."""
    alone = market_round["cleared_by"] == GRID_ALONE
    if market_round["mechanism"] not in OWN_PRICES or market_round["cleared_by"] is None:
        text = why_this_price(market_round)
        note = "The supplier could not stand behind the sellers' surplus, so they were left out. "
        return note + text if alone else text
    if alone:
        return (
            "Nobody proved a clearing in time, or the supplier could not stand behind it: buyers "
            "were cleared against the grid alone."
        )
    return _why_these_prices(market_round)


def _why_these_prices(market_round: Row) -> str:
    retail = market_round["retail_ucoin_per_kwh"]
    dearest = dearest_buyer_price(market_round)
    if dearest is None:
        return "No car bought: what was taken of the offers went to the grid."
    if dearest >= market_round["lost_load_ucoin_per_kwh"]:
        return (
            "There was not enough even for all that could not wait: who could not paid the price "
            "of going without."
        )
    if dearest > retail + 1:  # prices round up
        return (
            "The connection was full, so buyers bid against one another for the rest: the dearest "
            "kWh cost more than retail."
        )
    if dearest >= retail:
        return "The dearest kWh came from the grid, at retail."
    return "Sellers covered all demand: each buyer paid a price of its own, below retail."


def _fine(ucoin: int) -> str:
    """Small money, to a millionth."""
    return f"${usd(ucoin):,.6f}"
