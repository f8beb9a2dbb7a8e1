"""The `peerwatt` command inside this process: quick, and with all that `main` makes of an error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from peerwatt.cli.main import main
from peerwatt.simulation.sessions import COLUMNS, ZONE, Session


class Outcome(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that was refused and said nothing else."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.startswith("peerwatt: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n"), self.err
        return self.err.removeprefix("peerwatt: ").strip()


Peerwatt = Callable[..., Outcome]
Row = dict[str, str]


@pytest.fixture
def peerwatt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Peerwatt:
    """Runs `peerwatt` with these words in a new folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["peerwatt", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Outcome(code, *capsys.readouterr())

    return run


def as_row(session: Session) -> Row:
    """A session as it stands in a file."""

    def stamp(time_s: int) -> str:
        return datetime.fromtimestamp(time_s, ZONE).isoformat(sep=" ")

    return {
        "arrival": stamp(session.arrival_s),
        "departure": stamp(session.departure_s),
        "requested_energy (kWh)": str(session.requested_wh / 1000),
        "delivered_energy (kWh)": str(session.delivered_wh / 1000),
        "station_id": session.station_id,
        "session_id": session.session_id,
        "estimated_departure": stamp(session.stated_departure_s),
        "claimed": str(session.claimed),
    }


@pytest.fixture
def write_csv(small_sessions: Any, tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of the small day's cars; `changes` are laid over its rows by number."""

    def write(
        changes: dict[int, Row] | None = None,
        header: Iterable[str] = COLUMNS,
        name: str = "cars.csv",
    ) -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(header), extrasaction="ignore", restval="")
            writer.writeheader()
            for number, session in enumerate(small_sessions, 2):
                writer.writerow(as_row(session) | (changes or {}).get(number, {}))
        return path

    return write
