"""Nodes of a local network as processes: started, watched, stopped, their logs read.

Knows the network's folder, keepers and the nodes' status. A node is one keeper with the
application and the engine; starting many is all or nothing.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from peerwatt.hosts.cometbft.keeper import GO_ON, LOCK, RUNNING, Part, take_lock, words_of
from peerwatt.hosts.cometbft.localnet import Network, Node
from peerwatt.hosts.cometbft.node_files import KVSTORE, SOCKET, FilesError
from peerwatt.hosts.cometbft.rpc import Rpc, RpcError, Unusable, chain_of, field, number

APP, ENGINE, KEEPER = "app", "engine", "keeper"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.1
TAIL_BYTES = 1 << 16


class NetworkError(ValueError):
    """The network could not be started, stopped or read: one line that says why."""


class NodeStatus(NamedTuple):
    """What a node says of itself; what does not answer has no height."""

    name: str
    pids: dict[str, int]
    height: int | None = None
    app_hash: str = ""
    peers: int = 0
    catching_up: bool = False
    validator: bool = False


def start(
    network: Network,
    program: Path,
    nodes: Sequence[Node],
    *,
    timeout_s: float = START_TIMEOUT_S,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Start nodes and wait until they answer and, once all of the network's run, its height grows.

    Args:
        network: the network.
        program: the engine.
        nodes: which of its nodes.
        timeout_s: how long all of it may take.
        say: hears of each step.

    Raises:
        FilesError: a key or genesis file will not do; nothing was started.
        NetworkError: a node runs already, a port is taken, or a node ended or was not ready in
            time; none of those that were started is left.
    """
    for node in nodes:
        network.check(node)
        _check_free(network, node)
    deadline_s = time.monotonic() + timeout_s
    keepers: list[tuple[Node, subprocess.Popen[bytes]]] = []
    try:
        for node in nodes:
            keepers.append((node, _keep(network, node, program)))
            say(f"{node.name}: started")
        _wait_until_ready(network, keepers, deadline_s)
        for _, keeper in keepers:
            _let_go(keeper)
    except BaseException:
        _call_back([keeper for _, keeper in keepers])
        raise


def _keep(network: Network, node: Node, program: Path) -> subprocess.Popen[bytes]:
    """Start a node's keeper, which ends all that it keeps if this process dies."""
    home = network.home(node)
    if not is_running(home):
        (home / RUNNING).unlink(missing_ok=True)  # of a keeper that was killed
    engine = Part(ENGINE, [str(program), "start", "--home", str(home)])
    app_words = [
        *(sys.executable, "-P", "-m", "peerwatt.hosts.cometbft.node"),
        *("--home", ".", "--address", f"unix://{SOCKET}"),
        *("--snapshot-every", str(network.snapshot_every)),
        *("--keep-blocks", str(node.keep_blocks)),
    ]
    app = Part(APP, app_words, makes=SOCKET)
    parts = [engine] if network.app == KVSTORE else [app, engine]
    # The engine takes settings from its environment too, the home folder among them.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CMT", "TMHOME"))}
    with (home / f"{KEEPER}.log").open("ab") as log:
        return subprocess.Popen(
            words_of(home, parts),
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            bufsize=0,
            start_new_session=True,
        )


def _let_go(keeper: subprocess.Popen[bytes]) -> None:
    """Have a keeper outlive this process; one that has just ended hears nothing any more."""
    if keeper.stdin is not None:
        with suppress(BrokenPipeError):
            keeper.stdin.write(GO_ON)
        keeper.stdin.close()


def _call_back(keepers: Iterable[subprocess.Popen[bytes]]) -> None:
    """End what was started: a keeper whose pipe closes ends its parts and itself."""
    for keeper in keepers:
        if keeper.stdin is not None:
            keeper.stdin.close()
    for keeper in keepers:
        try:
            keeper.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(keeper.pid, signal.SIGKILL)
            keeper.wait()


