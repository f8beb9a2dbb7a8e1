"""A network of validators on one machine, as a folder: who is in it, their keys, their genesis.

Knows the engine's files; runs nothing. All keys of such a network follow from its chain id and
seed, so it is for tests and studies alone, and its chain id says so. The folder:

    network.json       the chain, its seed, the application, and each node's name and ports
    genesis.json       the engine's genesis, the same file for every node
    keys/NAME.json     the test keys of the members and of the clock
    nodes/NAME/        a node's home: config/, data/, its application's store and its logs
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from peerwatt.hosts.cometbft import node_files
from peerwatt.hosts.cometbft.genesis import FILE, app_state
from peerwatt.hosts.cometbft.node import SNAPSHOT_EVERY
from peerwatt.hosts.cometbft.node_files import Address, FilesError, Peer, Trusted
from peerwatt.hosts.cometbft.snapshots import KEPT
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis
from peerwatt.records.signing import SigningKey, derive_key
from peerwatt.units import ChainId, Count, Name

FORMAT = "peerwatt-network/1"
NETWORK = "network.json"
GENESIS = "genesis.json"
PEERWATT = "peerwatt"
LOOPBACK = "127.0.0.1"
BASE_PORT = 26_650
PORTS_A_NODE = 2
MAX_NODES = 32
_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node of the network: its name, where it listens, how many blocks it keeps (0: all), and,
    where it began from a snapshot, the header that it was told to believe."""

    name: Name
    host: str
    p2p_port: _Port
    rpc_port: _Port
    keep_blocks: Count = 0
    trust_height: Count = 0
    trust_hash: str = ""

    @property
    def rpc(self) -> str:
        """Where its clients reach it."""
        return f"http://{self.host}:{self.rpc_port}"


class _Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    chain_id: ChainId
    seed: int
    app: str
    snapshot_every: Count
    nodes: tuple[Node, ...]


class Network:
    """A network's folder.

    Raises:
        FilesError: it is none, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        path = self.folder / NETWORK
        try:
            known = msgspec.json.decode(path.read_bytes(), type=_Description)
        except OSError:
            raise FilesError(f"{folder}: is no network (it has no {NETWORK})") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FilesError(f"{path}: {error}") from None
        if known.format != FORMAT:
            raise FilesError(f"{path}: format: is {known.format!r}, must be {FORMAT!r}")
        self.chain_id, self.seed, self.app = known.chain_id, known.seed, known.app
        self.snapshot_every, self.nodes = known.snapshot_every, known.nodes

    def node(self, name: str) -> Node:
        """The node with this name; FilesError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise FilesError(f"{self.folder}: has no node '{name}'; it has {known}")

    def home(self, node: Node) -> Path:
        """A node's own folder."""
        return self.folder / "nodes" / node.name

    def key(self, name: str) -> SigningKey:
        """The test key of a member, or of the clock; FilesError if it cannot be used."""
        return node_files.read_signing_key(self.folder / "keys" / f"{name}.json")

    def keep_key(self, name: str, key: SigningKey) -> None:
        """Write a party's test key, unless it is there.

        Raises:
            FilesError: another key has that name.
        """
        path = self.folder / "keys" / f"{name}.json"
        if not path.exists():
            node_files.write_signing_key(path, key)
        elif self.key(name).seed != key.seed:
            raise FilesError(f"{path}: holds another key")

    def validator_key(self, node: Node) -> bytes:
        """The public key with which a node would sign blocks."""
        return validator_key(self.seed, self.chain_id, node.name).public

    def check(self, node: Node) -> None:
        """Refuse a node whose keys are missing or open to others, or whose genesis is another."""
        home = self.home(node)
        node_files.check_keys(home)
        path = home / FILE
        try:
            same = path.read_bytes() == (self.folder / GENESIS).read_bytes()
        except OSError as error:
            raise FilesError(f"{error.filename}: {error.strerror}") from None
        if not same:
            raise FilesError(f"{path}: is not the network's genesis ({self.folder / GENESIS})")

    def configure(self) -> None:
        """Write every node's configuration anew: each dials all others."""
        for node in self.nodes:
            peers = [
                Peer(
                    node_files.node_id(_node_key(self, peer.name).public), peer.host, peer.p2p_port
                )
                for peer in self.nodes
                if peer != node
            ]
            at = Address(node.host, node.p2p_port, node.rpc_port)
            trusted = self._trusted(node)
            node_files.write_config(self.home(node), node.name, self.app, at, peers, trusted)

    def _trusted(self, node: Node) -> Trusted | None:
        """What a node that begins from a snapshot is told; the engine wants two servers to ask."""
        if not node.trust_height:
            return None
        servers = [peer.rpc for peer in self.nodes if peer != node]
        return Trusted(node.trust_height, node.trust_hash, (servers * 2)[: max(2, len(servers))])

    def add(self, name: str, *, trust_height: int = 0, trust_hash: str = "") -> Node:
        """Give the network one more node, which can follow the chain; those that run need not
        stop. It signs blocks once the application makes its key a validator's.

        Args:
            name: the node's name.
            trust_height, trust_hash: a header to believe, to begin from a snapshot that follows
                from it; all blocks from the first on, if left out.

        Raises:
            FilesError: the name is no name or taken, or there are too many nodes.
        """
        last = self.nodes[-1]
        fields = {
            "name": name,
            "host": last.host,
            "p2p_port": last.p2p_port + PORTS_A_NODE,
            "rpc_port": last.rpc_port + PORTS_A_NODE,
            "trust_height": trust_height,
            "trust_hash": trust_hash,
        }
        try:
            node = msgspec.convert(fields, Node)
        except msgspec.ValidationError as error:
            raise FilesError(f"name: '{name}': {error}") from None
        if any(name == known.name for known in self.nodes):
            raise FilesError(f"name: the network has a node '{name}' already")
        if len(self.nodes) == MAX_NODES:
            raise FilesError(f"name: the network has {MAX_NODES} nodes, the most there can be")
        self._equip(node, (self.folder / GENESIS).read_bytes())
        self.nodes = (*self.nodes, node)
        self.configure()
        self._write()
        return node

    def _equip(self, node: Node, genesis: bytes) -> None:
        home = self.home(node)
        signs = validator_key(self.seed, self.chain_id, node.name)
        node_files.write_keys(home, signs, _node_key(self, node.name))
        (home / FILE).write_bytes(genesis)

    def _write(self) -> None:
        path = self.folder / NETWORK
        known = _Description(
            format=FORMAT,
            chain_id=self.chain_id,
            seed=self.seed,
            app=self.app,
            snapshot_every=self.snapshot_every,
            nodes=self.nodes,
        )
        aside = path.with_name(f".{path.name}")
        text = msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n"
        aside.write_bytes(text)
        aside.replace(path)


