"""One day under several mechanisms, side by side: what each came to and who is better off by it.

Knows the results of days. Knows nothing of how a mechanism clears. A car's gain is what it would
have paid under plug-and-charge less what its day cost on the market, need not met included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from peerwatt.reporting.day_result import DayResult, Outcome
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

if TYPE_CHECKING:
    import polars

EVEN_UCOIN = UCOIN_PER_COIN // 200
"""Half a cent: a car whose day differs by less is neither better nor worse off."""
BASELINES = {
    "plug_and_charge": "Plug-and-charge",
    "best_grid_only": "Best plan, grid only",
    "optimum": "Best plan, all known",
}
ROLES = ("buyer", "seller")
CAR_COLUMNS = (
    *("session_id", "role", "need_wh", "unmet_wh", "charged_wh", "sold_wh", "paid_ucoin"),
    *("received_ucoin", "penalty_ucoin", "own_cost_ucoin", "plug_cost_ucoin", "market_cost_ucoin"),
)


@dataclass(frozen=True)
class Comparison:
    """A day's results by mechanism, all with the same cars and baselines."""

    results: Mapping[str, DayResult]
    learned: Mapping[str, str]
    """Who learns what of a driver, by mechanism."""
    always_learned: tuple[str, ...]
    """What is learned whatever the mechanism."""

    @property
    def any_result(self) -> DayResult:
        """For what does not depend on the mechanism."""
        return next(iter(self.results.values()))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Cost, unmet and energy, of the baselines and between them of each mechanism."""
        plug, grid_only, optimum = (
            (label, getattr(self.any_result.summary.baselines, name))
            for name, label in BASELINES.items()
        )
        market = {name: each.summary.baselines.market for name, each in self.results.items()}
        return dict([plug, grid_only, *market.items(), optimum])


class Standing(NamedTuple):
    """How many cars are better or worse off than under plug-and-charge, and by how much."""

    gain: int
    even: int
    lose: int
    gained_ucoin: int
    lost_ucoin: int


def saved_ucoin(result: DayResult, role: str) -> list[int]:
    """What each car of a role saved against plug-and-charge, the largest first."""
    cars = result.tables["cars"]
    mine = cars.filter(cars["role"] == role)
    return sorted((mine["plug_cost_ucoin"] - mine["market_cost_ucoin"]).to_list(), reverse=True)


def standing(result: DayResult, role: str) -> Standing:
    """Who of a role gains and who loses."""
    saved = saved_ucoin(result, role)
    gains = [each for each in saved if each >= EVEN_UCOIN]
    losses = [each for each in saved if each <= -EVEN_UCOIN]
    even = len(saved) - len(gains) - len(losses)
    return Standing(len(gains), even, len(losses), sum(gains), -sum(losses))


def mean_prices_ucoin_per_kwh(result: DayResult) -> tuple[int | None, int | None]:
    """What buyers paid and sellers received for a kWh on average; none where none was traded."""
    rounds = result.tables["rounds"]

    def mean(money: str, energy: str) -> int | None:
        energy_wh = int(rounds[energy].sum())
        return int(rounds[money].sum()) * WH_PER_KWH // energy_wh if energy_wh else None

    return mean("paid_ucoin", "bought_wh"), mean("received_ucoin", "sold_wh")


def auction_steps(result: DayResult) -> int:
    """Steps of all rounds' auctions; zero where bids were not asked for again."""
    return int(result.tables["rounds"]["iterations"].sum())


def mechanism_row(result: DayResult) -> dict[str, Any]:
    """What a mechanism came to, flat, for `summary.json` and the table of mechanisms."""
    summary = result.summary
    market, money, clearings = summary.baselines.market, summary.money_ucoin, summary.clearings
    paid, received = mean_prices_ucoin_per_kwh(result)
    standings = {
        f"{role}s_{name}": value
        for role in ROLES
        for name, value in standing(result, role)._asdict().items()
    }
    return {
        "cost_usd": market.cost_usd,
        "unmet_kwh": market.unmet_kwh,
        "grid_kwh": market.grid_kwh,
        "cars_kwh": market.cars_kwh,
        "captured": summary.captured,
        "price_rule": summary.price_rule,
        "buyers_paid_ucoin_per_kwh": paid,
        "sellers_received_ucoin_per_kwh": received,
        "pot_ucoin": money.pot,
        "fees_ucoin": money.fees,
        "penalties_ucoin": money.penalties,
        "site_operator_ucoin": money.site_operator,
        **standings,
        "rounds_by_members": clearings.by_members,
        "rounds_by_ledger": clearings.by_ledger,
        "rounds_grid_alone": clearings.grid_alone,
        "gap_ucoin": clearings.gap_ucoin,
        "largest_gap_ppb": clearings.largest_gap_ppb,
        "auction_steps": auction_steps(result),
        "messages": summary.ledger.messages,
        "blocks": summary.ledger.height,
    }


def comparison_summary(comparison: Comparison) -> dict[str, Any]:
    """`summary.json` of a comparison."""
    summary = comparison.any_result.summary
    outcomes = comparison.outcomes
    return {
        "version": summary.version,
        "site": summary.site,
        "date": str(summary.date),
        "seed": summary.seed,
        "limit_kw": summary.limit_kw,
        "labels": summary.labels,
        "buyers": summary.sessions.buyers,
        "sellers": summary.sessions.sellers,
        "baselines": {
            name: {
                what: getattr(outcomes[label], what)
                for what in ("cost_usd", "unmet_kwh", "grid_kwh", "cars_kwh")
            }
            for name, label in BASELINES.items()
        },
        "mechanisms": {name: mechanism_row(each) for name, each in comparison.results.items()},
    }


def comparison_tables(comparison: Comparison) -> dict[str, polars.DataFrame]:
    """`mechanisms`: a row each; `cars`: every car, and the roof, under each mechanism."""
    import polars as pl

    rows = [{"mechanism": n, **mechanism_row(each)} for n, each in comparison.results.items()]
    cars = [
        each.tables["cars"].select(
            pl.lit(name).alias("mechanism"),
            *CAR_COLUMNS,
            (pl.col("plug_cost_ucoin") - pl.col("market_cost_ucoin")).alias("saved_ucoin"),
        )
        for name, each in comparison.results.items()
    ]
    return {"mechanisms": pl.DataFrame(rows, infer_schema_length=None), "cars": pl.concat(cars)}
