"""`peerwatt compare`: one real day under several mechanisms, side by side."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from peerwatt.audit.lessons import LESSONS, OTHERS
from peerwatt.cli.screen import console, plain, progress
from peerwatt.reporting.clearing_gap import at_most
from peerwatt.reporting.compare_page import PAGE, write_comparison
from peerwatt.reporting.comparison import ROLES, Comparison, standing
from peerwatt.reporting.day_result import DayResult, read_result
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DayConfig, load, suggestion
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.world import World
from peerwatt.units import UCOIN_PER_COIN

HEADINGS = ("", "cost, $", "unmet, kWh", "cars, kWh", "pot, $", "gain", "lose", "gap", "s")


def run_compare(
    config: Path | None,
    site: str | None,
    date: str | None,
    seed: int | None,
    mechanisms: str,
    out: Path,
) -> None:
    """Raises ValueError, before any day is run, for what cannot be run or kept."""
    names = names_of(mechanisms)
    days = {n: load(config, site=site, date=date, mechanism=n, seed=seed) for n in names}
    first = days[names[0]]
    results: dict[str, DayResult] = {}
    timings_s: dict[str, dict[str, float]] = {}
    with RunFolder(out) as folder:
        sessions = sessions_of(first, None)
        for at, (name, day) in enumerate(days.items(), 1):
            run = DayRun(day, sessions)
            run.found(World)
            with progress(f"{name}, {at} of {len(days)}") as step:
                run.live(step)
            results[name] = read_result(run.summary, run.tables)
            timings_s[name] = {part: round(took_s, 3) for part, took_s in run.timings_s.items()}
        comparison = Comparison(results, LESSONS, OTHERS)
        folder.write_json("config.json", _shared(first))
        write_comparison(folder, comparison)
        folder.write_json("timings.json", timings_s, signed=False)
        about = {"comparison": names, "site": first.site, "date": str(first.date)}
        folder.finish_described(about)
    _show(comparison, {name: each["market"] for name, each in timings_s.items()})
    console.print(f"\nReport: {plain(str(out / PAGE))}", markup=False)


def names_of(text: str) -> list[str]:
    """Mechanisms' names with commas between; ValueError for one that the ledger does not run."""
    names = [name.strip() for name in text.split(",")]
    for at, name in enumerate(names):
        if name not in LESSONS:
            known = suggestion(name, list(LESSONS)) or f"; there are {', '.join(LESSONS)}"
            raise ValueError(f"--mechanisms: no {name!r}{known}")
        if name in names[:at]:
            raise ValueError(f"--mechanisms: {name!r} appears twice")
    return names


def _shared(config: DayConfig) -> dict[str, object]:
    """What is assumed under every mechanism."""
    return config.model_dump(mode="json", exclude={"mechanism"})


def _show(comparison: Comparison, took_s: dict[str, float]) -> None:
    summary = comparison.any_result.summary
    console.print(
        f"\n[bold]{summary.site.upper()}, {summary.date}[/]: {summary.sessions.buyers} cars buy, "
        f"{summary.sessions.sellers} sell"
    )
    table = Table(box=None, pad_edge=False)
    for at, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if at else "left", no_wrap=not at)
    for label, outcome in comparison.outcomes.items():
        values = (outcome.cost_usd, outcome.unmet_kwh, outcome.cars_kwh)
        cells = [f"{value:,.1f}" for value in values]
        if (result := comparison.results.get(label)) is not None:
            cells += _of_market(result, took_s[label])
        table.add_row(label, *cells, style="" if result is None else "bold")
    console.print(table)


def _of_market(result: DayResult, took_s: float) -> list[str]:
    """What a yardstick does not have: budget, who gains and loses, proof and time."""
    both = [standing(result, role) for role in ROLES]
    clearings = result.summary.clearings
    return [
        f"{result.summary.money_ucoin.pot / UCOIN_PER_COIN:z,.3f}",
        f"{sum(each.gain for each in both)}",
        f"{sum(each.lose for each in both)}",
        at_most(clearings.largest_gap_ppb) if clearings.certified else "–",
        f"{took_s:,.1f}",
    ]
