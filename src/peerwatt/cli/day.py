"""`peerwatt day`: runs a day, shows it, writes it."""

from __future__ import annotations

from pathlib import Path

from peerwatt.cli.screen import console, progress, show_day
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import BUNDLED, DayRun, sessions_of
from peerwatt.simulation.world import World


def run_day(config: DayConfig, sessions: Path | None, out: Path, network: Path | None) -> None:
    """Raises ValueError, before anything is written, for a day that cannot be run or kept."""
    with RunFolder(out) as folder:
        source = BUNDLED if sessions is None else sessions.name
        run = DayRun(config, sessions_of(config, sessions), source)
        run.found(World, network=network)
        with progress(f"{config.site} {config.date}") as step:
            run.live(step)
        run.write(folder)
    show_day(run.summary)
    told = f"\nReport: {out / 'report.html'}\nCheck it: peerwatt verify {out}"
    console.print(told, markup=False)