def _check_free(network: Network, node: Node) -> None:
    """Refuse a node that runs, or whose ports are taken."""
    if is_running(network.home(node)):
        raise NetworkError(f"node '{node.name}' runs already")
    for port in (node.p2p_port, node.rpc_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((node.host, port))
            except OSError as error:
                why = "is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
                raise NetworkError(f"node '{node.name}': port {node.host}:{port} {why}") from None


def _wait_until_ready(
    network: Network,
    keepers: Sequence[tuple[Node, subprocess.Popen[bytes]]],
    deadline_s: float,
) -> None:
    nodes = [node for node, _ in keepers]
    complete = all(is_running(network.home(node)) for node in network.nodes if node not in nodes)
    first: int | None = None
    while True:
        for node, keeper in keepers:
            if keeper.poll() is not None:
                raise NetworkError(f"node '{node.name}' ended: {_last_words(network, node)}")
        found = statuses(network, nodes)
        # What answers may be a node that another start began.
        heights = [
            status.height if status.pids.get(KEEPER) == keeper.pid else None
            for status, (_, keeper) in zip(found, keepers, strict=True)
        ]
        known = [height for height in heights if height is not None]
        if len(known) == len(nodes):
            first = max(known) if first is None else first
            if not complete or min(known) > first:
                return
        if time.monotonic() > deadline_s:
            raise NetworkError(_not_ready(network, nodes, heights))
        time.sleep(POLL_S)


def _not_ready(network: Network, nodes: Sequence[Node], heights: Sequence[int | None]) -> str:
    for node, height in zip(nodes, heights, strict=True):
        if height is None:
            words = _last_words(network, node)
            return f"node '{node.name}' did not answer in time: {words}"
    return f"the height did not grow in time; it is {max(filter(None, heights), default=0)}"


def _last_words(network: Network, node: Node) -> str:
    """The last line of the log that tells most: the keeper's, then its parts'."""
    found = []
    for name in (KEEPER, APP, ENGINE):
        lines = tail(network.home(node) / f"{name}.log", 1)
        found += [f"{name}: {line}" for line in lines]
    return "; ".join(found) or "its logs are empty"


def stop(network: Network, nodes: Sequence[Node], timeout_s: float = STOP_TIMEOUT_S) -> list[Node]:
    """Stop nodes, kindly and then by force; those that ran.

    Raises:
        NetworkError: one could not be stopped.
    """
    running = [node for node in nodes if is_running(network.home(node))]
    for node in running:
        _signal(network.home(node), signal.SIGTERM)
    deadline_s = time.monotonic() + timeout_s
    for node in running:
        home = network.home(node)
        while is_running(home):
            if time.monotonic() > deadline_s + 1:
                raise NetworkError(f"node '{node.name}' could not be stopped")
            if time.monotonic() > deadline_s or not _keeper_lives(home):
                _signal(home, signal.SIGKILL, group=True)
            time.sleep(POLL_S)
        (home / RUNNING).unlink(missing_ok=True)
    return running


def is_running(home: Path) -> bool:
    """Whether any process of a node runs."""
    if not (home / LOCK).exists():
        return False
    lock = take_lock(home)
    if lock is None:
        return True
    os.close(lock)
    return False


def _keeper_lives(home: Path) -> bool:
    keeper = pids(home).get(KEEPER)
    try:
        os.kill(keeper or 0, 0)
    except ProcessLookupError:
        return False
    return keeper is not None


def _signal(home: Path, number: signal.Signals, *, group: bool = False) -> None:
    """Send a signal to a node's keeper, or to all of its processes, while they hold the lock."""
    keeper = pids(home).get(KEEPER)
    if keeper is not None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(keeper, number)


def pids(home: Path) -> dict[str, int]:
    """The ids of a node's processes by name, as its keeper wrote them; empty when none runs."""
    try:
        found = json.loads((home / RUNNING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): int(pid) for name, pid in found.items()} if is_running(home) else {}


def statuses(network: Network, nodes: Sequence[Node]) -> list[NodeStatus]:
    """What each node says of itself.

    Raises:
        NetworkError: another chain's node answers at a node's port.
    """
    return [_status(network, node) for node in nodes]


def _status(network: Network, node: Node) -> NodeStatus:
    known = pids(network.home(node))
    if not known:
        return NodeStatus(node.name, known)
    rpc = Rpc(node.rpc, timeout_s=2.0)
    try:
        status, net = rpc.call("status"), rpc.call("net_info")
        if chain_of(status) != network.chain_id:
            chains = f"'{chain_of(status)}', not of '{network.chain_id}'"
            raise NetworkError(f"{node.rpc}: is a node of chain {chains}")
        return NodeStatus(
            name=node.name,
            pids=known,
            height=number(status, "sync_info", "latest_block_height"),
            app_hash=str(field(status, "sync_info", "latest_app_hash")),
            peers=number(net, "n_peers"),
            catching_up=bool(field(status, "sync_info", "catching_up")),
            validator=number(status, "validator_info", "voting_power") > 0,
        )
    except Unusable:
        return NodeStatus(node.name, known)
    except RpcError as error:
        raise NetworkError(str(error)) from None
    finally:
        rpc.close()


def log_of(network: Network, node: Node, part: str) -> Path:
    """The log of a node's part.

    Raises:
        FilesError: there is none.
    """
    path = network.home(node) / f"{part}.log"
    if not path.exists():
        raise FilesError(f"{path}: there is no such log; the node has not run")
    return path


def tail(path: Path, most: int) -> list[str]:
    """The last lines of a file, within its last 64 KiB; none if it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[-most:]


def follow(path: Path, poll_s: float = 0.3) -> Iterator[str]:
    """The lines that come to a file from now on, without end."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        line = b""
        while True:
            line += file.readline()
            if line.endswith(b"\n"):
                yield line.decode(errors="replace").rstrip("\n")
                line = b""
            else:
                time.sleep(poll_s)
