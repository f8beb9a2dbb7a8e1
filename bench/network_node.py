"""A validator's application with the ledger that a benchmark names, looked at while it works.

Knows the node and the ledgers. Started by a keeper in the node's folder, in the place of the
product's own program, which runs the real contracts only.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from noop import Counting

from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft.genesis import read_genesis_document
from peerwatt.hosts.cometbft.node import STORE, serve
from peerwatt.hosts.cometbft.node_files import SOCKET
from peerwatt.hosts.host import Ledger

CONTRACTS, COUNTING = "contracts", "counting"
SAMPLES = "samples.json"
SAMPLE_EVERY_S = 0.004
"""Of the process's own time; the kernel may count in coarser steps."""


class Sampler:
    """What runs, seen every few milliseconds of the process's own time: each time that it was
    looked at (by the monotonic clock), with the functions that ran, innermost first."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, list[tuple[str, str]]]] = []
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY_S, SAMPLE_EVERY_S)

    def _look(self, number: int, frame: FrameType | None) -> None:
        functions = []
        while frame is not None:
            functions.append((frame.f_code.co_filename, frame.f_code.co_qualname))
            frame = frame.f_back
        self._seen.append((time.monotonic(), functions))

    def write(self, path: Path) -> None:
        """Stop looking; keep what was seen."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_text(json.dumps(self._seen))


def main(name: str, sampled: bool) -> None:
    """Serve until told to stop."""
    ledgers: dict[str, Any] = {CONTRACTS: ledger, COUNTING: Counting()}
    chosen: Ledger = ledgers[name]
    sampler = Sampler() if sampled else None
    serve(chosen, STORE, f"unix://{SOCKET}", read_genesis_document(Path()), snapshot_every=0)
    if sampler is not None:
        sampler.write(Path(SAMPLES))


if __name__ == "__main__":
    main(sys.argv[1], SAMPLES in sys.argv[2:])
