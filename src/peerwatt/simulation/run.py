"""A hub day from files to a signed run folder.

Knows the world, its tables and its summary, and the writer of run folders.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.cast import AgentFor, ours
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.day import HubDay, hub_day
from peerwatt.simulation.founding import SETUP_LEAD_S
from peerwatt.simulation.sessions import Session, bundled, load_sessions
from peerwatt.simulation.summary import car_rows, summary_of, yardsticks_of
from peerwatt.simulation.tables import Row, chain_tables, frame, refused_rows
from peerwatt.simulation.venue import Venue
from peerwatt.simulation.world import World

if TYPE_CHECKING:
    import polars as pl

LEDGER = "ledger"
BUNDLED = "ACN-Data"
"""The data set that comes with the package."""
T = TypeVar("T")
W = TypeVar("W", bound=World)
Progress = Callable[[int, int], None]
Place = Callable[[int], Venue]


class Stopwatch:
    """How long each part of a run took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """Do the work; its time stands under the name."""
        started_s = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - started_s
        return result

    @property
    def rounded_s(self) -> dict[str, float]:
        """The seconds, to a millisecond."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}


class DayRun:
    """One day, lived through and accounted for; `write` puts it into a folder."""

    def __init__(
        self, config: DayConfig, sessions: Sequence[Session], source: str = BUNDLED
    ) -> None:
        """`source` says where the sessions come from."""
        self.config = config
        self.source = source
        self._watch = Stopwatch()
        self.timings_s = self._watch.seconds
        self.day: HubDay = self._watch.timed("assemble", lambda: hub_day(config, sessions))
        self.summary: Row = {}
        self.tables: dict[str, pl.DataFrame] = {}

    def found(self, make: type[W], agent_for: AgentFor = ours, at: Place | None = None) -> W:
        """The hub and its chain on the eve of the day; `at` gives the chain, for the time at which
        it begins."""

        def build() -> W:
            venue = None if at is None else at(self.day.start_s - SETUP_LEAD_S)
            return make(self.config, self.day, agent_for=agent_for, venue=venue)

        world = self._watch.timed("found", build)
        self.world: World = world
        return world

    def live(self, progress: Progress = lambda done, slots: None) -> None:
        """The day itself; at its end the grid operator, who saw every block, co-signs the head."""
        world = self.world
        self._watch.timed("market", lambda: world.run(progress))
        world.host.witness(world.keys.key("grid-operator"))
        plug, yardsticks = self._watch.timed("yardsticks", lambda: yardsticks_of(self.day))
        names = {
            wallet.key.public: visit.name for visit in world.visits for wallet in visit.wallets
        }
        self.tables = chain_tables(world.host, names, self.day.site)
        awards, receipts = self.tables["awards"], self.tables["receipts"]
        refused = refused_rows(world.refused, receipts)
        self.tables["cars"] = frame("cars", car_rows(self.day, world.visits, awards, plug))
        self.tables["refused"] = frame("refused", refused)
        summary = summary_of(self.config, self.day, world.host, self.tables, yardsticks)
        summary["sessions"]["source"] = self.source
        self.summary = summary

    def write(self, folder: RunFolder) -> None:
        """Everything into an open run folder, signed by the site's operator."""
        from peerwatt.reporting.day_page import write_day_report

        folder.write_json("config.json", self.config.model_dump(mode="json"))
        folder.write_json("summary.json", self.summary)
        for name, table in self.tables.items():
            folder.write_table(f"{name}.parquet", table)
        self.world.venue.export(folder.path_of(LEDGER))
        self._watch.timed("report", lambda: write_day_report(folder, self.summary, self.tables))
        folder.write_json("timings.json", self._watch.rounded_s, signed=False)
        folder.finish(self.world.keys.key("aggregator"), self.world.keys.chain_id)


def sessions_of(config: DayConfig, file: Path | None) -> tuple[Session, ...]:
    """The sessions of a file, or those that come with the package."""
    return load_sessions(bundled(config.site) if file is None else (file,), config.site)
