"""Says in plain words what a day brought, what of it is real, and why a round's price is so.

Knows a day's result. Says only what the numbers hold: where trade between cars gained little, it
says so.
"""

from __future__ import annotations

from typing import Any

from peerwatt.reporting.day_result import DayResult
from peerwatt.reporting.day_series import lost_load_usd_per_kwh, usd
from peerwatt.units import WH_PER_KWH

# A difference below this share of the day's cost is called none.
NOTABLE = 0.02
NOTABLE_WH = 100
PAIRWISE = "pairwise"


def dollars(amount: float) -> str:
    """`$1,234.56`, with a true minus sign, and never a negative zero."""
    return f"{'−' if round(amount, 2) < 0 else ''}${abs(amount):,.2f}"


def signed_dollars(amount: float, digits: int = 2) -> str:
    """`+$1.00` received, `−$1.00` paid."""
    sign = "" if round(amount, digits) == 0 else "−" if amount < 0 else "+"
    return f"{sign}${abs(amount):,.{digits}f}"


def price(ucoin_per_kwh: int) -> str:
    """A price to a tenth of a cent."""
    return f"${usd(ucoin_per_kwh):.3f}"


def kwh(energy_wh: float, digits: int = 1) -> str:
    """`1,064.0 kWh` from Wh."""
    return f"{energy_wh / WH_PER_KWH:,.{digits}f} kWh"


def small(energy_wh: int) -> str:
    """A loss: `37 Wh`, and kWh where there are more than some."""
    text = f"{abs(energy_wh)} Wh" if abs(energy_wh) < WH_PER_KWH else kwh(abs(energy_wh))
    return f"−{text}" if energy_wh < 0 else text


def count(number: int, one: str, many: str = "") -> str:
    """`1 car`, `2 cars`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def headline(result: DayResult) -> list[str]:
    """What happened, what it cost against what, and how much of that is due to trade."""
    summary = result.summary
    energy, sessions = summary.energy_wh, summary.sessions
    limit = "without a limit on the connection"
    if summary.limit_kw is not None:
        limit = f"behind a {summary.limit_kw:g} kW connection"
    sold = f"The roof gave {kwh(energy.from_pv)}. " if energy.from_pv else ""
    if sessions.sellers:
        more = count(sessions.sellers, "more car")
        sold += f"{more}, with energy to spare, sold {kwh(energy.from_cars)}. "
    else:
        sold += "No car had energy to sell. "
    served = "All of the need was met."
    if 0 < energy.unmet < NOTABLE_WH:
        served = f"All of the need but {small(energy.unmet)} was met."
    elif energy.unmet:
        share = energy.unmet / energy.needed
        served = f"Of the need, {kwh(energy.unmet)} ({share:.1%}) was not met."
    who = f"{count(sessions.buyers, 'car')} wanted {kwh(energy.needed)} {limit}. {sold}"
    return [who + served, _against_baselines(result), _due_to_trade(result)]


def _against_baselines(result: DayResult) -> str:
    """The market's cost between its two bounds."""
    baselines = result.summary.baselines
    market, plug = baselines.market.cost_usd, baselines.plug_and_charge.cost_usd
    saved = plug - market
    if abs(saved) <= NOTABLE * plug:
        against = "about as much as plug-and-charge"
    elif saved > 0:
        against = f"{dollars(saved)} ({saved / plug:.0%}) less than plug-and-charge"
    else:
        against = f"{dollars(-saved)} more than plug-and-charge"
    text = (
        f"With each kWh not delivered counted at {dollars(lost_load_usd_per_kwh(result))}, the "
        f"market's day cost {dollars(market)}: {against}. With perfect foresight and "
        f"cars that sell it could have cost {dollars(baselines.optimum.cost_usd)}."
    )
    captured = result.summary.captured
    if captured is None or captured <= 0:
        return text
    return (
        f"{text} Of the saving from plug-and-charge to there, the market captured {captured:.0%}."
    )


