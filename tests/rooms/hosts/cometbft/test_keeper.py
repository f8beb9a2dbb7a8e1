"""A keeper with real processes: none of them outlives what it must not outlive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peerwatt.hosts.cometbft.keeper import GO_ON, RUNNING, Part, take_lock, words_of

SLEEPER = Part("sleeper", ["sleep", "60"])
SERVER = Part("server", ["sh", "-c", "sleep 0.1; touch made; exec sleep 60"], makes="made")
STUBBORN = Part("stubborn", ["sh", "-c", "trap '' TERM; touch made; exec sleep 60"], makes="made")


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline_s, "it took too long"
        time.sleep(0.01)


def pids(folder: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((folder / RUNNING).read_text())
    except (OSError, ValueError):
        return {}
    return found


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_free(folder: Path) -> bool:
    lock = take_lock(folder)
    if lock is not None:
        os.close(lock)
    return lock is not None


def said(keeper: subprocess.Popen[bytes]) -> bytes:
    """All that a keeper said, once it has ended; its starter still holds on."""
    keeper.wait(10)
    assert keeper.stdout is not None
    return keeper.stdout.read()


Starter = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    keepers = []

    def begin(*parts: Part) -> subprocess.Popen[bytes]:
        keeper = subprocess.Popen(
            words_of(tmp_path, parts),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        keepers.append(keeper)
        return keeper

    yield begin
    for keeper in keepers:
        keeper.kill()
        keeper.wait()
        for pipe in filter(None, (keeper.stdin, keeper.stdout)):
            pipe.close()
    wait_for(lambda: is_free(tmp_path))


def kept(folder: Path, *names: str) -> dict[str, int]:
    wait_for(lambda: set(pids(folder)) == {"keeper", *names})
    return pids(folder)


def test_told_to_end_it_ends_all(tmp_path: Path, start: Starter) -> None:
    keeper = start(SERVER, SLEEPER)
    running = kept(tmp_path, "server", "sleeper")
    assert (tmp_path / "made").exists()
    assert not is_free(tmp_path)
    keeper.terminate()
    assert (said(keeper), keeper.returncode) == (b"", 0)
    assert not any(map(lives, running.values()))
    assert not (tmp_path / RUNNING).exists()


def test_when_a_part_ends_so_do_the_others(tmp_path: Path, start: Starter) -> None:
    keeper = start(SERVER, SLEEPER)
    running = kept(tmp_path, "server", "sleeper")
    os.kill(running["sleeper"], signal.SIGKILL)
    assert (said(keeper), keeper.returncode) == (b"sleeper ended by itself (SIGKILL)\n", 1)
    assert not any(map(lives, running.values()))


def test_a_part_that_never_gets_ready_is_told(tmp_path: Path, start: Starter) -> None:
    keeper = start(Part("broken", ["sh", "-c", "echo no; exit 3"], makes="made"), SLEEPER)
    assert said(keeper) == b"broken ended by itself (exit code 3)\n"
    assert (tmp_path / "broken.log").read_text() == "no\n"


def test_when_its_starter_dies_it_ends_all(tmp_path: Path, start: Starter) -> None:
    keeper = start(SERVER, SLEEPER)
    running = kept(tmp_path, "server", "sleeper")
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(10)
    assert not any(map(lives, running.values()))


def test_let_go_it_outlives_its_starter(tmp_path: Path, start: Starter) -> None:
    keeper = start(SLEEPER)
    running = kept(tmp_path, "sleeper")
    assert keeper.stdin is not None
    keeper.stdin.write(GO_ON)
    keeper.stdin.close()
    time.sleep(0.3)
    assert all(map(lives, running.values()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_killed_itself_it_leaves_nothing(tmp_path: Path, start: Starter) -> None:
    keeper = start(STUBBORN, SLEEPER)
    running = kept(tmp_path, "stubborn", "sleeper")
    keeper.kill()
    wait_for(lambda: not any(map(lives, running.values())))


def test_a_folder_has_one_keeper(tmp_path: Path, start: Starter) -> None:
    start(SLEEPER)
    running = kept(tmp_path, "sleeper")
    assert said(start(SLEEPER)) == b"is kept already\n"
    assert pids(tmp_path) == running
