"""Every benchmark, one after the other, each in a process of its own and bounded in time.

Prints one table; the figures behind it are in `bench/results`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "ledger_orders",
    "ledger_settlement",
    "thousand_cars",
    "welfare_solver",
    "certificate_check",
)
LIMIT_S = 180


def main() -> int:
    """0 if all came to an end."""
    print(
        "| Claim | Ours | Peer in the same run | Ratio | Target |\n|---|---|---|---|---|",
        flush=True,
    )
    failed = []
    for name in BENCHMARKS:
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        try:
            done = subprocess.run(command, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            failed.append(f"{name} took more than {LIMIT_S} s")
        else:
            if done.returncode:
                failed.append(f"{name} failed")
    for line in failed:
        print(line, file=sys.stderr)
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
