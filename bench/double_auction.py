"""Double auctions with records of trades: against pymarket, ASSUME, a bare sort and a matmul.

A random book, half bids and half asks, of 10^2 to 10^6 orders, on one core. Ours is timed from
arrays to the result with its trades and reasons, checks of the book included. Peers run in
environments of their own, which are made by pip in a temporary folder (`PEERS` in the environment
names one to keep), and time themselves from orders read in to trades; one that takes longer than
its limit is stopped and stands as "at least" the processor time that it had. Yardsticks in this
process: one 1000x1000 float64 matmul, and the least that clears at all, two sorts and sums
without records. Where the rules are the same, the energy that trades must be, too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import profile, ratios, report, shown, spread, take_turns

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Book, Orders
from peerwatt.mechanisms.double_auction import MECHANISMS, clear_double_auction

ONE_CORE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SEED = 1
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
OURS = ("uniform", "huang", "muda")
ENVIRONMENTS = {
    # Its Huang auction needs a pandas whose arrays it may write to.
    "pymarket": ("pymarket==0.7.6", "numpy==1.26.*", "pandas==2.1.*"),
    "assume": ("assume-framework==0.6.0",),
}
INSTALL_LIMIT_S = 240
PEERS = {
    "ASSUME pay_as_clear": ("assume", "pay_as_clear", "uniform", (100, 1_000, 10_000, 100_000)),
    "pymarket Huang": ("pymarket", "huang", "huang", (100, 1_000, 10_000)),
    "pymarket MUDA": ("pymarket", "muda", "muda", (100, 1_000, 10_000)),
    "pymarket P2P": ("pymarket", "p2p", "uniform", (100, 1_000)),
}
"""Environment, mechanism, ours of the same kind, and sizes."""
SAME_RULES = ("ASSUME pay_as_clear", "pymarket Huang")
PEER_LIMIT_S = 30
MOST_MATMULS, LEAST_TIMES_FASTER = 15, 100


def orders(count: int) -> FloatArray:
    """(count, 2) prices and kWh: bids in the first half, asks in the second."""
    rng = np.random.default_rng(SEED)
    return np.column_stack([rng.uniform(0.05, 0.35, count), rng.uniform(0.5, 5, count)])


def halves(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


def clear(rows: FloatArray, mechanism: str) -> Any:
    bids, asks = halves(rows)
    book = Book(
        bids=Orders(price=bids[:, 0], kwh=bids[:, 1]),
        asks=Orders(price=asks[:, 0], kwh=asks[:, 1]),
    )
    return clear_double_auction(book, mechanism, seed=SEED)


def bare_sort(rows: FloatArray) -> float:
    """The volume at which the sorted sides cross, and nothing else."""
    bids, asks = halves(rows)
    falling, rising = np.argsort(-bids[:, 0]), np.argsort(asks[:, 0])
    demand, supply = np.cumsum(bids[falling, 1]), np.cumsum(asks[rising, 1])
    reached = np.searchsorted(asks[rising, 0], bids[falling, 0], side="right")
    return float(np.minimum(demand, np.append(0.0, supply)[reached]).max())


def timed(work: Callable[[], Any], least_s: float = 0.02) -> float:
    """Seconds a call of this process's own time, over as many calls as `least_s` takes."""
    calls, began_s = 0, time.process_time()
    while True:
        work()
        calls += 1
        took_s = time.process_time() - began_s
        if took_s >= least_s:
            return took_s / calls


def against_yardsticks(count: int) -> dict[str, Any]:
    rows = orders(count)
    square = np.random.default_rng(SEED).random((1000, 1000))
    subjects: dict[str, Callable[[], float]] = {
        name: partial(timed, partial(clear, rows, name)) for name in OURS
    }
    subjects["sort"] = partial(timed, partial(bare_sort, rows))
    subjects["matmul"] = partial(timed, lambda: square @ square)
    times = take_turns(subjects, 3 if count >= 10**6 else 7)
    found = {
        name: {
            "seconds": spread(times[name]),
            "matmuls": spread(ratios(times[name], times["matmul"])),
            "bare_sorts": spread(ratios(times[name], times["sort"])),
            "trades": len(clear(rows, name).trades.buyer),
        }
        for name in OURS
    }
    return {
        **found,
        "seconds_sort": spread(times["sort"]),
        "seconds_matmul": spread(times["matmul"]),
    }


def make_environments(folder: Path) -> dict[str, Path]:
    """Each peer's interpreter, installed where it is not there yet."""
    pythons = {}
    for name, packages in ENVIRONMENTS.items():
        python = folder / name / "bin" / "python"
        if not python.exists():
            run = partial(subprocess.run, check=True, timeout=INSTALL_LIMIT_S)
            run([sys.executable, "-m", "venv", str(folder / name)])
            run([str(python), "-m", "pip", "install", "-q", *packages])
        pythons[name] = python
    return pythons


