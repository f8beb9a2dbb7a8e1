"""A day with a thousand cars: fourteen real days of one site laid upon one another, lived in full.

Sessions of the last fourteen days Monday to Thursday, at the plugs of fourteen sites, behind one
connection of fourteen times the limit; agents, ledger, dispatch, metering and settlement as in
`peerwatt day`. Nobody else runs such a day; the yardstick is the time that PyNaCl takes to check
the day's signatures, each once, and nothing else.
"""

from __future__ import annotations

import datetime
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness import profile, ratios, report, seconds, shown, spread
from signatures import check_all, signed_in

from peerwatt.simulation import config as configs
from peerwatt.simulation.config import DayConfig, SellersConfig
from peerwatt.simulation.day import like_days
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import Session, bundled, by_date, load_sessions
from peerwatt.simulation.summary import money_ucoin
from peerwatt.simulation.tables import chain_tables
from peerwatt.simulation.world import World

DATE = datetime.date(2019, 8, 21)
DAYS = 14
DAY_S = 86_400
SEEDS = (1, 2, 3)
PROFILED_SEED = 4
STEPS = ("order", "gate", "deliver", "report")
"""All of the market but for its last two blocks; each but `deliver` seals one of its own."""


class TimedWorld(World):
    """The world, with a stopwatch at each of its steps."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        super().__init__(*args, **named)

    def _timed(self, name: str, work: Any, *args: Any) -> Any:
        started_s = time.perf_counter()
        result = work(*args)
        self.seconds[name].append(time.perf_counter() - started_s)
        return result

    def order(self, slot: int) -> None:
        self._timed("order", super().order, slot)

    def gate(self, slot: int) -> None:
        self._timed("gate", super().gate, slot)

    def deliver(self, slot: int) -> None:
        self._timed("deliver", super().deliver, slot)

    def report(self, slot: int) -> None:
        self._timed("report", super().report, slot)

    def seal(self, time_s: int) -> None:
        self._timed("seal", super().seal, time_s)


def overlay(seed: int) -> tuple[DayConfig, list[Session]]:
    """Fourteen days upon one, and behind each like day before them fourteen copies of it, so that
    agents expect what is to come."""
    limit_kw = configs.DEFAULT_LIMIT_KW["jpl"] * DAYS
    sellers = SellersConfig(seed=seed)
    config = DayConfig(site="jpl", date=DATE, limit_kw=limit_kw, sellers=sellers)
    days = by_date(load_sessions(bundled("jpl"), "jpl"))
    laid = [DATE, *like_days(DATE, days, DAYS - 1)]
    before = like_days(laid[-1], days, config.rule.arrivals_history_days)
    sessions = [s for at, day in enumerate(laid) for s in moved(days[day], DATE, at)]
    sessions += [s for day in before for at in range(DAYS) for s in moved(days[day], day, at)]
    return config, sorted(sessions, key=lambda s: (s.arrival_s, s.session_id))


def moved(sessions: Sequence[Session], date: datetime.date, copy: int) -> Iterator[Session]:
    """The sessions at the same hours of another date, with ids and plugs of their own."""
    for session in sessions:
        by_s = (date - session.local_date).days * DAY_S
        yield replace(
            session,
            session_id=f"{session.session_id}-{copy}",
            station_id=f"{session.station_id}-{copy}",
            arrival_s=session.arrival_s + by_s,
            departure_s=session.departure_s + by_s,
            stated_departure_s=session.stated_departure_s + by_s,
        )


class Lived:
    """A day, and right after it the check of its signatures. Each seed has keys of its own, so that
    no signature is remembered from another day."""

    def __init__(self, seed: int) -> None:
        run = DayRun(*overlay(seed))
        self.world = run.found(TimedWorld)
        self.took = run.timings_s
        host, founded = self.world.host, self.world.host.height
        self.world.seconds.clear()
        self.market_s = seconds(self.world.run)
        blocks = [host.block(at).transactions for at in range(founded + 1, host.height + 1)]
        self.messages = sum(map(len, blocks))
        self.signed = [each for transactions in blocks for each in signed_in(transactions)]
        self.bound_s = seconds(lambda: check_all(self.signed))

    def facts(self) -> dict[str, Any]:
        """How large the day was, and where its time went."""
        world, took = self.world, self.world.seconds
        tables = chain_tables(world.host, {}, world.day.site)
        return {
            "cars": len(world.visits),
            "sellers": len(world.day.sellers.sessions),
            "slots": len(world.day.slot_start_s),
            "orders": tables["orders"].height,
            "most_orders_a_round": tables["rounds"]["orders"].max(),
            "awards": tables["awards"].height,
            "messages": self.messages,
            "signatures": len(self.signed),
            "refused": len(world.refused),
            "money_sum_ucoin": money_ucoin(tables["rounds"])["sum"],
            "seconds": {name: round(each, 2) for name, each in self.took.items()},
            "seconds_of_the_day_by_step": {name: round(sum(took[name]), 2) for name in STEPS},
            "blocks": len(took["seal"]),
            "seconds_to_seal_a_block": spread(took["seal"]),
        }


def main() -> None:
    days = [Lived(seed) for seed in SEEDS]
    market, bound = [each.market_s for each in days], [each.bound_s for each in days]
    figures: dict[str, Any] = {
        "met": None,
        "seeds": SEEDS,
        "seconds": spread(market),
        "seconds_to_check_the_signatures": spread(bound),
        "times_the_signature_bound": spread(ratios(market, bound)),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "first_day": days[0].facts(),
    }
    first = figures["first_day"]
    profile("thousand_cars", DayRun(*overlay(PROFILED_SEED)).found(World).run)
    row = (
        f"a day of {first['cars']:,} cars, {first['orders']:,} orders",
        f"{shown(figures['seconds'], '.1f')} s",
        f"PyNaCl verify of its {first['signatures']:,} signatures "
        f"{shown(figures['seconds_to_check_the_signatures'], '.1f')} s",
        f"{shown(figures['times_the_signature_bound'], '.1f')} times",
        "reported",
    )
    report("thousand_cars", "reported", figures, row)


if __name__ == "__main__":
    main()
