"""`peerwatt soak chaos`: seeds of faults on real validators, remembered as they are done.

Knows the runner of one seed, the engine and a file of results: one line of JSON a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from peerwatt.cli.screen import console, plain
from peerwatt.hosts.cometbft import engine
from peerwatt.simulation.chaos import ENOUGH, Outcome, run_seed
from peerwatt.simulation.chaos_faults import FAULTS

RESULTS = "results.jsonl"


def run_chaos(
    seeds: int, first_seed: int, faults: Sequence[str], folder: Path, base_port: int
) -> bool:
    """Run the seeds that no result is kept of; whether all held and enough faults were done.

    Raises:
        ValueError: there is no such fault, or a kept result cannot be read.
        EngineError: the engine is not installed.
    """
    for name in faults:
        if name not in FAULTS:
            raise ValueError(f"--faults: no fault '{name}'; there are {', '.join(FAULTS)}")
    program = engine.find().program
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(folder / RESULTS)
    failed, done = 0, Counter[str]()
    for seed in range(first_seed, first_seed + seeds):
        outcome = kept.get(seed)
        if outcome is None or faults:
            outcome = run_seed(
                seed,
                folder / f"seed-{seed}",
                program,
                base_port=base_port,
                faults=faults,
                say=lambda line: console.print(f"  {line}"),
            )
            if not outcome.failure and not faults:
                _keep(folder / RESULTS, outcome)
        _tell(outcome, faults, base_port)
        failed += bool(outcome.failure)
        done.update(outcome.done)
    console.print(_covered(done))
    console.print(f"{seeds - failed} seeds held, {failed} failed")
    wanted = len(faults) or min(ENOUGH, 4 * seeds)
    return failed == 0 and len(done) >= wanted


def _kept(path: Path) -> dict[int, Outcome]:
    if not path.exists():
        return {}
    try:
        found = [msgspec.json.decode(line, type=Outcome) for line in path.read_bytes().splitlines()]
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    return {outcome.seed: outcome for outcome in found}


def _keep(path: Path, outcome: Outcome) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(outcome) + b"\n")


def _tell(outcome: Outcome, faults: Sequence[str], base_port: int) -> None:
    console.print(
        f"seed {outcome.seed}: {', '.join(outcome.done) or 'no fault'}; {outcome.blocks} blocks, "
        f"{outcome.transactions} transactions, {outcome.settled_rounds} rounds settled, "
        f"{outcome.seconds:.0f} s"
    )
    if outcome.failure:
        console.print(f"  [red]failed[/]: {plain(outcome.failure)}")
        only = f" --faults {','.join(faults)}" if faults else ""
        console.print(
            f"  peerwatt soak chaos --seeds 1 --first-seed {outcome.seed}{only} "
            f"--base-port {base_port}"
        )


def _covered(done: Counter[str]) -> str:
    seen = ", ".join(f"{done[name]} {name}" for name in FAULTS if done[name])
    never = [name for name in FAULTS if not done[name]]
    return f"faults done: {seen or 'none'}" + (f"; never: {', '.join(never)}" if never else "")