def _due_to_trade(result: DayResult) -> str:
    """How much of the saving needs no cars that sell: planned charging deserves its part."""
    baselines = result.summary.baselines
    plug, best = baselines.plug_and_charge.cost_usd, baselines.best_grid_only.cost_usd
    beyond, possible = best - baselines.market.cost_usd, best - baselines.optimum.cost_usd
    less = f"{dollars(plug - best)} less than" if plug - best >= 0.005 else "as much as"
    planned = (
        "Without cars that sell, charging planned with perfect foresight would have cost "
        f"{dollars(best)}, {less} plug-and-charge. "
    )
    if not result.summary.sessions.sellers:
        return f"{planned}As no car sells, there was nothing to trade."
    if beyond > NOTABLE * best:
        return f"{planned}What the market saved beyond that, {dollars(beyond)}, is due to trade."
    if possible > NOTABLE * best:
        return (
            f"{planned}The market, which has no foresight, did not notably beat that; with it, "
            f"trade could have saved {dollars(possible)} more."
        )
    return (
        f"{planned}Trade between cars could save at most {dollars(possible)} more: a connection "
        "that is large enough hardly needs it."
    )


def price_rule_words(result: DayResult) -> str:
    """Who pays which price."""
    rule = result.summary.price_rule
    if rule == PAIRWISE:
        return "each buyer at its own price"
    return f"{rule} prices"


def real(result: DayResult) -> list[str]:
    """What was recorded or published."""
    summary = result.summary
    retail = sorted(set(result.tables["rounds"]["retail_ucoin_per_kwh"].to_list()))
    facts = [
        f"The charging sessions at {summary.site.upper()} on {summary.date:%-d %B %Y}, as "
        f"{summary.sessions.source} records them: when each car came and left, and the energy it "
        "took.",
    ]
    if len(retail) > 1:
        facts.append(
            f"The time-of-use tariff, from {price(retail[0])} to {price(retail[-1])} per kWh."
        )
    return facts


def assumed(result: DayResult) -> list[str]:
    """What was not, and has to be believed for the result to hold."""
    summary = result.summary
    sessions, planning = summary.sessions, summary.planning
    limit = "The connection, which has no limit here."
    if summary.limit_kw is not None:
        limit = f"The size of the connection, {summary.limit_kw:g} kW."
    plans = "Agents plan on the true departures: an oracle, for comparison only."
    if planning.departure != "actual":
        plans = (
            f"Agents plan on {planning.stay_factor:.0%} of the stay that a driver stated; the true "
            "departure then strikes unannounced."
        )
    sellers = f"No car sells: the draw with seed {summary.seed} made none a seller."
    if sessions.sellers:
        sellers = (
            f"The sellers: {count(sessions.sellers, 'car')} of those that took little and stayed "
            f"long, drawn with seed {summary.seed}, with batteries, costs and "
            f"{kwh(sessions.for_sale_wh, 0)} for sale. The data hold none of these."
        )
    facts = [
        limit,
        sellers,
        f"A kWh that a car needs and does not get costs it "
        f"{dollars(lost_load_usd_per_kwh(result))} elsewhere.",
        plans,
    ]
    if sessions.oracle_rows and planning.departure != "actual":
        facts.append(
            f"{count(sessions.oracle_rows, 'car')} stated nothing, and the data repeat the true "
            "departure instead: their agents plan on what no driver told them."
        )
    batteries = (
        "with losses and taper" if summary.battery == "full" else "ideal: no losses, no taper"
    )
    facts.append(
        f"Batteries are {batteries}. Charge points, meters and agents are simulated, keys derive "
        "from the seed, and a coin stands for a dollar."
    )
    return facts


def why_this_price(market_round: dict[str, Any]) -> str:
    """What set a round's clearing price."""
    cleared = market_round["price_ucoin_per_kwh"]
    if cleared is None:
        return "The round was void: nothing was traded, and all that was held was released."
    retail = market_round["retail_ucoin_per_kwh"]
    feed_in = market_round["feed_in_ucoin_per_kwh"] + market_round["fee_ucoin_per_kwh"]
    if cleared >= market_round["lost_load_ucoin_per_kwh"]:
        return (
            "There was not enough even for what could not wait: all that was there was shared out "
            "at the price of going without."
        )
    if cleared > retail:
        return (
            "The connection was full, so buyers bid against one another for the rest: the price "
            "rose above retail."
        )
    if cleared == retail:
        return "The last kWh came from the grid, so retail set the price."
    if cleared > feed_in:
        return "Energy at the site covered all demand, so its sellers and buyers set the price."
    return "More was offered at the site than wanted, so what the grid pays set the price."
