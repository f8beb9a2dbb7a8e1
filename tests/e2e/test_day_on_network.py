"""A day on four real validators from the command line, one of which is killed: it comes to the
same as in one process. Skipped where the engine is not installed (`peerwatt engine install`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerwatt.hosts.cometbft import engine, running
from peerwatt.hosts.cometbft.localnet import Network

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from peerwatt.cli.main import main; main()"
CHAIN = "sim-e2e-day"
CONFIG = "site: caltech\ndate: 2019-06-12\nlimit_kw: 20\nround_min: 60\nhorizon_h: 24\n"


def _installed() -> bool:
    try:
        engine.find()
    except engine.EngineError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _installed(), reason="needs: peerwatt engine install")


def begin(folder: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(folder: Path, *words: object) -> tuple[int, str, str]:
    with begin(folder, *words) as process:
        out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a running network `net`, and the day's assumptions."""
    folder = tmp_path_factory.mktemp("e2e")
    (folder / "day.yaml").write_text(CONFIG)
    port = 14_000 + os.getpid() % 400 * 8
    made = command(folder, "network", "create", "net", "--chain-id", CHAIN, "--base-port", port)
    assert made[0] == 0, made
    network = Network(folder / "net")
    try:
        started = command(folder, "network", "start", "net")
        assert started[0] == 0, started
        yield folder
    finally:
        command(folder, "network", "stop", "net")
        assert not any(running.is_running(network.home(node)) for node in network.nodes)


def test_a_day_with_a_kill_in_it_is_the_same_as_at_home(place: Path) -> None:
    network = Network(place / "net")
    day = ("day", "--config", "day.yaml")
    with begin(place, *day, "--out", "away", "--network", "net") as living:
        time.sleep(8)
        # The node that the client asks first: with it goes what it had not passed on.
        victim = running.pids(network.home(network.nodes[0]))
        for part in ("engine", "app"):
            os.kill(victim[part], signal.SIGKILL)
        assert living.poll() is None, "the day was over before the kill"
        _, err = living.communicate(timeout=240)
    assert (living.returncode, err) == (0, "")
    assert command(place, *day, "--out", "home", "--chain-id", CHAIN)[0] == 0
    code, out, err = command(place, "diff", "home", "away")
    assert (code, err) == (0, ""), out
    assert out.splitlines()[-1] == "No difference."


def test_its_folder_and_its_network_are_verified(place: Path) -> None:
    code, out, err = command(place, "verify", "away", "--network", "net")
    assert (code, err) == (0, ""), out
    assert "and their receipts are what validators signed" in " ".join(out.split())
    assert "the network's validators signed these" in " ".join(out.split())
    code, out, err = command(place, "verify", "--network", "net")
    assert (code, err) == (0, ""), out


def test_a_second_day_is_refused_in_one_line(place: Path) -> None:
    words = ("day", "--config", "day.yaml", "--out", "again", "--network", "net")
    code, out, err = command(place, *words)
    assert (code, out) == (2, "")
    assert err == (
        "peerwatt: net: its chain has a site 'caltech' already, and holds one day only; create a "
        "new network\n"
    )
    assert not (place / "again").exists()
