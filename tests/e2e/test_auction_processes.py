"""An auction among real processes: some agents leave, one process is killed, the rest clears."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peerwatt.simulation.auction_hub import create_hub, read_drivers

COMMAND = [sys.executable, "-c", "from peerwatt.cli.main import main; main()", "auction"]


def started(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_who_leaves_and_who_is_killed_are_left_out_and_the_rest_is_cleared(
    tmp_path: Path, listen: str, free_port: int
) -> None:
    """Of 28 cars 3 fall silent at the second bid, and the 7 of one process die at the first
    allocation: they pay, the others get awards that their own processes have checked."""
    folder = tmp_path / "hub"
    create_hub(folder, buyers=12, sellers=16, leave=0.1, leave_after=2, seed=4)
    leavers = {d.port for d in read_drivers(folder, 1, 1) if d.leaves_after is not None}
    killed = {driver.port for driver in read_drivers(folder, 4, 4)}
    assert (len(leavers), len(killed)) == (3, 7)
    where = str(tmp_path / "line") if listen == "unix" else f"127.0.0.1:{free_port}"
    operator = started(
        "serve", str(folder), "--listen", where, "--expect", "4", "--answer-ms", "3000"
    )
    assert operator.stdout is not None
    said, agents = [], []
    for line in operator.stdout:
        said.append(line)
        if line.startswith("listening"):
            own = ("join", str(folder), "--connect", where, "--of", "4", "--share")
            agents = [started(*own, str(at + 1)) for at in range(4)]
        if line.startswith("  iteration 0") and agents[3].poll() is None:
            agents[3].kill()
    heard = [process.communicate(timeout=60)[0] for process in agents]
    text = "".join(said)
    assert operator.wait(60) == 0, text
    assert [process.returncode for process in agents] == [0, 0, 0, -9]
    gone = set(re.findall(r"  (p\d+) left and paid 0\.\d+ coins", text))
    assert gone == leavers | killed, text
    assert "accepted on the ledger" in text
    proved = sum(int(each.splitlines()[-1].split()[2]) for each in heard[:3])
    assert proved >= 10
    assert "refused" not in "".join(heard[:3])


def test_a_line_of_garbage_is_told_so_and_harms_nobody(tmp_path: Path) -> None:
    """A stranger speaks HTTP to the operator; the auction goes on without a scratch."""
    folder, where = tmp_path / "hub", str(tmp_path / "line")
    create_hub(folder, buyers=2, sellers=2, leave=0.0, leave_after=0, seed=1)
    operator = started("serve", str(folder), "--listen", where)
    assert operator.stdout is not None
    assert operator.stdout.readline().startswith("listening")
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(where)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"length: must be at most 1048576" in stranger.recv(1_000)
        assert stranger.recv(1_000) == b""
    agents = started("join", str(folder), "--connect", where)
    text = operator.communicate(timeout=60)[0]
    assert operator.returncode == 0, text
    assert "4 agents, " in agents.communicate(timeout=60)[0]


def test_the_demo_shows_every_word_once_and_who_paid() -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--buyers", "5", "--sellers", "7", "--processes", "2", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("Bring", "Brought", "Demand", "Invite", "Allocate", "Answer", "End"):
        assert len(re.findall(rf"(?:operator|agents): {kind}\(", done.stdout)) == 1, kind
    assert len(re.findall(r"left and paid 0\.\d+ coins", done.stdout)) == 1
    assert "accepted on the ledger" in done.stdout
    assert re.search(r"buyers pay 0\.\d+ to 0\.\d+ coins per kWh", done.stdout)
