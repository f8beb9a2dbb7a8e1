"""Reads real charging sessions: one row a stay at a plug, refused or dropped in the open.

Knows the columns of the published ACN-Data selection, the clock of its sites and the
cleaning rules. Knows no prices, no sellers and no slots. A file that contradicts itself is
refused with its file, row and column; a row that is sound but outside the model is dropped
and counted by reason.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from peerwatt.units import WH_PER_KWH

ZONE = ZoneInfo("America/Los_Angeles")
BUNDLED_SITES = ("caltech", "jpl")

MIN_STAY_S = 15 * 60
MAX_STAY_S = 16 * 3600
MAX_DELIVERED_KWH = 200.0
MAX_REQUESTED_KWH = 1000.0

ARRIVAL, DEPARTURE, STATED = "arrival", "departure", "estimated_departure"
DELIVERED, REQUESTED = "delivered_energy (kWh)", "requested_energy (kWh)"
STATION, SESSION, CLAIMED = "station_id", "session_id", "claimed"
COLUMNS = (ARRIVAL, DEPARTURE, REQUESTED, DELIVERED, STATION, SESSION, STATED, CLAIMED)


class SessionsError(ValueError):
    """A session file that cannot be used: one line that names the file, the row and the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One stay at a plug. Times in unix seconds, energy in whole Wh."""

    session_id: str
    site: str
    station_id: str
    arrival_s: int
    departure_s: int
    """When the car truly left."""
    stated_departure_s: int
    """When its driver said it would leave."""
    delivered_wh: int
    requested_wh: int
    claimed: bool
    """Whether a driver stated a wish; without one the publisher filled the wish in."""

    @property
    def oracle(self) -> bool:
        """Whether the stated departure is no statement but a copy of the true one."""
        return not self.claimed and self.stated_departure_s == self.departure_s

    @property
    def stay_s(self) -> int:
        return self.departure_s - self.arrival_s

    @property
    def local_date(self) -> date:
        return datetime.fromtimestamp(self.arrival_s, ZONE).date()


def bundled(site: str) -> tuple[Path, ...]:
    """The session files of a site that come with the package."""
    folder = Path(str(files("peerwatt") / "data" / "acn"))
    return tuple(sorted(folder.glob(f"{site}_*.csv.gz")))


def load_sessions(paths: Iterable[Path], site: str) -> tuple[Session, ...]:
    """All sessions of CSV files (plain or .gz), by arrival and id.

    Raises SessionsError at the first row that cannot be true.
    """
    seen: dict[str, str] = {}
    sessions: list[Session] = []
    for path in paths:
        for row, session in _read(Path(path), site):
            where = f"{path.name}: row {row}"
            if session.session_id in seen:
                raise SessionsError(
                    f"{where}: {SESSION}: repeats the one of {seen[session.session_id]}"
                )
            seen[session.session_id] = where
            sessions.append(session)
    return tuple(sorted(sessions, key=lambda s: (s.arrival_s, s.session_id)))