def validator_key(seed: int, chain_id: str, name: str) -> SigningKey:
    """The key with which a node of a test network signs blocks."""
    return derive_key(seed, f"validator/{name}", chain_id)


def _node_key(network: Network, name: str) -> SigningKey:
    return derive_key(network.seed, f"node/{name}", network.chain_id)


def create(
    folder: Path,
    genesis: bytes,
    validators: Sequence[str],
    keys: Mapping[str, SigningKey],
    *,
    seed: int,
    time_s: int,
    app: str = PEERWATT,
    base_port: int = BASE_PORT,
    snapshot_every: int = SNAPSHOT_EVERY,
    keep_blocks: int = 0,
    archive: Sequence[str] = (),
) -> Network:
    """Make a network's folder, whole or not at all.

    Args:
        folder: where; must not exist.
        genesis: canonical bytes of the contracts' `Genesis`; its chain id begins with `sim-`.
        validators: their names; each has one node and the same power.
        keys: the test keys to write, by name.
        seed: from which the nodes' keys follow.
        time_s: when the chain may begin, unix seconds.
        app: `peerwatt`, or `kvstore` for the engine's own.
        base_port: the first of the ports, two a node.
        snapshot_every: in how many blocks each takes a snapshot; 0 for never.
        keep_blocks: how many blocks each keeps; 0 for all.
        archive: the names of those that keep all in any case.

    Raises:
        FilesError: the folder exists, or a name, number or port will not do.
        ValueError: the chain is no test chain.
    """
    _check_numbers(validators, keep_blocks, snapshot_every)
    if folder.exists():
        raise FilesError(f"{folder}: exists already")
    chain_id = decode(genesis, Genesis).chain_id
    derive_key(seed, "", chain_id)  # refuses a chain that is no test chain
    nodes = [
        {
            "name": name,
            "host": LOOPBACK,
            "p2p_port": port,
            "rpc_port": port + 1,
            "keep_blocks": 0 if name in archive else keep_blocks,
        }
        for port, name in zip(_ports(base_port), validators, strict=False)
    ]
    fields = {
        "format": FORMAT,
        "chain_id": chain_id,
        "seed": seed,
        "app": app,
        "snapshot_every": snapshot_every,
        "nodes": nodes,
    }
    try:
        msgspec.convert(fields, _Description)
    except msgspec.ValidationError as error:
        raise FilesError(f"network: {error}") from None
    folder.mkdir(mode=0o700, parents=True)
    try:
        (folder / NETWORK).write_text(json.dumps(fields), encoding="utf-8")
        network = Network(folder)
        _fill(network, genesis, keys, time_s)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return network


def _check_numbers(validators: Sequence[str], keep_blocks: int, snapshot_every: int) -> None:
    """Refuse too many validators, and what their applications would refuse at their start."""
    if not 1 <= len(validators) <= MAX_NODES or len(set(validators)) != len(validators):
        raise FilesError(f"validators: must be 1 to {MAX_NODES} different names")
    needed = max(2, snapshot_every * (KEPT + 1))
    if keep_blocks and keep_blocks < needed:
        why = f"must be 0 (all) or at least {needed}, which the snapshots need"
        raise FilesError(f"keep_blocks: is {keep_blocks}, {why}")


def _ports(base_port: int) -> range:
    return range(base_port, base_port + PORTS_A_NODE * MAX_NODES, PORTS_A_NODE)


def _fill(network: Network, genesis: bytes, keys: Mapping[str, SigningKey], time_s: int) -> None:
    validators = [(node.name, network.validator_key(node)) for node in network.nodes]
    document = node_files.chain_genesis(network.chain_id, validators, app_state(genesis), time_s)
    (network.folder / GENESIS).write_bytes(document)
    for name, key in keys.items():
        network.keep_key(name, key)
    for node in network.nodes:
        network._equip(node, document)
    network.configure()
    network._write()
