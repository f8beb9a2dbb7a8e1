"""What every benchmark needs: taking turns, medians, profiles, and a result in one form.

Knows no subject. A result is a ratio to a peer measured in the same run; times stand beside it.
"""

from __future__ import annotations

import cProfile
import datetime
import io
import json
import os
import platform
import pstats
import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from peerwatt import __version__

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("highspy", "msgspec", "numpy", "polars", "pynacl")


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes, by the wall's clock."""
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def take_turns(subjects: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each subject measures of itself, `repeats` times, peer and ours in turn and the order
    turned round each time, so that what else the machine does falls on all alike."""
    names = list(subjects)
    measured: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        for name in names if repeat % 2 == 0 else reversed(names):
            measured[name].append(subjects[name]())
    return measured


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most, to four digits."""
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def ratios(ours: Sequence[float], peer: Sequence[float]) -> list[float]:
    """Ours over the peer's, turn by turn."""
    return [one / other for one, other in zip(ours, peer, strict=True)]


def shown(figures: Mapping[str, float], form: str = ",.0f") -> str:
    """`median (min-max)` as a cell of a table."""
    median, least, most = (format(figures[name], form) for name in ("median", "min", "max"))
    return f"{median} ({least}-{most})"


def profile(claim: str, work: Callable[[], Any], *, top: int = 15) -> None:
    """Run under cProfile and keep the functions with the most time of their own."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    stats = pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime")
    stats.print_stats(top)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{claim}.profile.txt").write_text("\n".join(lines).strip() + "\n")


def report(claim: str, target: str, figures: Mapping[str, Any], row: Sequence[str]) -> None:
    """Keep the figures as JSON and print the claim's row of the table."""
    result = {
        "claim": claim,
        "target": target,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine(),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{claim}.json").write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(row) + " |", flush=True)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 1),
        "architecture": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
        "peerwatt": __version__,
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
