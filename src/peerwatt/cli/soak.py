"""`peerwatt soak`: long runs that look for faults; a failure prints the command that replays it."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from peerwatt.audit.folder import verify_folder
from peerwatt.cli.screen import console, plain, progress
from peerwatt.records.bundles import Verdict
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DEFAULT_LIMIT_KW, DayConfig, load
from peerwatt.simulation.faults import Outcome, run_seed
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.sessions import Session, by_date, drop_reasons
from peerwatt.simulation.world import World

FUZZ = Path(__file__).resolve().parents[3] / "tests" / "fuzz" / "fuzz.py"
MECHANISMS = ("welfare", "uniform", "welfare-pairs")


def run_days(sample: int, seed: int) -> bool:
    """Random days, each on every mechanism; whether all of them closed and verified."""
    chance = random.Random(seed)
    sessions = {site: sessions_of(load(site=site), None) for site in DEFAULT_LIMIT_KW}
    failed = 0
    for number, (site, date) in enumerate(_days(chance, sessions, sample), 1):
        for mechanism in MECHANISMS:
            day_seed = chance.randrange(1_000_000)
            config = load(site=site, date=date, mechanism=mechanism, seed=day_seed)
            problems = check_day(config, sessions[site])
            failed += bool(problems)
            told = "; ".join(problems) if problems else "closes and verifies"
            console.print(f"{number}/{sample} {site} {date} {mechanism}: {told}")
            if problems:
                console.print(
                    f"  peerwatt day --site {site} --date {date} --mechanism {mechanism} "
                    f"--seed {day_seed} --out replay"
                )
    console.print(f"{sample * len(MECHANISMS) - failed} passed, {failed} failed")
    return failed == 0


def _days(
    chance: random.Random, sessions: Mapping[str, Sequence[Session]], sample: int
) -> Iterator[tuple[str, str]]:
    """Dates on which at least one usable car arrives, of both sites."""
    known = []
    for site, rows in sessions.items():
        dropped = drop_reasons(rows)
        for date, arriving in by_date(rows).items():
            if any(session.session_id not in dropped for session in arriving):
                known.append((site, str(date)))
    for _ in range(sample):
        yield chance.choice(known)


def check_day(config: DayConfig, sessions: Sequence[Session]) -> list[str]:
    """What is wrong with a day's accounts or its folder; empty if nothing is."""
    run = DayRun(config, sessions)
    run.found(World)
    run.live()
    summary = run.summary
    energy, problems = summary["energy_wh"], []
    sources = energy["from_cars"] + energy["from_grid"] + energy["from_pv"]
    uses = energy["needed"] - energy["unmet"] + energy["sold_to_grid"] + energy["losses"]
    if sources != uses:
        problems.append(f"energy is off by {sources - uses} Wh")
    if summary["money_ucoin"]["sum"]:
        problems.append(f"money sums to {summary['money_ucoin']['sum']} ucoin")
    if summary["orders"]["refused"]:
        problems.append(f"{summary['orders']['refused']} orders were refused")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "day"
        with RunFolder(path) as folder:
            run.write(folder)
        findings = verify_folder(path).findings
        problems += [each.text for each in findings if each.verdict is Verdict.FAILS]
    return problems


def run_faults(seeds: int, blocks: int, first_seed: int) -> bool:
    """Attack so many chains, each from its own seed; whether every checker was content."""
    outcomes: list[Outcome] = []
    started_s = time.monotonic()
    for seed in range(first_seed, first_seed + seeds):
        with progress(f"seed {seed}") as heard:
            outcome = run_seed(seed, blocks, heard)
        outcomes.append(outcome)
        console.print(
            f"seed {seed}: {outcome.blocks} blocks, {outcome.accepted} messages accepted, "
            f"{outcome.refused} turned away, {outcome.settled_rounds} rounds settled, "
            f"{outcome.power_cuts} power cuts, {outcome.disk_errors} disk errors, "
            f"{outcome.restarts} restarts"
        )
        if outcome.failure:
            console.print(f"  [red]failed[/]: {plain(outcome.failure)}")
            console.print(f"  peerwatt soak sim --seeds 1 --first-seed {seed} --blocks {blocks}")
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    done = sum(outcome.blocks for outcome in outcomes)
    rate = done / max(time.monotonic() - started_s, 1e-9)
    console.print(
        f"{len(outcomes) - failed} seeds held, {failed} failed; {done} blocks, {rate:.0f} a second"
    )
    return failed == 0


def run_fuzz(seconds: int, target: str | None) -> int:
    """Fuzz every target, or one, for some seconds each; the exit code of the fuzzing."""
    if not FUZZ.exists():
        raise ValueError("soak fuzz: needs a checkout, with its tests/fuzz")
    words = [sys.executable, str(FUZZ), "--seconds", str(seconds)]
    return subprocess.run([*words, *(("--target", target) if target else ())]).returncode
