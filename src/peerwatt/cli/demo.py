"""`peerwatt demo`: the day that shows most, with three lies in it, run, settled and verified."""

from __future__ import annotations

from pathlib import Path

from peerwatt.audit.folder import verify_folder
from peerwatt.cli.screen import console, plain, progress, show_day, show_findings, show_refused
from peerwatt.records.codec import encode
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import load
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.world import World

FOLDER = "peerwatt-demo"
RECEIPT = "car.receipt"


def run_demo(out: Path | None, seed: int) -> None:
    """Two days, one folder, one receipt; says where to look next."""
    path = _free_folder() if out is None else out
    with RunFolder(path) as folder:
        run = _live(seed)
        run.write(folder)
    witness = run.world.keys.key("grid-operator").public
    console.print(f"\n[bold]peerwatt verify {plain(str(path))} --witness {witness.hex()}[/]")
    with progress("blocks") as step:
        report = verify_folder(path, witness=witness, progress=step)
    show_findings(report.findings)
    show_refused(report.refused)
    _where_next(path, _write_receipt(run, path))


def _live(seed: int) -> DayRun:
    """The day behind a small connection, with the lies; the same without a limit beside it."""
    limited = load(seed=seed)
    console.print(
        "[bold]A day at a real charging site.[/] Sessions, times, energy and tariff are real; "
        "which cars sell and how small the connection is are assumed."
    )
    sessions = sessions_of(limited, None)
    run = DayRun(limited, sessions)
    run.found(AttackedWorld).tempt()
    with progress("72 kW connection") as step:
        run.live(step)
    show_day(run.summary)
    open_ended = DayRun(limited.model_copy(update={"limit_kw": None}), sessions)
    open_ended.found(World)
    with progress("no limit") as step:
        open_ended.live(step)
    _show_open_ended(run, open_ended)
    console.print("\n[bold]Three lies[/], turned away at admission and, smuggled in, in a block:")
    show_refused(run.tables["refused"].rows(named=True))
    return run


def _show_open_ended(limited: DayRun, open_ended: DayRun) -> None:
    """The honest other half: what trade between cars is worth where the connection is large."""
    show_day(open_ended.summary)

    def gain(run: DayRun) -> float:
        rows = run.summary["baselines"]
        best: float = rows["best_grid_only"]["cost_usd"] - rows["optimum"]["cost_usd"]
        return best

    console.print(
        f"[bold]Trade between cars pays where the connection is too small.[/] It could save "
        f"${gain(limited):.0f} behind 72 kW, but only ${gain(open_ended):.0f} of "
        f"${open_ended.summary['baselines']['best_grid_only']['cost_usd']:.0f} without a limit."
    )


def _write_receipt(run: DayRun, folder: Path) -> Path:
    """The receipt of the seller that delivered most in one round, beside the folder."""
    awards = run.tables["awards"]
    best = awards.filter(awards["side"] == "sell").sort("metered_wh", descending=True)
    row = (best if best.height else awards).row(0, named=True)
    host = run.world.host
    round_id = next(k for k, r in host.items("rounds") if r.slot_start_s == row["slot_start_s"])
    bundle = host.receipt("settlements", round_id, bytes.fromhex(row["order_id"]))
    path = folder.with_name(f"{folder.name}-{RECEIPT}")
    path.write_bytes(encode(bundle))
    return path


def _where_next(folder: Path, receipt: Path) -> None:
    console.print("\n[bold]Where to look next[/]")
    for what, why in (
        (f"{folder / 'report.html'}", "the day as a page: open it in a browser"),
        (f"peerwatt verify {folder}", "change a byte of it first, and see"),
        (f"peerwatt verify {receipt}", "one car's receipt, checked alone"),
        ("peerwatt day --date 2019-06-12 --site caltech --out caltech", "another day"),
        ("docs/a-bid-travels.md", "how an order becomes energy and money"),
    ):
        console.print(f" {what}   {why}", markup=False)


def _free_folder() -> Path:
    number, path = 1, Path(FOLDER)
    while path.exists():
        number += 1
        path = Path(f"{FOLDER}-{number}")
    return path
