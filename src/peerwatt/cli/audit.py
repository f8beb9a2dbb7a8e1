"""`peerwatt audit`: what a mechanism is worth when somebody lies to it, measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from peerwatt import __version__
from peerwatt.cli.clear import band_of, digest_of
from peerwatt.cli.screen import console, plain, progress
from peerwatt.market_lab.audit import Report, audit
from peerwatt.market_lab.audit_file import drawn_markets, market_of_file
from peerwatt.market_lab.lies import KINDS
from peerwatt.market_lab.subjects import SUBJECTS, Subject, subject_of
from peerwatt.reporting.run_folder import RunFolder

_LIES = ("price", "quantity", "both", "adds money", "than none", "than grid", "ms")
_GAINS = ("welfare", "buyers", "sellers", "auctioneer", "energy")
MOST_OWNERS = 20
"""Owners a side that are tried where a file gives one market."""


def run_audit(
    mechanism: str,
    orders: Path | None,
    grid: tuple[float | None, float | None],
    markets: int,
    seed: int,
    out: Path | None,
) -> bool:
    """Audit one mechanism or `all`; whether what each claims held wherever it was tried."""
    names = SUBJECTS if mechanism == "all" else (mechanism,)
    subjects = [subject_of(name) for name in names]
    if out is None:
        reports = [_report(each, orders, grid, markets, seed) for each in subjects]
    else:
        with RunFolder(out) as folder:
            reports = [_report(each, orders, grid, markets, seed) for each in subjects]
            _write(folder, reports)
            folder.finish_described(_about(mechanism, orders, grid, markets, seed))
    _show(reports)
    if out is not None:
        console.print(f"Figures and plots: {out}", markup=False)
    return not any(report.broken for report in reports)


def _report(
    subject: Subject,
    orders: Path | None,
    grid: tuple[float | None, float | None],
    markets: int,
    seed: int,
) -> Report:
    with progress(f"audit of {subject.name}") as step:
        if orders is not None:
            market = market_of_file(orders, subject, band_of(*grid))
            return audit(subject, [(seed, market)], most_a_side=MOST_OWNERS)
        drawn = drawn_markets(subject, markets, seed)
        return audit(subject, drawn, step=lambda done: step(done, len(drawn)))


def _about(
    mechanism: str,
    orders: Path | None,
    grid: tuple[float | None, float | None],
    markets: int,
    seed: int,
) -> dict[str, object]:
    """What makes the same folder again."""
    drawn = {"markets": markets} if orders is None else {"grid": grid, **digest_of(orders)}
    return {
        "command": "audit",
        "peerwatt": __version__,
        "mechanism": mechanism,
        "seed": seed,
        **drawn,
    }


def _write(folder: RunFolder, reports: list[Report]) -> None:
    from peerwatt.market_lab.audit_plots import gains_from_trade, lies_that_pay

    folder.write_json("audit.json", [report.as_row() for report in reports])
    seconds = {report.subject.name: report.seconds for report in reports}
    folder.write_json("timings.json", seconds, signed=False)
    folder.write_figure("lies.png", lies_that_pay(reports))
    folder.write_figure("gains.png", gains_from_trade(reports))


def _show(reports: list[Report]) -> None:
    console.print(
        "Markets in which one of the owners tried gains by a lie about its price, its quantity or "
        "both, and in which the auctioneer adds money; owners who, saying the truth, fare worse "
        "than without trade, and than with the grid; in %."
    )
    _table(reports, _LIES, [_lies(report) for report in reports])
    console.print("Of the best welfare, what is reached and who has it; energy traded; in %.")
    _table(reports, _GAINS, [_gains(report) for report in reports])
    for report in reports:
        _show_claims(report)


def _lies(report: Report) -> tuple[str, ...]:
    kinds = (report.lies_pay.get(kind) for kind in KINDS)
    shares = (report.short, report.worse_than_no_trade, report.worse_than_grid)
    return (*map(_percent, (*kinds, *shares)), f"{report.seconds * 1e3:.2f}")


def _gains(report: Report) -> tuple[str, ...]:
    gains = (report.buyers_gain, report.sellers_gain, report.surplus)
    return tuple(map(_percent, (report.welfare, *gains, report.traded)))


def _table(reports: list[Report], heads: Sequence[str], rows: list[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for report, row in zip(reports, rows, strict=True):
        table.add_row(report.subject.name, *row)
    console.print(table)


def _show_claims(report: Report) -> None:
    for kind, example in report.best.items():
        lie = example.lie
        side = "buyer" if lie.buyer else "seller"
        console.print(
            plain(
                f"{report.subject.name}: market {example.market}, {side} {lie.row} says "
                f"{lie.price:.4g} for {lie.kwh:.4g} kWh ({kind}) and gains {lie.gain:.4g}, "
                f"{example.share:.1%} of the best welfare"
            )
        )
    subject = report.subject
    claims = [
        words
        for words, claimed in (
            ("truthful in price", subject.truthful_in_price),
            ("truthful in quantity", subject.truthful_in_quantity),
        )
        if claimed
    ]
    if claims:
        held = "does not hold: " + ", ".join(report.broken) if report.broken else "held"
        tried = f"{report.owners_tried:,} owners of {report.markets:,} markets"
        console.print(plain(f"{subject.name} claims to be {' and '.join(claims)}: {held}, {tried}"))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:z.1f}"
