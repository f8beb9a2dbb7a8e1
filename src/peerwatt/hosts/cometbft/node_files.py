"""The files of one CometBFT node: its keys, its configuration, and the genesis of its chain.

Knows the engine's file formats and nothing of how nodes are run. Files with a private key are
readable by their owner alone; one that others can read, or that is not there, is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES

CONFIG = Path("config/config.toml")
SOCKET = "peerwatt.sock"
"""Where the application listens, below the node's folder: as short as a socket's name must be."""
NODE_KEY = Path("config/node_key.json")
VALIDATOR_KEY = Path("config/priv_validator_key.json")
VALIDATOR_STATE = Path("data/priv_validator_state.json")
KVSTORE = "kvstore"
"""The application that the engine carries: it checks no signatures, and serves as a yardstick."""
VALIDATOR_POWER = 10


class FilesError(ValueError):
    """A file of a network that is missing, open to others or not in its form: which, and why."""


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    p2p_port: int
    rpc_port: int


class Peer(NamedTuple):
    """A node as others dial it."""

    node_id: str
    host: str
    port: int


class Trusted(NamedTuple):
    """A header that a new node is told to believe, from which it checks a snapshot's, and the RPC
    addresses of nodes that it asks for headers."""

    height: int
    hash: str
    servers: Sequence[str]


def engine_address(public: bytes) -> bytes:
    """The 20 bytes by which the engine names a key."""
    return hashlib.sha256(public).digest()[:20]


def node_id(public: bytes) -> str:
    """The name by which peers dial the node with this key."""
    return engine_address(public).hex()


def write_secret(path: Path, text: str) -> None:
    """A new file that only its owner may open.

    Raises:
        FilesError: it exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    except FileExistsError:
        raise FilesError(f"{path}: exists already, and a key is never replaced") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def check_secret(path: Path) -> None:
    """Refuse a key file that is missing or that others can open."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FilesError(f"{path}: the key file is missing") from None
    if not stat.S_ISREG(mode):
        raise FilesError(f"{path}: is no key file")
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise FilesError(f"{path}: others may open it; run: chmod 600 {path}")


def write_signing_key(path: Path, key: SigningKey) -> None:
    """A member's key as a file of its own, unencrypted: for test networks."""
    write_secret(path, _json({"public_key": key.public.hex(), "seed": key.seed.hex()}))


def read_signing_key(path: Path) -> SigningKey:
    """The key of such a file.

    Raises:
        FilesError: it is missing, open to others or damaged.
    """
    check_secret(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        key = SigningKey(bytes.fromhex(document["seed"]))
        known = key.public.hex() == document["public_key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FilesError(f"{path}: no key file ({error})") from None
    if not known:
        raise FilesError(f"{path}: public_key: is not that of the key inside")
    return key


def write_keys(home: Path, validator: SigningKey, node: SigningKey) -> None:
    """The key a node signs blocks with, the state that keeps it from signing twice, and the key
    that its peers know it by."""
    public = {
        "address": engine_address(validator.public).hex().upper(),
        "pub_key": _public_key(validator.public),
        "priv_key": _private_key(validator),
    }
    write_secret(home / VALIDATOR_KEY, _json(public))
    write_secret(home / NODE_KEY, _json({"priv_key": _private_key(node)}))
    write_secret(home / VALIDATOR_STATE, _json({"height": "0", "round": 0, "step": 0}))


def check_keys(home: Path) -> None:
    """Refuse a node whose key files, or the state beside them, are missing or open to others."""
    for name in (VALIDATOR_KEY, NODE_KEY, VALIDATOR_STATE):
        check_secret(home / name)


def write_config(
    home: Path,
    moniker: str,
    app: str,
    at: Address,
    peers: Sequence[Peer],
    trusted: Trusted | None = None,
) -> None:
    """The node's configuration: what differs from the engine's defaults, no more.

    Args:
        home: the node's folder.
        moniker: its name among people.
        app: `kvstore`, else the application listens at the node's own socket.
        at: where the node listens.
        peers: whom it dials and keeps.
        trusted: take the state of a snapshot first, checked from this header on.
    """
    sections: dict[str, dict[str, str | int | bool]] = {
        "": {
            "proxy_app": app if app == KVSTORE else f"unix://{SOCKET}",
            "moniker": moniker,
            "log_level": "p2p:error,*:info",
        },
        "rpc": {
            "laddr": f"tcp://{at.host}:{at.rpc_port}",
            # A transaction travels in base64, in a request with a few words around it.
            "max_body_bytes": 2 * MAX_TRANSACTION_BYTES,
        },
        "p2p": {
            "laddr": f"tcp://{at.host}:{at.p2p_port}",
            "persistent_peers": ",".join(f"{p.node_id}@{p.host}:{p.port}" for p in peers),
            # All nodes are on one machine and known to one another.
            "addr_book_strict": False,
            "allow_duplicate_ip": True,
            "pex": False,
        },
        "mempool": {
            "size": 20_000,
            "cache_size": 100_000,
            "max_tx_bytes": MAX_TRANSACTION_BYTES,
        },
        "consensus": {
            # A proposer that is down costs its turn; on one machine a second is long enough.
            "timeout_propose": "1s",
            "timeout_propose_delta": "500ms",
            "timeout_precommit": "300ms",
            "timeout_commit": "300ms",
            # An idle chain makes a block a second, so that rounds can close by block time.
            "create_empty_blocks_interval": "1s",
            "peer_gossip_sleep_duration": "25ms",
        },
    }
    if trusted is not None:
        sections["statesync"] = _state_sync(trusted)
    lines = []
    for section, values in sections.items():
        lines += [f"\n[{section}]"] if section else []
        # A TOML string, number or boolean is written as in JSON.
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path = home / CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _state_sync(trusted: Trusted) -> dict[str, str | int | bool]:
    return {
        "enable": True,
        "rpc_servers": ",".join(trusted.servers),
        "trust_height": trusted.height,
        "trust_hash": trusted.hash,
        # The header was checked when it was written down; how long ago that is matters little
        # among members who know one another.
        "trust_period": "8760h",
        "discovery_time": "5s",
    }


def chain_genesis(
    chain_id: str, validators: Sequence[tuple[str, bytes]], app_state: object, time_s: int
) -> bytes:
    """The engine's genesis document.

    Args:
        chain_id: the chain's name.
        validators: name and public key of each, with equal power.
        app_state: what the application starts from, as JSON.
        time_s: when the chain may begin, unix seconds.
    """
    document = {
        "genesis_time": f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "chain_id": chain_id,
        "initial_height": "1",
        "validators": [
            {
                "address": engine_address(public).hex().upper(),
                "pub_key": _public_key(public),
                "power": str(VALIDATOR_POWER),
                "name": name,
            }
            for name, public in validators
        ],
        "app_hash": "",
        "app_state": app_state,
    }
    return _json(document).encode()


def _public_key(public: bytes) -> dict[str, str]:
    return {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(public).decode()}


def _private_key(key: SigningKey) -> dict[str, str]:
    both = base64.b64encode(key.seed + key.public).decode()
    return {"type": "tendermint/PrivKeyEd25519", "value": both}


def _json(document: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
