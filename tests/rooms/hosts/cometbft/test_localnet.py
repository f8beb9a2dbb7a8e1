"""A network's folder: what is in it, who may read it, and what is refused."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from local_networks import NAMES, genesis

from peerwatt.hosts.cometbft import node_files
from peerwatt.hosts.cometbft.genesis import read_genesis_document
from peerwatt.hosts.cometbft.localnet import Network, create
from peerwatt.hosts.cometbft.node_files import FilesError
from peerwatt.records.signing import derive_key


def make(folder: Path, **changes: object) -> Network:
    chosen: dict[str, object] = {"validators": NAMES, "seed": 1, "time_s": 1_700_000_000}
    chosen.update(changes)
    key = derive_key(1, "clock", "sim-net")
    return create(folder, genesis(), keys={"clock": key}, **chosen)  # type: ignore[arg-type]


def test_each_node_has_its_keys_and_dials_all_others(tmp_path: Path) -> None:
    network = make(tmp_path / "net", base_port=30_000)
    assert [node.name for node in Network(tmp_path / "net").nodes] == list(NAMES)
    document = json.loads((network.folder / "genesis.json").read_text())
    assert document["genesis_time"] == "2023-11-14T22:13:20Z"
    dialled = set()
    for node, validator in zip(network.nodes, document["validators"], strict=True):
        network.check(node)
        home = network.home(node)
        assert read_genesis_document(home) == genesis()
        signs = json.loads((home / node_files.VALIDATOR_KEY).read_text())
        assert (signs["pub_key"], signs["address"]) == (validator["pub_key"], validator["address"])
        settings = tomllib.loads((home / node_files.CONFIG).read_text())
        assert settings["rpc"]["laddr"] == f"tcp://127.0.0.1:{node.rpc_port}"
        assert not settings["p2p"]["addr_book_strict"]
        assert settings["p2p"]["allow_duplicate_ip"]
        peers = settings["p2p"]["persistent_peers"].split(",")
        assert len(peers) == 3
        assert not any(peer.endswith(f":{node.p2p_port}") for peer in peers)
        dialled.update(peers)
    assert len(dialled) == 4


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    network = make(tmp_path / "net")
    assert network.folder.stat().st_mode & 0o777 == 0o700
    secret = [*network.folder.glob("keys/*"), *network.folder.glob("nodes/*/*/*key.json")]
    assert len(secret) == 1 + 2 * len(NAMES)
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert network.key("clock").public == derive_key(1, "clock", "sim-net").public


def test_the_same_words_make_the_same_chain(tmp_path: Path) -> None:
    first, second = (make(tmp_path / name) for name in ("a", "b"))
    for path in ("genesis.json", "network.json", "nodes/north/config/priv_validator_key.json"):
        assert (first.folder / path).read_bytes() == (second.folder / path).read_bytes()
    other = make(tmp_path / "c", seed=2)
    assert other.validator_key(other.nodes[0]) != first.validator_key(first.nodes[0])


@pytest.mark.parametrize(
    "name",
    [node_files.VALIDATOR_KEY, node_files.NODE_KEY, node_files.VALIDATOR_STATE],
    ids=lambda path: path.name,
)
def test_a_key_file_that_is_missing_or_open_to_others_is_refused(
    tmp_path: Path, name: Path
) -> None:
    network = make(tmp_path / "net")
    node = network.nodes[1]
    path = network.home(node) / name
    path.chmod(0o640)
    with pytest.raises(FilesError, match=rf"{path.name}: others may open it; run: chmod 600"):
        network.check(node)
    path.unlink()
    with pytest.raises(FilesError, match=rf"{path.name}: the key file is missing"):
        network.check(node)


def test_a_members_key_file_is_checked_too(tmp_path: Path) -> None:
    network = make(tmp_path / "net")
    path = network.folder / "keys" / "clock.json"
    with pytest.raises(FilesError, match=r"keys/nobody\.json: the key file is missing"):
        network.key("nobody")
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"public_key": "00" * 32}))
    with pytest.raises(FilesError, match="public_key: is not that of the key inside"):
        network.key("clock")
    path.write_text("{")
    with pytest.raises(FilesError, match="no key file"):
        network.key("clock")
    path.chmod(0o604)
    with pytest.raises(FilesError, match="others may open it"):
        network.key("clock")


def test_another_genesis_is_refused(tmp_path: Path) -> None:
    network = make(tmp_path / "net")
    path = network.home(network.nodes[2]) / "config" / "genesis.json"
    path.write_text(path.read_text().replace('"power": "10"', '"power": "99"', 1))
    network.check(network.nodes[1])
    with pytest.raises(FilesError, match="is not the network's genesis"):
        network.check(network.nodes[2])
    path.unlink()
    with pytest.raises(FilesError, match=r"genesis\.json: No such file"):
        network.check(network.nodes[2])


def test_a_node_more_is_dialled_by_all(tmp_path: Path) -> None:
    network = make(tmp_path / "net", base_port=30_000)
    node = network.add("late")
    assert (node.p2p_port, node.rpc_port) == (30_008, 30_009)
    network = Network(tmp_path / "net")
    network.check(network.node("late"))
    for each in network.nodes[:-1]:
        settings = tomllib.loads((network.home(each) / node_files.CONFIG).read_text())
        assert settings["p2p"]["persistent_peers"].endswith("@127.0.0.1:30008")
    with pytest.raises(FilesError, match="has a node 'late' already"):
        network.add("late")
    with pytest.raises(FilesError, match=r"name: '\.\./x'"):
        network.add("../x")
    assert [path.name for path in (network.folder / "nodes").iterdir()].count("late") == 1


def test_a_node_can_begin_from_a_snapshot_and_most_need_not_keep_all(tmp_path: Path) -> None:
    network = make(tmp_path / "net", snapshot_every=10, keep_blocks=50, archive=["east"])
    assert [node.keep_blocks for node in network.nodes] == [50, 50, 0, 50]
    network.add("late", trust_height=7, trust_hash="AB" * 32)
    network = Network(tmp_path / "net")
    network.add("later")
    assert network.snapshot_every == 10
    settings = tomllib.loads((network.home(network.node("late")) / node_files.CONFIG).read_text())[
        "statesync"
    ]
    assert (settings["enable"], settings["trust_height"]) == (True, 7)
    assert settings["rpc_servers"].split(",") == [
        node.rpc for node in network.nodes if node.name != "late"
    ]
    for name in ("north", "later"):
        text = (network.home(network.node(name)) / node_files.CONFIG).read_text()
        assert "statesync" not in text


def test_what_will_not_do_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for why, changes in {
        "1 to 32 different names": {"validators": ("a", "a")},
        "p2p_port": {"base_port": 0},
        r"keep_blocks: is 1000, must be 0 \(all\) or at least 3000": {"keep_blocks": 1_000},
        r"nodes\[0\]\.name": {"validators": ("..",)},
    }.items():
        with pytest.raises(FilesError, match=why):
            make(tmp_path / "net", **changes)
    with pytest.raises(FilesError, match="there: exists already"):
        make(tmp_path / "there")
    with pytest.raises(ValueError, match="'sim-' chains only"):
        create(tmp_path / "net", genesis("real"), NAMES, {}, seed=1, time_s=0)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_folder_that_is_no_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(FilesError, match=r"is no network \(it has no network\.json\)"):
        Network(tmp_path)
    path = make(tmp_path / "net").folder / "network.json"
    good = json.loads(path.read_text())
    for changes, why in (
        ({"format": "other/1"}, "format: is 'other/1', must be"),
        ({"nodes": 3}, "nodes"),
        ({"more": 1}, "more"),
    ):
        path.write_text(json.dumps(good | changes))
        with pytest.raises(FilesError, match=why):
            Network(tmp_path / "net")
    path.write_bytes(b"\xff")
    with pytest.raises(FilesError, match=r"network\.json: "):
        Network(tmp_path / "net")
    path.write_text(json.dumps(good))
    with pytest.raises(FilesError, match="has no node 'x'; it has north, south, east, west"):
        Network(tmp_path / "net").node("x")
