"""Fuzzes every target, or one, for some seconds each; a finding is a file and exit code 1.

    python tests/fuzz/fuzz.py --seconds 60 [--target message] [--keep]

Knows the targets and where to start; Atheris runs in a process of its own, because it ends its
process. With --keep the corpus takes in the inputs that got an answer not known before.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATHS = (HERE, HERE.parent / "rooms" / "contracts", HERE.parents[1] / "src")
sys.path[:0] = map(str, PATHS)

import fuzz_seeds  # noqa: E402
from fuzz_targets import TARGETS, keep, kept, smallest  # noqa: E402

MAX_BYTES = {"ledger": 512, "abci": 1_024}
USUAL_MAX_BYTES = 8_192
ONE_INPUT_S = 30
ENGINE = HERE / "fuzz_atheris.py"
MISSING = """fuzz: needs Atheris, which has wheels for Linux on x86-64 and Python 3.11 to 3.13:
  .venv/bin/python -m pip install --constraint constraints.txt --editable '.[fuzz]'
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the decoders and the ledger.")
    parser.add_argument("--target", choices=TARGETS, help="one alone")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="write what was new into the corpus")
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.exit(2, MISSING)
    names = [asked.target] if asked.target else list(TARGETS)
    found = [line for name in names for line in fuzz(name, asked.seconds, asked.keep)]
    print("\n".join(found) or f"{len(names)} targets, nothing found")
    sys.exit(bool(found))


def fuzz(name: str, seconds: int, keeping: bool) -> Iterator[str]:
    """Runs one target; a line with the path of its finding, if it has one."""
    known = [*kept(name), *fuzz_seeds.seeds()[name]]
    with tempfile.TemporaryDirectory() as folder:
        bred = Path(folder)
        for number, data in enumerate(known):
            (bred / f"known-{number:05}").write_bytes(data)
        log = bred.with_suffix(".log")
        code = _breed(name, seconds, bred, log)
        said = log.read_text(encoding="utf-8", errors="replace")
        log.unlink()
        print(f"{name}: {_figures(said)}", flush=True)
        if code:
            yield f"{name}: {_finding(said)}"
        elif keeping:
            inputs = [path.read_bytes() for path in bred.iterdir()]
            chosen = smallest(TARGETS[name], inputs)
            keep(name, [data for data in chosen if data not in fuzz_seeds.seeds()[name]])


def _breed(name: str, seconds: int, bred: Path, log: Path) -> int:
    """The exit code of the engine; 0 where nothing was found."""
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES.get(name, USUAL_MAX_BYTES)}",
        f"-timeout={ONE_INPUT_S}",
        f"-artifact_prefix={name}-",
        "-print_final_stats=1",
    )
    paths = os.pathsep.join(map(str, PATHS))
    with log.open("wb") as file:
        return subprocess.run(
            [sys.executable, ENGINE, name, *options, bred],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": paths},
            check=False,
        ).returncode


def _figures(said: str) -> str:
    """Executions, and coverage in the engine's own counts, at the end of a run."""
    runs = re.findall(r"^stat::number_of_executed_units:\s+(\d+)", said, re.M) or ["?"]
    counts = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said) or [("?", "?", "?")]
    branches, features, inputs = counts[-1]
    return f"{runs[-1]} runs, {branches} branches, {features} features, {inputs} inputs"


def _finding(said: str) -> str:
    """What the engine last said, with the file that replays it."""
    raised = re.findall(r"Uncaught Python exception: ===\n(.+)", said) or said.splitlines()[-1:]
    path = re.findall(r"Test unit written to (\S+)", said) or ["no file"]
    return f"{raised[-1].strip()} ({path[-1]}); the whole report:\n{said[-4_000:]}"


if __name__ == "__main__":
    main()
