"""A node's application as a process: it starts, is stopped, killed, refused, and says why."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_engine import FakeEngine
from msgspec.structs import replace

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.genesis import FILE, app_state
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.node import STORE, main
from peerwatt.hosts.cometbft.node_files import SOCKET
from peerwatt.hosts.cometbft.wire import Frames, Message, frame
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode, encode
from peerwatt.records.members import Genesis
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import Tick, sign_message

CLOCK = SigningKey(bytes(32))
GENESIS = replace(decode(toy.genesis(), Genesis), tick_key=CLOCK.public)
COMMAND = [sys.executable, "-m", "peerwatt.hosts.cometbft.node"]


def tick(nonce: int) -> bytes:
    about = {"chain_id": GENESIS.chain_id, "signer": CLOCK.public, "valid_until_s": 1_000}
    return sign_message(Tick(nonce=nonce, time_s=nonce, **about), CLOCK)  # type: ignore[arg-type]


def home_of(path: Path, genesis: Genesis = GENESIS, **changes: Any) -> Path:
    """A node's folder with its genesis document."""
    document = {"chain_id": genesis.chain_id, "app_state": app_state(encode(genesis))} | changes
    (path / "config").mkdir(parents=True)
    (path / "data").mkdir()
    (path / FILE).write_text(json.dumps(document))
    return path


def start(home: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--home", ".", *options],
        cwd=home,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
    )


def connect(node: subprocess.Popen[str], path: Path) -> socket.socket:
    """A connection to a node that is starting."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    for _ in range(400):
        if peer.connect_ex(os.path.relpath(path)) == 0:
            return peer
        assert node.poll() is None, node.communicate()[1]
        time.sleep(0.025)
    raise TimeoutError


@contextmanager
def running(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A node's process, and a function that asks it."""
    node = start(home, *options)
    peer, frames = connect(node, home / SOCKET), Frames()
    try:

        def answer(request: Message) -> Message:
            peer.sendall(frame(REQUEST.encode(request)))
            while True:
                data = peer.recv(1 << 16)
                assert data, "closed"
                for each in frames.feed(data):
                    return RESPONSE.decode(each)

        yield node, answer
    finally:
        if node.poll() is None:
            node.kill()
        node.wait(20)
        peer.close()
        if node.stderr is not None:
            node.stderr.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return home_of(tmp_path / "node")


def test_it_serves_is_killed_goes_on_and_stops_when_told(home: Path) -> None:
    engine = FakeEngine(encode(GENESIS))
    with running(home) as (node, answer):
        engine.connect(answer)
        for nonce in range(3):
            assert engine.offer(tick(nonce)).code == 0
            engine.decide()
        engine.offer(tick(3))
        steps = engine.steps()
        while next(steps) != "finalized":
            continue
        node.kill()
    engine.mempool.clear()
    with running(home, "--snapshot-every", "2") as (node, answer):
        engine.connect(answer)
        assert engine.offer(tick(4)).code == 0
        engine.decide()
        assert engine.results[-1].tx_results[0].code == 0
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
        said = node.communicate()[1]
        assert "serving height 3 at unix://" in said
        assert "Traceback" not in said
    assert not (home / SOCKET).exists()
    with Store(home / STORE) as store:
        tip = store.tip()
        assert tip is not None
        assert tip.height == 5
    assert [each.name[0] for each in (home / "data" / "peerwatt-snapshots").iterdir()] == ["4"]


def test_what_it_cannot_answer_ends_it_with_one_line(home: Path) -> None:
    with running(home) as (node, answer):
        response = answer(abci.RequestCommit())
        assert isinstance(response, abci.ResponseException)
        assert node.wait(20) == 1
        *_, last = node.communicate()[1].splitlines()
        assert last.startswith("peerwatt: commit: no block has been executed")


def refused(home: Path, *options: str) -> str:
    """The one line with which a node does not start."""
    node = start(home, *options)
    _, said = node.communicate(timeout=20)
    assert node.returncode == 1
    (line,) = said.splitlines()
    return line.removeprefix("peerwatt: ")


def test_two_nodes_do_not_share_a_store(home: Path) -> None:
    with running(home):
        assert refused(home, "--address", "unix://other.sock") == (
            f"{STORE}: in use by another process"
        )


def test_a_store_of_another_chain_is_refused(home: Path, tmp_path: Path) -> None:
    with running(home):
        pass
    other = home_of(tmp_path / "other", replace(GENESIS, chain_id="sim-other"))
    (home / "data").replace(tmp_path / "other" / "data")
    assert refused(other) == f"{STORE}: holds another chain, its genesis differs"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (None, "config/genesis.json: No such file or directory"),
        ("{", "config/genesis.json: is not JSON"),
        ("[" * 10_000, "config/genesis.json: is not JSON"),
        ("[]", "config/genesis.json: app_state: has no 'genesis'"),
        ("{}", "config/genesis.json: app_state: has no 'genesis'"),
        ('{"app_state": {"genesis": 5}}', "config/genesis.json: app_state: has no 'genesis'"),
        ('{"app_state": {"genesis": "c1"}}', "config/genesis.json: app_state.genesis: "),
        (
            json.dumps({"app_state": app_state(encode(GENESIS))}),
            "config/genesis.json: chain_id: the engine's is None, the ledger's is 'sim-toy'",
        ),
        (
            json.dumps({"chain_id": "sim-toy", "app_state": app_state(toy.genesis())}),
            "chain_id: a 'sim-' chain runs on ticks, not on real time",
        ),
    ],
)
def test_a_genesis_that_will_not_do_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], document: str | None, why: str
) -> None:
    (home / FILE).unlink()
    if document is not None:
        (home / FILE).write_text(document)
    os.chdir(home)
    assert main(["--home", "."]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"peerwatt: {why}")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--address", "elsewhere"], "elsewhere: must be unix:///path or tcp://host:port"),
        (["--keep-blocks", "5"], "keep_blocks: is 5, must be 0 (all) or at least 3000"),
        (["--keep-blocks", "-1"], "keep_blocks: is -1, must be 0 (all) or at least"),
        (["--snapshot-every", "-1"], "every: is -1, must be 0 (never) or more"),
    ],
)
def test_options_that_will_not_do_are_refused(home: Path, options: list[str], why: str) -> None:
    assert refused(home, *options).startswith(why)
