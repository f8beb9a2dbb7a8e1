"""The application under the real engine, where it is installed: proofs, kills, state sync."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from msgspec.structs import replace

from peerwatt.contracts import ledger
from peerwatt.hosts.cometbft import engine, localnet
from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.localnet import Network, Node
from peerwatt.hosts.cometbft.node_files import CONFIG
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode, encode
from peerwatt.records.members import Account, Genesis
from peerwatt.records.receipts import Block
from peerwatt.records.signing import derive_key
from peerwatt.records.transactions import Tick, sign_message

try:
    PROGRAM = str(engine.find().program)
except engine.EngineError as error:
    pytest.skip(str(error), allow_module_level=True)

CHAIN_ID = "sim-real-engine"
CLOCK = derive_key(1, "clock", CHAIN_ID)
GENESIS = encode(
    replace(decode(toy.genesis(CHAIN_ID), Genesis), tick_key=CLOCK.public, start_s=1_000)
)
BASE_PORT = 20_000 + os.getpid() % 1_000 * 8
LIGHT_PORT = BASE_PORT + 7
SNAPSHOT_EVERY = 40


def tick(nonce: int) -> bytes:
    about: dict[str, Any] = {"chain_id": CHAIN_ID, "signer": CLOCK.public, "valid_until_s": 9_999}
    return sign_message(Tick(nonce=nonce, time_s=1_000 + nonce, **about), CLOCK)


def call(port: int, method: str, **words: str) -> Any:
    """What a node answers over RPC, or its error."""
    url = f"http://127.0.0.1:{port}/{method}?{urllib.parse.urlencode(words)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def commit(node: Node, transaction: bytes) -> int:
    """Send a transaction and wait for its block; its code there."""
    answer = call(node.rpc_port, "broadcast_tx_commit", tx=f"0x{transaction.hex()}")
    return int(answer["result"]["tx_result"]["code"])


def height_of(node: Node) -> int:
    return int(call(node.rpc_port, "status")["result"]["sync_info"]["latest_block_height"])


def header_of(node: Node, height: int) -> Any:
    """A signed header, as nodes give it."""
    return call(node.rpc_port, "commit", height=str(height))["result"]["signed_header"]


def query(port: int, path: str, key: bytes) -> Any:
    return call(port, "abci_query", path=f'"{path}"', data=f"0x{key.hex()}", prove="true")


def value_in(answer: Any) -> bytes:
    return base64.b64decode(answer["result"]["response"]["value"])


@contextmanager
def running(
    network: Network, node: Node, snapshot_every: int = 0
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A node's two processes, application first; killed at the end, as a power cut would."""
    home = network.home(node)
    commands = [
        [sys.executable, "-m", "peerwatt.hosts.cometbft.node", "--home", ".",
         "--snapshot-every", str(snapshot_every)],
        [PROGRAM, "start", "--home", "."],
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (home / "log").open("ab") as log:
        processes = [
            subprocess.Popen(each, cwd=home, env=environment, stdout=log, stderr=log)
            for each in commands
        ]
    try:
        yield processes
    finally:
        for each in processes:
            each.kill()
            each.wait(20)


def wait_for(network: Network, node: Node, height: int) -> None:
    for _ in range(600):
        with suppress(OSError):
            if height_of(node) >= height:
                return
        time.sleep(0.05)
    raise TimeoutError((network.home(node) / "log").read_text()[-3_000:])


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A network of one validator that makes blocks quickly."""
    made = localnet.create(
        tmp_path / "net", GENESIS, ["one"], {}, seed=1, time_s=1_700_000_000, base_port=BASE_PORT
    )
    hurry(made.home(made.nodes[0]))
    return made


def hurry(home: Path, more: str = "") -> None:
    path = home / CONFIG
    text, times = re.subn(
        r"^(timeout_commit|create_empty_blocks_interval) = .*$",
        r'\1 = "100ms"',
        path.read_text(),
        flags=re.MULTILINE,
    )
    assert times == 2
    path.write_text(text + more)


TRUE, FALSE = (base64.b64encode(encode(each)) for each in (Account(), Account(free_ucoin=100)))


class Liar(socketserver.BaseRequestHandler):
    """Passes what a node says on, but with a richer account in the place of an empty one."""

    node_port = 0

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.node_port)) as node:
            asking = threading.Thread(target=self._pass, args=(self.request, node, b"", b""))
            asking.start()
            self._pass(node, self.request, TRUE, FALSE)
            asking.join()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, true: bytes, false: bytes) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data.replace(true, false) if true else data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def light_proxy(home: Path, primary: str, witness: str, trusted: Any) -> Iterator[None]:
    """The engine's own light client, in front of a node."""
    command = [PROGRAM, "light", CHAIN_ID, "--primary", primary, "--witnesses", witness,
               "--laddr", f"tcp://127.0.0.1:{LIGHT_PORT}", "--home-dir", str(home),
               "--height", trusted["header"]["height"],
               "--hash", trusted["commit"]["block_id"]["hash"]]  # fmt: skip
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            with suppress(OSError):
                call(LIGHT_PORT, "health")
                break
            time.sleep(0.05)
        yield
    finally:
        proxy.kill()
        proxy.wait(20)


def test_the_stock_light_proxy_verifies_our_proofs_and_refuses_a_changed_value(
    network: Network, tmp_path: Path
) -> None:
    (node,) = network.nodes
    with running(network, node):
        wait_for(network, node, 3)
        trusted = header_of(node, 2)
        with light_proxy(tmp_path / "light", node.rpc, node.rpc, trusted):
            found = query(LIGHT_PORT, "/store/accounts/key", toy.key(3))
            ops = found["result"]["response"]["proofOps"]["ops"]
            assert [each["type"] for each in ops] == ["simple:v"] * 2
            assert decode(value_in(found), Account) == Account()
            absent = query(LIGHT_PORT, "/store/accounts/key", toy.key(99))
            assert "unrecognized proof type peerwatt:absent" in json.dumps(absent)
        Liar.node_port = node.rpc_port
        assert len(TRUE) == len(FALSE)
        liar = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Liar)
        liar.daemon_threads = True
        threading.Thread(target=liar.serve_forever, daemon=True).start()
        lying = f"http://127.0.0.1:{liar.server_address[1]}"
        with light_proxy(tmp_path / "light-2", lying, node.rpc, trusted):
            refused = query(LIGHT_PORT, "/store/accounts/key", toy.key(3))
            assert "leaf hash mismatch" in json.dumps(refused)
        liar.shutdown()
        liar.server_close()