def peer_once(python: Path, mechanism: str, rows: FloatArray, folder: Path) -> dict[str, float]:
    """Its seconds and energy; where it was stopped, the seconds that it had and no energy."""
    path = folder / f"{len(rows)}.npy"
    np.save(path, rows)
    script = Path(__file__).with_name("double_auction_peer.py")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            [str(python), "-W", "ignore", str(script), mechanism, str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=PEER_LIMIT_S,
            cwd=folder,
            env=os.environ | ONE_CORE,
        )
    except subprocess.TimeoutExpired as stopped:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # What it took to start and read is no part of clearing; without a word it was all of it.
        said = (stopped.stdout or b"").decode().split()
        took_s = after.ru_utime - before.ru_utime
        return {"at_least_seconds": max(took_s - float(said[0]), 0.0) if said else 0.0}
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def against_peer(name: str, pythons: dict[str, Path], folder: Path) -> dict[str, Any]:
    environment, mechanism, ours, sizes = PEERS[name]
    figures: dict[str, Any] = {}
    for count in sizes:
        rows = orders(count)
        repeats = 3 if count <= 1_000 else 1
        answers = [peer_once(pythons[environment], mechanism, rows, folder) for _ in range(repeats)]
        own = [timed(partial(clear, rows, ours)) for _ in range(7)]
        if "at_least_seconds" in answers[0]:
            least = answers[0]["at_least_seconds"]
            figures[str(count)] = {
                "peer_at_least_seconds": round(least, 1),
                "seconds_ours": spread(own),
                "times_faster_at_least": round(least / spread(own)["median"]),
            }
            break
        seconds = spread([answer["seconds"] for answer in answers])
        figures[str(count)] = {
            "seconds_peer": seconds,
            "seconds_ours": spread(own),
            "times_faster": round(seconds["median"] / spread(own)["median"], 1),
        }
        if name in SAME_RULES:
            kwh = float(clear(rows, ours).bought_kwh.sum())
            figures[str(count)]["relative_difference_kwh"] = abs(answers[0]["kwh"] / kwh - 1)
    return figures


def rows_of(figures: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name in OURS:
        found = figures["ours"]["100000"][name]
        matmul_s = figures["ours"]["100000"]["seconds_matmul"]["median"]
        yield (
            f"{name}, 10^5 orders, {found['trades']:,} trades",
            f"{found['seconds']['median'] * 1e3:.3g} ms",
            f"1000x1000 matmul {matmul_s * 1e3:.3g} ms",
            f"{shown(found['matmuls'], '.2g')} times as long",
            f"<= {MOST_MATMULS} times",
        )
    for name, sizes in figures["peers"].items():
        count, found = list(sizes.items())[-1]
        bound = "peer_at_least_seconds" in found
        peer = found["peer_at_least_seconds"] if bound else found["seconds_peer"]["median"]
        times = found["times_faster_at_least"] if bound else found["times_faster"]
        least = "at least " if bound else ""
        yield (
            f"{PEERS[name][2]}, {int(count):,} orders",
            f"{found['seconds_ours']['median'] * 1e3:.3g} ms",
            f"{name} {least}{peer:.3g} s",
            f"{least}{times:,.0f} times faster",
            f">= {LEAST_TIMES_FASTER} at 10^4",
        )


def met(figures: dict[str, Any]) -> dict[str, bool]:
    verdicts = {
        f"{name} 10^5": figures["ours"]["100000"][name]["matmuls"]["median"] <= MOST_MATMULS
        for name in OURS
    }
    for name, sizes in figures["peers"].items():
        if "10000" in sizes:
            found = sizes["10000"]
            times = found.get("times_faster", found.get("times_faster_at_least", 0))
            verdicts[f"{name} 10^4"] = times >= LEAST_TIMES_FASTER
        if name in SAME_RULES:
            differences = [size.get("relative_difference_kwh", 0.0) for size in sizes.values()]
            verdicts[f"{name}, the same energy"] = max(differences) <= 1e-9
    return verdicts


def main() -> None:
    figures: dict[str, Any] = {
        "ours": {str(count): against_yardsticks(count) for count in SIZES},
        "mechanisms": list(MECHANISMS),
        "peer_packages": ENVIRONMENTS,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pythons = make_environments(Path(os.environ.get("PEERS", temporary)))
        figures["peers"] = {name: against_peer(name, pythons, folder) for name in PEERS}
    figures["met"] = met(figures)
    rows = orders(100_000)
    profile("double_auction", lambda: [clear(rows, "huang") for _ in range(20)], top=20)
    *first, last = rows_of(figures)
    for row in first:
        print("| " + " | ".join(row) + " |", flush=True)
    report("double_auction", "see met, and MOST_MATMULS in the file", figures, last)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_CORE.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_CORE)
    main()
