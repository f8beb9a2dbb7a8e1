"""Every benchmark, one after the other, each in a process of its own and bounded in time.

Prints one table; the figures behind it are in `bench/results`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = {
    "ledger_orders": 180,
    "ledger_settlement": 180,
    "thousand_cars": 180,
    "welfare_solver": 180,
    "certificate_check": 180,
    "iterative_auction": 180,
    "double_auction": 480,
    "network": 420,
}
"""Each with how many seconds it may take."""


def main() -> int:
    """0 if all came to an end."""
    print(
        "| Claim | Ours | Peer in the same run | Ratio | Target |\n|---|---|---|---|---|",
        flush=True,
    )
    failed = []
    for name, limit_s in BENCHMARKS.items():
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        try:
            done = subprocess.run(command, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            failed.append(f"{name} took more than {limit_s} s")
        else:
            if done.returncode:
                failed.append(f"{name} failed")
    for line in failed:
        print(line, file=sys.stderr)
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
