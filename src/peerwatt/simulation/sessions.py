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
import re
import zlib
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
_STATION = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")
RESERVED = "pv"
"""The roof's name; no car and no station may have it."""


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
    def port(self) -> str:
        """The station's name on the ledger, where names are in small letters."""
        return self.station_id.lower()

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


def drop_reasons(sessions: Sequence[Session]) -> dict[str, str]:
    """Why sessions are left out, by session id; `sessions` ordered by arrival.

    Too short to trade in a slot, too long to be a working day, or at a plug that another
    car still holds.
    """
    reasons: dict[str, str] = {}
    taken_until: dict[str, int] = {}
    for session in sessions:
        if session.stay_s < MIN_STAY_S:
            reasons[session.session_id] = "stay under 15 min"
        elif session.stay_s > MAX_STAY_S:
            reasons[session.session_id] = "stay over 16 h"
        elif session.arrival_s < taken_until.get(session.port, 0):
            reasons[session.session_id] = "station still taken"
        else:
            taken_until[session.port] = session.departure_s
    return reasons


def by_date(sessions: Iterable[Session]) -> dict[date, list[Session]]:
    """The sessions that arrive on each local date."""
    days: dict[date, list[Session]] = {}
    for session in sessions:
        days.setdefault(session.local_date, []).append(session)
    return days


def _read(path: Path, site: str) -> Iterator[tuple[int, Session]]:
    """(row number, session) of every row; the header is row 1."""
    row = 1
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = _header(path, next(reader, []))
            for values in reader:
                row, where = reader.line_num, f"{path.name}: row {reader.line_num}"
                if not values:  # a blank line
                    continue
                if len(values) != len(header):
                    raise SessionsError(
                        f"{where}: must have {len(header)} columns, has {len(values)}"
                    )
                yield row, _session(where, dict(zip(header, values, strict=True)), site)
    except OSError as error:
        raise SessionsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise SessionsError(f"{path.name}: after row {row}: not a CSV file: {error}") from error


def _header(path: Path, header: list[str]) -> list[str]:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    if unknown or missing or len(header) != len(COLUMNS):
        what = [f"unknown column {name!r}" for name in unknown]
        what += [f"missing column {name!r}" for name in missing]
        raise SessionsError(f"{path.name}: row 1: {'; '.join(what) or 'a column appears twice'}")
    return header


def _session(where: str, row: dict[str, str], site: str) -> Session:
    arrival_s = _time_s(where, row, ARRIVAL)
    departure_s = _time_s(where, row, DEPARTURE)
    stated_s = _time_s(where, row, STATED)
    for column, time_s in ((DEPARTURE, departure_s), (STATED, stated_s)):
        if time_s < arrival_s:
            raise SessionsError(f"{where}: {column}: {row[column]!r} is before the arrival")
    for column in (SESSION, STATION):
        if not row[column].strip():
            raise SessionsError(f"{where}: {column}: must not be empty")
        if row[column].lower() == RESERVED or not row[column].isprintable():
            raise SessionsError(f"{where}: {column}: must not be {row[column]!r}")
    if not _STATION.fullmatch(row[STATION].lower()):
        raise SessionsError(
            f"{where}: {STATION}: must be 1 to 48 of A-Z, a-z, 0-9, '.', '_' and '-', "
            f"is {row[STATION]!r}"
        )
    if row[CLAIMED].lower() not in ("true", "false"):
        raise SessionsError(f"{where}: {CLAIMED}: must be True or False, is {row[CLAIMED]!r}")
    return Session(
        session_id=row[SESSION],
        site=site,
        station_id=row[STATION],
        arrival_s=arrival_s,
        departure_s=departure_s,
        stated_departure_s=stated_s,
        delivered_wh=_energy_wh(where, row, DELIVERED, MAX_DELIVERED_KWH),
        requested_wh=_energy_wh(where, row, REQUESTED, MAX_REQUESTED_KWH),
        claimed=row[CLAIMED].lower() == "true",
    )


def _time_s(where: str, row: dict[str, str], column: str) -> int:
    try:
        stamp = datetime.fromisoformat(row[column])
    except ValueError:
        stamp = None
    if stamp is None or stamp.tzinfo is None:
        raise SessionsError(
            f"{where}: {column}: must be a time with its offset, such as "
            f"2019-08-21 07:30:00-07:00, is {row[column]!r}"
        )
    if not 1990 <= stamp.year < 2100:
        raise SessionsError(
            f"{where}: {column}: must lie between 1990 and 2100, is {row[column]!r}"
        )
    return int(stamp.timestamp())


def _energy_wh(where: str, row: dict[str, str], column: str, most_kwh: float) -> int:
    try:
        energy_kwh = float(row[column])
    except ValueError:
        energy_kwh = math.nan
    if not 0 <= energy_kwh <= most_kwh:
        raise SessionsError(
            f"{where}: {column}: must be from 0 to {most_kwh:g} kWh, is {row[column]!r}"
        )
    return round(energy_kwh * WH_PER_KWH)
