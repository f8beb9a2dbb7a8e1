"""`engine` and `network` without an engine: what is made, and what is refused in one line."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerwatt.hosts.cometbft import engine
from peerwatt.hosts.cometbft.genesis import read_genesis_document
from peerwatt.hosts.cometbft.localnet import Network
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis, Role
from peerwatt.records.signing import derive_key

Peerwatt = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.HOME, str(tmp_path / "home"))


def free_base_port(number: int) -> int:
    """The first of so many ports at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) - number


def genesis_of(folder: Path) -> Genesis:
    network = Network(folder)
    return decode(read_genesis_document(network.home(network.nodes[0])), Genesis)


def test_a_network_has_members_roles_and_keys(peerwatt: Peerwatt, tmp_path: Path) -> None:
    made = peerwatt("network", "create", "My Net")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines()[0] == "chain sim-my-net: 4 validators, 1 of which may fail"
    network, genesis = Network(tmp_path / "My Net"), genesis_of(tmp_path / "My Net")
    assert [node.name for node in network.nodes] == [
        "aggregator", "grid-operator", "regulator", "supplier"
    ]  # fmt: skip
    assert genesis.chain_id == network.chain_id == "sim-my-net"
    assert {member.name: member.roles for member in genesis.members} == {
        role.name.lower().replace("_", "-"): role for role in Role if role.name
    }
    assert sum(bool(member.validator) for member in genesis.members) == 4
    for member in genesis.members:
        assert network.key(member.name).public == member.key
        assert network.key(member.name).seed == derive_key(1, member.name, "sim-my-net").seed
    assert network.key("clock").public == genesis.tick_key


def test_a_network_can_run_on_block_time(peerwatt: Peerwatt, tmp_path: Path) -> None:
    options = ("--clock", "block", "--validators", 8, "--chain-id", "sim-x", "--seed", 7)
    made = peerwatt("network", "create", "net", *options)
    assert made.out.startswith("chain sim-x: 8 validators, 2 of which may fail\n")
    assert genesis_of(tmp_path / "net").tick_key == b""
    network = Network(tmp_path / "net")
    assert [node.name for node in network.nodes[6:]] == ["validator-7", "validator-8"]
    members = {member.name: member for member in genesis_of(tmp_path / "net").members}
    for node in network.nodes:
        assert members[node.name].validator == network.validator_key(node)
    assert members["validator-7"].roles == 0
    assert network.key("validator-8").public == members["validator-8"].key
    assert not (network.folder / "keys" / "clock.json").exists()


def test_what_cannot_be_made_is_refused(peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert "there: exists already" in peerwatt("network", "create", "there").complaint
    for options, words in (
        (("--chain-id", "mainnet"), "'sim-' chains only"),
        (("--chain-id", "sim-Ä"), "chain_id"),
        (("--validators", 0), "--validators"),
        (("--validators", 33), "--validators"),
        (("--base-port", 70_000), "65535"),
    ):
        assert words in peerwatt("network", "create", "net", *options).complaint
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_without_an_engine_one_line_says_how_to_get_it(peerwatt: Peerwatt) -> None:
    peerwatt("network", "create", "net")
    for words in (("network", "start", "net"), ("engine", "status")):
        complaint = peerwatt(*words).complaint
        assert complaint.endswith("; run: peerwatt engine install")
        assert "CometBFT v0.40.0 is not installed in " in complaint


def test_without_go_one_line_says_so(
    peerwatt: Peerwatt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine.sys, "executable", str(tmp_path / "python"))
    complaint = peerwatt("engine", "install").complaint
    assert "built with Go 1.21 or newer, and there is none" in complaint
    assert not list((tmp_path / "home").rglob("*building*"))


def test_a_network_that_does_not_run(peerwatt: Peerwatt) -> None:
    peerwatt("network", "create", "net")
    shown = peerwatt("network", "status", "net")
    assert shown.code == 1
    assert shown.out.count(" stopped ") == 4
    assert peerwatt("network", "stop", "net").out == "stopped: none ran\n"
    assert "there is no such log" in peerwatt("network", "logs", "net").complaint
    assert "needs --node" in peerwatt("network", "logs", "net", "--follow").complaint
    for words in (("start",), ("stop",), ("logs",)):
        complaint = peerwatt("network", *words, "net", "--node", "nobody").complaint
        assert "has no node 'nobody'; it has aggregator, grid-operator" in complaint
    for words in (("start",), ("stop",), ("status",), ("logs",)):
        assert "is no network" in peerwatt("network", *words, "nowhere").complaint
    assert "is no network" in peerwatt("network", "add-validator", "nowhere", "x").complaint


def test_members_of_a_network_that_does_not_run_cannot_vote(
    peerwatt: Peerwatt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = engine.Engine(engine.VERSION, tmp_path / "program", "", "")
    monkeypatch.setattr(engine, "find", lambda: found)
    port = free_base_port(8)
    peerwatt("network", "create", "net", "--base-port", port)
    complaint = peerwatt("network", "add-validator", "net", "late").complaint
    assert f"http://127.0.0.1:{port + 1}: cannot be reached (Connection refused)" in complaint
    assert len(Network(tmp_path / "net").nodes) == 4
    peerwatt("network", "create", "other", "--app", "kvstore")
    complaint = peerwatt("network", "add-validator", "other", "late").complaint
    assert complaint.endswith("runs kvstore, which has no members")


def test_the_last_lines_of_logs(peerwatt: Peerwatt, tmp_path: Path) -> None:
    peerwatt("network", "create", "net", "--validators", 2)
    for name in ("aggregator", "grid-operator"):
        path = tmp_path / "net" / "nodes" / name / "engine.log"
        path.write_text(f"{name} one\n{name} two\n")
    assert peerwatt("network", "logs", "net", "--lines", 1).out.splitlines() == [
        "aggregator: aggregator two",
        "grid-operator: grid-operator two",
    ]
    one = peerwatt("network", "logs", "net", "--node", "aggregator")
    assert one.out == "aggregator one\naggregator two\n"


def test_key_files_and_genesis_are_looked_at_before_a_start(
    peerwatt: Peerwatt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    found = engine.Engine(engine.VERSION, program, "", "")
    monkeypatch.setattr(engine, "find", lambda: found)
    peerwatt("network", "create", "net")
    config = tmp_path / "net" / "nodes" / "regulator" / "config"
    (config / "priv_validator_key.json").chmod(0o644)
    assert "others may open it; run: chmod 600" in peerwatt("network", "start", "net").complaint
    (config / "priv_validator_key.json").unlink()
    assert "the key file is missing" in peerwatt("network", "start", "net").complaint
    config = tmp_path / "net" / "nodes" / "aggregator" / "config"
    document = json.loads((config / "genesis.json").read_text())
    (config / "genesis.json").write_text(json.dumps(document | {"chain_id": "sim-other"}))
    assert "is not the network's genesis" in peerwatt("network", "start", "net").complaint
