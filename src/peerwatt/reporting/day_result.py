"""The result of a hub day as its report reads it: a summary and tables, checked once.

Knows the names, types and units of what a run hands over, and the two sums that must come out.
Knows nothing of how it came about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, dataclass_transform
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from peerwatt.reporting.day_tables import conform

if TYPE_CHECKING:
    import polars


class DayResultError(ValueError):
    """A summary that cannot be reported: one line that names the key and the reason."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the summary; keys that are not named here are left alone."""


class Sessions(Part):
    """The rows of the session file and what became of them."""

    source: str
    """Where the rows come from: a public data set or a user's file."""
    rows_read: int
    dropped: dict[str, int]
    """Rows not used, by reason."""
    oracle_rows: int
    """Cars whose stated departure is a copy of the true one."""
    buyers: int
    sellers: int
    for_sale_wh: int


class Energy(Part):
    """The day's energy in Wh; sources = needed - unmet + sold_to_grid + losses."""

    needed: int
    from_cars: int
    from_grid: int
    from_pv: int
    sold_to_grid: int
    unmet: int
    losses: int

    @property
    def sources(self) -> int:
        return self.from_cars + self.from_grid + self.from_pv

    @property
    def uses(self) -> int:
        return self.needed - self.unmet + self.sold_to_grid + self.losses


class Money(Part):
    """The day's money in ucoin, seen from the parties: received above zero, paid below."""

    paid_by_buyers: int
    received_by_sellers: int
    supplier: int
    fees: int
    penalties: int
    site_operator: int
    pot: int
    sum: int

    @property
    def parties(self) -> dict[str, int]:
        """Every part but the sum, by its name for people."""
        return {
            "Buyers": self.paid_by_buyers,
            "Penalties for shortfalls": self.penalties,
            "Sellers": self.received_by_sellers,
            "Supplier of the grid's energy": self.supplier,
            "Fees: network, platform, levy": self.fees,
            "Operator of the site": self.site_operator,
            "Market's pot": self.pot,
        }


class Rounds(Part):
    """Rounds of the day."""

    opened: int
    cleared: int
    void: int


class Clearings(Part):
    """Who cleared the rounds, and what is certified of those that kept their sellers."""

    by_ledger: int
    by_members: int
    grid_alone: int
    gap_ucoin: int
    """Welfare that all rounds together may have left on the table, at most."""
    traded_ucoin: int
    largest_gap_ppb: int
    """Largest gap of a round in billionths of its trade, counted as at least one coin."""

    @property
    def certified(self) -> int:
        return self.by_ledger + self.by_members


class Rewards(Part):
    """The reward account over the day, in ucoin, and how often it paid for what."""

    given_ucoin: int
    paid_ucoin: int
    left_ucoin: int
    contributions: int
    blocks: int


class Orders(Part):
    """Orders of the day."""

    placed: int
    refused: int
    awarded: int


class Ledger(Part):
    """Where the ledger ended."""

    height: int
    messages: int
    app_hash: str
    head: str


class Outcome(Part):
    """What the day costs under one rule, unmet energy at lost load included."""

    cost_usd: float
    unmet_kwh: float
    grid_kwh: float
    cars_kwh: float


class Baselines(Part):
    """The market and what it is measured by."""

    plug_and_charge: Outcome
    best_grid_only: Outcome
    market: Outcome
    optimum: Outcome


class Planning(Part):
    """What the cars' agents plan on."""

    departure: str
    stay_factor: float


class DaySummary(Part):
    """`summary.json` of a hub day."""

    version: str
    chain_id: str
    seed: int
    mechanism: str
    price_rule: str
    """midpoint, marginal, or pairwise: every buyer its own."""
    site: str
    date: dt.date
    zone: str
    battery: str
    planning: Planning
    labels: list[str]
    limit_kw: float | None
    sessions: Sessions
    energy_wh: Energy
    money_ucoin: Money
    rounds: Rounds
    clearings: Clearings
    orders: Orders
    ledger: Ledger
    baselines: Baselines
    captured: float | None
    """Share of the saving from plug-and-charge to the optimum that the market captured."""
    rewards: Rewards | None = None
    """Where members have set some."""


class DayResult(NamedTuple):
    """A day's summary and its tables, by name, as `day_tables` describes them."""

    summary: DaySummary
    tables: dict[str, polars.DataFrame]

    @property
    def rounds(self) -> polars.DataFrame:
        """The rounds in which someone placed an order; nothing can happen in the others."""
        rounds = self.tables["rounds"]
        return rounds.filter(rounds["orders"] > 0)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.summary.zone)


def read_result(summary: Mapping[str, Any], tables: Mapping[str, polars.DataFrame]) -> DayResult:
    """The checked result.

    Raises DayResultError for a key that is missing or of another type, and where energy or money
    does not add up; TablesError for the tables.
    """
    try:
        read = msgspec.convert(dict(summary), DaySummary)
    except msgspec.ValidationError as error:
        raise DayResultError(f"summary: {error}") from None
    try:
        ZoneInfo(read.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise DayResultError(f"summary: zone: {read.zone!r} is not a time zone") from None
    energy, money = read.energy_wh, read.money_ucoin
    if energy.sources != energy.uses:
        raise DayResultError(
            f"summary: energy_wh: sources are {energy.sources} Wh, uses {energy.uses} Wh"
        )
    total = sum(money.parties.values())
    if total or money.sum:
        raise DayResultError(f"summary: money_ucoin: adds up to {total}, sum says {money.sum}")
    return DayResult(read, conform(tables))