@pytest.mark.slow
def test_killed_again_and_again_it_loses_nothing_and_executes_alike(network: Network) -> None:
    """Application or engine die at a random moment while ticks come in."""
    rng = random.Random(8)
    (node,) = network.nodes
    sent = height = 0
    for _ in range(4):
        with running(network, node) as processes:
            wait_for(network, node, height + 2)
            for _ in range(rng.randrange(1, 5)):
                assert commit(node, tick(sent)) == 0
                sent += 1
            time.sleep(rng.random() * 0.1)
            height = height_of(node)
            processes[rng.randrange(2)].kill()
    with running(network, node):
        wait_for(network, node, height + 2)
        again = DecidedChain(ledger, Store(None), GENESIS)
        for at in range(1, height + 1):
            found = call(node.rpc_port, "abci_query", path=f'"/block/{at}"')
            again.accept(decode(value_in(found), Block))
            assert again.head is not None
            app_hash = header_of(node, at)["header"]["app_hash"]
            assert again.head.header.app_hash == bytes.fromhex(app_hash)
    assert again.get("accounts", CLOCK.public).nonce == sent
    assert again.get("chain", b"chain").market_time_s == 1_000 + sent - 1


@pytest.mark.slow
def test_a_new_node_syncs_its_state_from_a_snapshot(network: Network) -> None:
    (one,) = network.nodes
    with running(network, one, SNAPSHOT_EVERY):
        wait_for(network, one, 3)
        assert [commit(one, tick(nonce)) for nonce in range(3)] == [0, 0, 0]
        wait_for(network, one, SNAPSHOT_EVERY + 2)
        two = network.add("two")
        sync = {
            "enable": True,
            "rpc_servers": f"{one.rpc},{one.rpc}",
            "trust_height": 2,
            "trust_hash": header_of(one, 2)["commit"]["block_id"]["hash"],
            "trust_period": "100000h",
            "discovery_time": "5s",
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in sync.items()]
        hurry(network.home(two), "\n".join(["\n[statesync]", *lines, ""]))
        with running(network, two):
            wait_for(network, two, SNAPSHOT_EVERY + 1)
            status = call(two.rpc_port, "status")["result"]["sync_info"]
            assert int(status["earliest_block_height"]) > 1
            at = height_of(two)
            wait_for(network, one, at + 1)
            wait_for(network, two, at + 1)
            known = [header_of(node, at)["header"]["app_hash"] for node in (one, two)]
            assert known[0] == known[1]
            found = query(two.rpc_port, "/store/accounts/key", CLOCK.public)
            assert decode(value_in(found), Account).nonce == 3
