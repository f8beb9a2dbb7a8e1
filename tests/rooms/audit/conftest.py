"""A run folder to change, and the means of a dishonest operator who signs it again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peerwatt.audit.folder import verify_folder
from peerwatt.records.bundles import Verdict
from peerwatt.records.signing import SigningKey
from peerwatt.reporting.manifest import seal
from peerwatt.simulation.run import DayRun

sys.path.append(str(Path(__file__).parents[1] / "contracts"))

TIMINGS = "timings.json"
Sign = Callable[..., None]
Fails = Callable[..., list[str]]


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small day's folder."""
    return Path(shutil.copytree(small_folder, tmp_path / "day"))


@pytest.fixture
def sign_again(folder: Path, small_run: DayRun) -> Sign:
    """Seal the folder once more with the operator's own key, which a simulation gives away, or
    another."""
    keys = small_run.world.keys

    def sign(key: SigningKey | None = None, *, chain_id: str = keys.chain_id) -> None:
        seal(folder, key or keys.key("aggregator"), chain_id, [TIMINGS])

    return sign


@pytest.fixture
def fails(folder: Path) -> Fails:
    """What `verify` says does not hold."""

    def verify(trusted_head: bytes | None = None, witness: bytes | None = None) -> list[str]:
        report = verify_folder(folder, trusted_head=trusted_head, witness=witness)
        return [each.text for each in report.findings if each.verdict is Verdict.FAILS]

    return verify
