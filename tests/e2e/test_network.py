"""Four real validators from the command line: they agree, survive a kill, and are believed by none
but their signatures. Skipped where the engine is not installed (`peerwatt engine install`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peerwatt.agents.signer import Signer
from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import engine, running
from peerwatt.hosts.cometbft.client import CometHost, read_genesis
from peerwatt.hosts.cometbft.localnet import Network, Node
from peerwatt.hosts.cometbft.reader import Reader
from peerwatt.hosts.cometbft.rpc import Nodes, Rpc
from peerwatt.records.codec import decode
from peerwatt.records.members import Account
from peerwatt.records.transactions import Tick

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from peerwatt.cli.main import main; main()"


def _installed() -> bool:
    try:
        engine.find()
    except engine.EngineError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _installed(), reason="needs: peerwatt engine install")


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def base_port() -> int:
    """Where the ports of this process's networks begin."""
    return 12_000 + os.getpid() % 400 * 20


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("e2e") / "net"
    options = ("--base-port", base_port(), "--snapshot-every", 5, "--keep-blocks", 20)
    made = command("network", "create", folder, *options)
    assert (made.returncode, made.stderr) == (0, "")
    assert "chain sim-net: 4 validators, 1 of which may fail" in made.stdout
    network = Network(folder)
    try:
        started = command("network", "start", folder)
        assert (started.returncode, started.stderr) == (0, "")
        yield network
    finally:
        command("network", "stop", folder)
        assert not any(running.is_running(network.home(node)) for node in network.nodes)


def host_of(net: Network) -> CometHost:
    return CometHost(ledger, [n.rpc for n in net.nodes], (net.folder / "genesis.json").read_bytes())


def clock_of(net: Network, host: CometHost) -> Signer:
    host.sync()
    key = net.key("clock")
    return Signer(key, host, nonce=host.get("accounts", key.public).nonce)


def tick(clock: Signer, host: CometHost, time_s: int) -> int:
    """Move the clock; the height at which it moved."""
    transaction = clock.sign(Tick, valid_until_s=time_s, time_s=time_s)
    found = host.confirm(transaction)
    assert found.receipt.ok
    assert found.height is not None
    clock.nonce += 1
    return found.height


def wait_for(what: Callable[[], object], seconds: float = 30) -> None:
    deadline_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline_s, "it took too long"
        time.sleep(0.1)


def headers(net: Network, height: int) -> list[Any]:
    """Every node's header of a height."""
    return [
        Rpc(node.rpc).call("commit", height=str(height))["signed_header"]["header"]
        for node in net.nodes
    ]


def test_a_message_is_final_on_all_validators(net: Network) -> None:
    host = host_of(net)
    clock = clock_of(net, host)
    height = tick(clock, host, 1_000 + host.height)
    wait_for(lambda: host.sync() and host.height > height + 1)
    wait_for(lambda: all((s.height or 0) > height for s in running.statuses(net, net.nodes)))
    found = headers(net, height + 1)
    assert found == [found[0]] * 4
    assert (
        host.block(height + 1).signed_header.header.app_hash.hex().upper() == found[0]["app_hash"]
    )
    start = read_genesis((net.folder / "genesis.json").read_bytes())
    reader = Reader(Nodes([node.rpc for node in net.nodes], start.chain_id), start.validators)
    proved = reader.value("accounts", clock.key.public, at_least=height)
    assert proved.value is not None
    assert decode(proved.value, Account).nonce == clock.nonce
    assert reader.value("accounts", b"nobody").value is None
    assert reader.receipts(height) == host.receipts(height)


def test_the_table_shows_them(net: Network) -> None:
    shown = command("network", "status", net.folder)
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = shown.stdout.splitlines()[2:]
    assert [row.split()[0] for row in rows] == [node.name for node in net.nodes]
    assert all(" validator " in row for row in rows)
    logs = command("network", "logs", net.folder, "--part", "app", "--lines", 1)
    assert logs.stdout.count(": ") >= 4


def test_a_killed_validator_is_missed_by_nobody_and_comes_back(net: Network) -> None:
    victim = net.nodes[0]
    host = host_of(net)
    clock = clock_of(net, host)
    os.kill(running.pids(net.home(victim))["engine"], signal.SIGKILL)
    heights = [tick(clock, host, 10_000 + host.height + step) for step in range(3)]
    assert heights == sorted(heights)
    down = command("network", "status", net.folder)
    assert down.returncode == 1
    wait_for(lambda: not running.is_running(net.home(victim)))
    assert command("network", "start", net.folder, "--node", victim.name).returncode == 0
    wait_for(lambda: (running.statuses(net, [victim])[0].height or 0) > heights[-1])
    found = headers(net, heights[-1] + 1)
    assert found == [found[0]] * 4


def earliest(node: Node) -> int:
    return int(Rpc(node.rpc).call("status")["sync_info"]["earliest_block_height"])


@pytest.mark.parametrize(("name", "options"), [("synced", ["--state-sync"]), ("patient", [])])
def test_a_node_that_joins_begins_from_a_snapshot_or_from_the_first_block(
    net: Network, name: str, options: list[str]
) -> None:
    wait_for(lambda: earliest(net.nodes[0]) > 1)
    assert earliest(net.node("regulator")) == 1
    added = command("network", "add-validator", net.folder, name, "--follower", *options)
    assert (added.returncode, added.stderr) == (0, "")
    network = Network(net.folder)
    node = network.node(name)
    try:
        (status,) = running.statuses(network, [node])
        assert not status.validator
        assert (earliest(node) > 1) is bool(options)
        found = headers(net, status.height or 0)
        mine = Rpc(node.rpc).call("commit", height=str(status.height))["signed_header"]["header"]
        assert mine == found[2]
    finally:
        running.stop(network, [node])


def test_members_vote_a_validator_in(net: Network) -> None:
    host = host_of(net)
    host.sync()
    joined = command("network", "add-validator", net.folder, "issuer")
    assert (joined.returncode, joined.stderr) == (0, "")
    assert "issuer: voted in at height " in joined.stdout
    network = Network(net.folder)
    node = network.node("issuer")
    try:
        (status,) = running.statuses(network, [node])
        assert status.validator
        members = {member.name: member for _, member in host.items("members")}
        assert members["issuer"].validator == b""
        host.sync()
        members = {member.name: member for _, member in host.items("members")}
        assert members["issuer"].validator == network.validator_key(node)
        assert members["issuer"].roles
        again = command("network", "add-validator", net.folder, "issuer")
        assert again.stderr == "peerwatt: NAME: 'issuer' runs a validator already\n"
    finally:
        running.stop(network, [node])


def test_a_follower_finds_old_blocks_where_they_are_kept(net: Network) -> None:
    host = host_of(net)
    host.sync()
    assert earliest(net.nodes[0]) > 1
    assert len(host.receipts(1)) == 0
