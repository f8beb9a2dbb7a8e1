"""A day of several hubs from files to a signed run folder.

Knows the region, its tables and summary, and the writer of run folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerwatt import __version__
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.fleet import need_wh
from peerwatt.simulation.places import Parked
from peerwatt.simulation.region import HubsDay, Region, region_day
from peerwatt.simulation.region_config import HubConfig, RegionConfig
from peerwatt.simulation.region_summary import (
    of_hub,
    region_facts,
    region_tables,
    summed_baselines,
    with_hubs,
)
from peerwatt.simulation.run import BUNDLED, LEDGER, Progress, Stopwatch
from peerwatt.simulation.sessions import ZONE, Session
from peerwatt.simulation.summary import car_rows, summary_of, yardsticks_of
from peerwatt.simulation.tables import Row, frame, refused_rows

if TYPE_CHECKING:
    import polars as pl


class RegionRun:
    """One day at several hubs, lived through and accounted for; `write` puts it into a folder."""

    def __init__(
        self,
        config: DayConfig,
        region: RegionConfig,
        sessions: Sequence[Session],
        *,
        source: str = BUNDLED,
        map_name: str,
        chain_id: str | None = None,
    ) -> None:
        """`source` says where the sessions come from, `map_name` where the hubs do."""
        self.config, self.region = config, region
        self._source, self._map_name = source, map_name
        self._watch = Stopwatch()
        self.day = self._watch.timed("assemble", lambda: region_day(config, region, sessions))
        self.world = self._watch.timed(
            "found", lambda: Region(config, region, self.day, chain_id=chain_id)
        )
        self.summary: Row = {}
        self.tables: dict[str, pl.DataFrame] = {}

    def live(self, progress: Progress = lambda done, slots: None) -> None:
        """The day itself; at its end the grid operator, who saw every block, co-signs the head."""
        world = self.world
        self._watch.timed("market", lambda: world.run(progress))
        world.host.witness(world.keys.key("grid-operator"))
        names = {
            wallet.key.public: visit.name
            for hub in world.hubs
            for visit in hub.visits
            for wallet in visit.wallets
        }
        self.tables = region_tables(world.host, names)
        self._watch.timed("yardsticks", self._account)

    def _account(self) -> None:
        """Each hub's cars and summary, then all hubs'."""
        chain, tables, hubs = self.world.host, self.tables, self.day.hubs
        yardsticks, cars, refused = {}, {}, {}
        for each in hubs:
            name, world = each.hub.name, self.world.worlds[each.hub.name]
            plug, yardsticks[name] = yardsticks_of(each.day)
            awards = of_hub(tables, name)["awards"]
            cars[name] = frame("cars", car_rows(each.day, world.visits, awards, plug))
            refused[name] = frame("refused", refused_rows(world.refused, frame("receipts", [])))
        # What was refused in a block stands there for all to see, and is no one hub's.
        refused[""] = frame("refused", refused_rows([], tables["receipts"]))
        tables["cars"] = with_hubs(cars, "cars")
        tables["refused"] = with_hubs(refused, "refused")
        facts = region_facts(chain, tables)
        for each in hubs:
            name = each.hub.name
            own = summary_of(
                each.config, each.day, chain, of_hub(tables, name), yardsticks[name], name
            )
            own["sessions"]["source"] = self._source
            facts["hubs"][name] = own | _where(each.hub) | _came(each)
        facts["total"]["baselines"] = summed_baselines(facts["hubs"])
        self.summary = facts | self._common()

    def _common(self) -> Row:
        """What the summary says of all hubs together, beside sums."""
        config, day = self.config, self.day
        parked = [each for hub in day.hubs for each in hub.parked]
        return {
            "version": __version__,
            "date": str(config.date),
            "zone": str(ZONE),
            "seed": config.sellers.seed,
            "mechanism": config.mechanism,
            "map": self._map_name,
            "note": self.region.note,
            "histories_checked": len(self.world.checked),
            "box": self.region.box._asdict(),
            "idle": [{"name": hub.name, **_where(hub)} for hub in day.idle],
            "cars": {
                "source": self._source,
                "site": config.site,
                "days": [str(date) for date in day.laid],
                "came": len(parked) + len(day.turned_away),
                "parked": len(parked),
                "at_the_nearest": sum(each.tried == 0 for each in parked),
                "turned_away": len(day.turned_away),
                "turned_away_wh": sum(need_wh(each, config) for each in day.turned_away),
                "rows_dropped": day.dropped,
                "mean_distance_m": _mean_m(parked),
            },
        }

    def write(self, folder: RunFolder) -> None:
        """Everything into an open run folder, signed by who makes the chain's blocks."""
        from peerwatt.reporting.region_page import write_region_report

        folder.write_json(
            "config.json",
            self.config.model_dump(mode="json") | {"region": self.region.model_dump(mode="json")},
        )
        folder.write_json("summary.json", self.summary)
        for name, table in self.tables.items():
            folder.write_table(f"{name}.parquet", table)
        self.world.venue.export(folder.path_of(LEDGER))
        hubs = {each.hub.name: of_hub(self.tables, each.hub.name) for each in self.day.hubs}
        self._watch.timed("report", lambda: write_region_report(folder, self.summary, hubs))
        folder.write_json("timings.json", self._watch.rounded_s, signed=False)
        folder.finish(self.world.keys.key("aggregator"), self.world.keys.chain_id)


def _where(hub: HubConfig) -> Row:
    """What the map shows of a hub."""
    return {
        "place": hub.place.model_dump(),
        "ports": hub.ports,
        "operator": hub.operator,
        "limit_kw": hub.limit_kw,
    }


def _came(each: HubsDay) -> Row:
    """Where a hub's cars came from."""
    return {
        "cars_from": [
            {
                "longitude": round(car.place.longitude, 6),
                "latitude": round(car.place.latitude, 6),
                "distance_m": round(car.distance_m),
                "nearer_hubs_full": car.tried,
            }
            for car in each.parked
        ]
    }


def _mean_m(parked: Sequence[Parked]) -> int:
    return round(sum(each.distance_m for each in parked) / max(len(parked), 1))
