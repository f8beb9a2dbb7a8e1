"""Nodes as processes, with a program that pretends to be the engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import local_networks
import pytest

from peerwatt.hosts.cometbft import running
from peerwatt.hosts.cometbft.localnet import Network
from peerwatt.hosts.cometbft.node_files import FilesError
from peerwatt.hosts.cometbft.running import NetworkError

PRETENDED = Path(__file__).parent / "pretended_engine.py"
STARTER = """
import sys
from pathlib import Path
from peerwatt.hosts.cometbft import running
from peerwatt.hosts.cometbft.localnet import Network
network = Network(Path(sys.argv[1]))
running.start(network, Path(sys.argv[2]), network.nodes, say=lambda line: print(line, flush=True))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "engine"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PRETENDED}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    made = local_networks.network(tmp_path / "net", ("north", "south"), app="kvstore")
    yield made
    running.stop(made, made.nodes)
    assert not any(running.is_running(made.home(node)) for node in made.nodes)


def processes(net: Network) -> list[int]:
    """Every process that has the network's folder among its words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(net.folder).encode() in words and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def is_gone(net: Network, seconds: float = 10) -> bool:
    deadline_s = time.monotonic() + seconds
    while processes(net):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def test_started_they_answer_and_stopped_they_are_gone(net: Network, program: Path) -> None:
    said: list[str] = []
    running.start(net, program, net.nodes, say=said.append)
    assert said == ["north: started", "south: started"]
    for status in running.statuses(net, net.nodes):
        assert set(status.pids) == {"keeper", "engine"}
        assert (status.height or 0) > 1
        assert (status.peers, status.validator, status.catching_up) == (3, True, False)
        assert status.app_hash == "AB" * 32
    assert len(processes(net)) == 4
    assert running.stop(net, net.nodes) == list(net.nodes)
    assert is_gone(net)
    assert running.stop(net, net.nodes) == []
    assert [status.pids for status in running.statuses(net, net.nodes)] == [{}, {}]


def test_one_node_is_stopped_and_started_alone(net: Network, program: Path) -> None:
    running.start(net, program, net.nodes)
    running.stop(net, [net.node("north")])
    assert [bool(s.pids) for s in running.statuses(net, net.nodes)] == [False, True]
    running.start(net, program, [net.node("north")])
    assert all(status.height for status in running.statuses(net, net.nodes))
    with pytest.raises(NetworkError, match="node 'north' runs already"):
        running.start(net, program, [net.node("north")])
    assert len(processes(net)) == 4


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("sulk", r"node 'south' ended: keeper: engine ended by itself \(exit code 1\); "
                 "engine: engine: no disk left"),
        ("dumb", "node 'south' did not answer in time: engine: engine: here I am"),
        ("stuck", "the height did not grow in time; it is"),
    ],
)  # fmt: skip
def test_where_one_cannot_start_none_is_left(
    net: Network, program: Path, mood: str, why: str
) -> None:
    (net.home(net.node("south")) / "mood").write_text(mood)
    with pytest.raises(NetworkError, match=why):
        running.start(net, program, net.nodes, timeout_s=1.5)
    assert is_gone(net, 0)


def test_a_starter_that_is_killed_leaves_nothing(net: Network, program: Path) -> None:
    (net.home(net.node("south")) / "mood").write_text("dumb")
    words = [sys.executable, "-c", STARTER, str(net.folder), str(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert [starter.stdout.readline() for _ in net.nodes][-1] == "south: started\n"
        while len(processes(net)) < 5:
            time.sleep(0.02)
        starter.kill()
    assert is_gone(net)


def test_an_interrupted_start_leaves_nothing(net: Network, program: Path) -> None:
    (net.home(net.node("south")) / "mood").write_text("dumb")
    timer = threading.Timer(0.8, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        running.start(net, program, net.nodes, timeout_s=10)
    assert is_gone(net, 0)


def test_what_will_not_end_is_killed(net: Network, program: Path) -> None:
    (net.home(net.node("south")) / "mood").write_text("stubborn")
    running.start(net, program, net.nodes)
    running.stop(net, net.nodes, timeout_s=0.3)
    assert is_gone(net)


def test_a_start_that_comes_second_leaves_the_first_alone(
    net: Network, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.start(net, program, net.nodes)
    before = processes(net)
    # As if the second had looked before the first began.
    monkeypatch.setattr(running, "_check_free", lambda network, node: None)
    with pytest.raises(NetworkError, match="ended: keeper: is kept already"):
        running.start(net, program, net.nodes)
    assert sorted(processes(net)) == sorted(before)


def test_a_killed_keeper_takes_its_node_along(net: Network, program: Path) -> None:
    running.start(net, program, net.nodes)
    pids = running.pids(net.home(net.node("north")))
    os.kill(pids["keeper"], signal.SIGKILL)
    deadline_s = time.monotonic() + 5
    while running.is_running(net.home(net.node("north"))):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert running.pids(net.home(net.node("north"))) == {}
    running.start(net, program, [net.node("north")])


def test_a_taken_port_or_a_bad_key_is_told_before_anything_starts(
    net: Network, program: Path
) -> None:
    node = net.node("south")
    with socket.create_server((node.host, node.rpc_port)):
        why = f"node 'south': port 127.0.0.1:{node.rpc_port} is taken"
        with pytest.raises(NetworkError, match=why):
            running.start(net, program, net.nodes)
    (net.home(node) / "config" / "node_key.json").chmod(0o644)
    with pytest.raises(FilesError, match="others may open it"):
        running.start(net, program, net.nodes)
    assert is_gone(net, 0)
    assert not (net.home(net.node("north")) / "engine.log").exists()


def test_the_engine_hears_nothing_of_the_environment_that_is_meant_for_another(
    net: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "shown"
    program = tmp_path / "engine"
    program.write_text(f'#!/bin/sh\nenv > "{shown}"; exec "{sys.executable}" "{PRETENDED}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("CMTHOME", "/elsewhere")
    monkeypatch.setenv("CMT_RPC_LADDR", "tcp://0.0.0.0:1")
    running.start(net, program, net.nodes[:1])
    assert "CMT" not in shown.read_text()


def test_logs_are_read_from_their_end(net: Network, program: Path) -> None:
    with pytest.raises(FilesError, match="there is no such log; the node has not run"):
        running.log_of(net, net.nodes[0], "engine")
    path = net.home(net.nodes[0]) / "engine.log"
    path.write_text("".join(f"line {number}\n" for number in range(20_000)))
    assert running.log_of(net, net.nodes[0], "engine") == path
    assert running.tail(path, 2) == ["line 19998", "line 19999"]
    assert running.tail(path.with_name("none.log"), 2) == []
    lines = running.follow(path, poll_s=0.01)

    def write() -> None:
        with path.open("a") as file:
            for part in ("new", " li", "ne\nand one\n"):
                file.write(part)
                file.flush()
                time.sleep(0.03)

    threading.Timer(0.1, write).start()
    assert [next(lines), next(lines)] == ["new line", "and one"]


def test_another_chains_node_at_a_port_is_told(net: Network, program: Path) -> None:
    running.start(net, program, net.nodes[:1])
    path = net.folder / "network.json"
    path.write_text(path.read_text().replace('"sim-net"', '"sim-ten"'))
    other = Network(net.folder)
    with pytest.raises(NetworkError, match="is a node of chain 'sim-net', not of 'sim-ten'"):
        running.statuses(other, other.nodes)
