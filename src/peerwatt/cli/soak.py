"""`peerwatt soak`: long runs that look for faults; a failure prints the command that replays it."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from peerwatt.audit.folder import verify_folder
from peerwatt.cli.screen import console, plain, progress
from peerwatt.records.bundles import Verdict
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DEFAULT_LIMIT_KW, DayConfig, load
from peerwatt.simulation.faults import Outcome, run_seed
from peerwatt.simulation.market_duals import least_dual
from peerwatt.simulation.markets import check
from peerwatt.simulation.mutants import hunt_all, mutants
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.sessions import Session, by_date, drop_reasons
from peerwatt.simulation.tally import EVENTS, REASONS
from peerwatt.simulation.world import World

FUZZ = Path(__file__).resolve().parents[3] / "tests" / "fuzz" / "fuzz.py"
MECHANISMS = ("welfare", "uniform", "welfare-pairs")
ENOUGH = 0.95
"""The share of mutants that must be found."""


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


def run_faults(seeds: int, blocks: int, first_seed: int, jobs: int = 1) -> bool:
    """Attack so many chains, each from its own seed; whether every checker was content."""
    failed = done = 0
    reasons: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    started_s = time.monotonic()
    for outcome in _outcomes(range(first_seed, first_seed + seeds), blocks, jobs):
        failed += bool(outcome.failure)
        done += outcome.blocks
        reasons.update(outcome.reasons)
        happened.update(outcome.happened)
        console.print(
            f"seed {outcome.seed}: {outcome.blocks} blocks, {outcome.accepted} messages accepted, "
            f"{outcome.refused} turned away, {outcome.settled_rounds} rounds settled, "
            f"{outcome.power_cuts} power cuts, {outcome.disk_errors} disk errors, "
            f"{outcome.restarts} restarts"
        )
        if outcome.failure:
            console.print(f"  [red]failed[/]: {plain(outcome.failure)}")
            again = f"--seeds 1 --first-seed {outcome.seed} --blocks {blocks}"
            console.print(f"  peerwatt soak sim {again}")
    rate = done / max(time.monotonic() - started_s, 1e-9)
    console.print(_counted("refused", reasons, REASONS))
    console.print(_counted("happened", happened, EVENTS))
    console.print(
        f"{seeds - failed} seeds held, {failed} failed; {done} blocks, {rate:.0f} a second"
    )
    return failed == 0


def _outcomes(seeds: Sequence[int], blocks: int, jobs: int) -> Iterator[Outcome]:
    """What the seeds come to, in their order; several processes at once where asked for."""
    if jobs == 1:
        for seed in seeds:
            with progress(f"seed {seed}") as heard:
                yield run_seed(seed, blocks, heard)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_seed, seeds, repeat(blocks))


def _counted(title: str, counts: Mapping[str, int], names: Sequence[str]) -> str:
    """How often each came, the rarest last, and what never did."""
    seen = sorted((name for name in names if counts.get(name)), key=lambda each: -counts[each])
    never = [name for name in names if not counts.get(name)]
    text = f"{title}: " + ", ".join(f"{counts[name]} {name}" for name in seen)
    return text + (f"; never: {', '.join(never)}" if never else "; nothing never")


def run_mutants(only: Sequence[str], seeds: int, blocks: int, jobs: int) -> bool:
    """Plant every mutant, or those named; whether enough of them were found."""
    names = list(only) or [mutant.name for mutant in mutants()]
    started_s = time.monotonic()
    found = 0
    for finding in hunt_all(names, seeds, blocks, jobs):
        found += finding.found
        how = f"{finding.checker}, after {finding.blocks} blocks: {finding.what}"
        told = how if finding.found else f"[red]survived[/] {finding.blocks} blocks"
        console.print(f"{finding.mutant}: {plain(how) if finding.found else told}")
    took_s = time.monotonic() - started_s
    share = found / len(names)
    console.print(f"{found} of {len(names)} mutants found, {share:.1%}, in {took_s:.0f} s")
    return share >= ENOUGH


def run_fuzz(seconds: int, target: str | None) -> int:
    """Fuzz every target, or one, for some seconds each; the exit code of the fuzzing."""
    if not FUZZ.exists():
        raise ValueError("soak fuzz: needs a checkout, with its tests/fuzz")
    words = [sys.executable, str(FUZZ), "--seconds", str(seconds)]
    return subprocess.run([*words, *(("--target", target) if target else ())]).returncode


def run_markets(count: int, seed: int, *, against_dual: bool) -> bool:
    """So many small markets, one a seed; whether each was proved or rightly refused."""
    dual, against = (least_dual, " --against dual") if against_dual else (None, "")
    tally: Counter[str] = Counter()
    gap = difference = 0.0
    started_s = time.monotonic()
    with progress(f"{count:,} markets") as heard:
        for number in range(seed, seed + count):
            found = check(number, dual)
            gap, difference = max(gap, found.gap), max(difference, found.difference)
            tally["failed" if found.problem else "refused" if found.infeasible else "proved"] += 1
            if found.problem:
                console.print(f"[red]failed[/]: {found.kind}: {plain(found.problem)}")
                console.print(f"  peerwatt soak markets --count 1 --seed {number}{against}")
            heard(number - seed + 1, count)
    rate = count / max(time.monotonic() - started_s, 1e-9)
    compared = f", objectives within {difference:.1e} of the dual's" if against_dual else ""
    console.print(
        f"{tally['proved']:,} proved, {tally['refused']:,} refused with a proof that minima cannot "
        f"be met, {tally['failed']:,} failed; relative gaps up to {gap:.1e}{compared}; "
        f"{rate:,.0f} markets a second"
    )
    return tally["failed"] == 0
