"""Nodes that answer RPC about a chain that a fake engine decides; each can lie, lag or be down."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

import toy_ledger as toy
from fake_engine import PROPOSER, FakeEngine
from nacl.signing import SigningKey as Key

from peerwatt.hosts.cometbft import light
from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.client import CometHost, read_genesis
from peerwatt.hosts.cometbft.genesis import app_state
from peerwatt.hosts.cometbft.reader import Reader, results_hash
from peerwatt.hosts.cometbft.rpc import Nodes
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode
from peerwatt.records.members import Genesis
from peerwatt.records.merkle import EMPTY_ROOT, tree_root
from peerwatt.records.receipts import Receipt
from peerwatt.records.signing import SigningKey

CHAIN = "sim-toy"
Lie = Callable[[str, dict[str, Any], Any], Any]


def validators(*numbers: int) -> list[SigningKey]:
    return [SigningKey(bytes([number]) * 32) for number in numbers]


def powers(keys: list[SigningKey]) -> dict[bytes, int]:
    return {key.public: 10 for key in keys}


def rows(keys: list[SigningKey], power: str) -> list[dict[str, Any]]:
    return [
        {"pub_key": {"type": light.ED25519, "value": b64(key.public)}, power: "10"} for key in keys
    ]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hex_of(data: bytes) -> str:
    return data.hex().upper()


def block_id(data: bytes) -> dict[str, Any]:
    total = 1 if data else 0
    return {"hash": hex_of(data), "parts": {"total": total, "hash": hex_of(data)}}


class FakeChain:
    """An engine with an application, the toy's if no other is named, and signed headers; `keys`
    sign from the next block on."""

    def __init__(self, folder: Any, ledger: Any = toy, genesis: bytes = toy.genesis()) -> None:
        self.ledger_genesis = genesis
        self.chain_id = decode(genesis, Genesis).chain_id
        self.engine = FakeEngine(genesis)
        # Nodes answer in threads of their own, one at a time.
        shared = partial(sqlite3.connect, check_same_thread=False)
        with patch("sqlite3.connect", shared):
            store = Store(None)
        self.app = Application(ledger, store, genesis, Shelf(folder, 0))
        self.engine.connect(self.app.answer)
        self.keys = validators(1, 2, 3, 4)
        self.first_keys = self.keys
        self.headers: list[dict[str, Any]] = []
        self.commits: list[dict[str, Any]] = []
        self.sets: list[list[SigningKey]] = []
        self.lock = threading.Lock()

    @property
    def genesis(self) -> bytes:
        document = {
            "chain_id": self.chain_id,
            "validators": rows(self.first_keys, "power"),
            "app_state": app_state(self.ledger_genesis),
        }
        return json.dumps(document).encode()

    def decide(self, *transactions: bytes, then: list[SigningKey] | None = None) -> int:
        """One block of what waits and these; `then` sign the blocks after it. Its height."""
        number = len(self.headers) + 1
        results = self.engine.results
        receipts = results[-1].tx_results if results else ()
        hashes = [self.engine.genesis_hash, *(each.app_hash for each in results)]
        keys, after = self.keys, self.keys if then is None else then
        for each in transactions:
            self.engine.offer(each)
        self.engine.decide(time_s=number)
        txs = self.engine.blocks[-1].txs
        time = datetime.fromtimestamp(number, UTC)
        last = bytes.fromhex(self.commits[-1]["block_id"]["hash"]) if self.commits else b""
        header = {
            "version": {"block": "11", "app": "1"},
            "chain_id": self.chain_id,
            "height": str(number),
            "time": f"{time:%Y-%m-%dT%H:%M:%S}.5Z",
            "last_block_id": block_id(last),
            "last_commit_hash": hex_of(EMPTY_ROOT),
            "data_hash": hex_of(tree_root(sha256(each).digest() for each in txs)),
            "validators_hash": hex_of(light.validators_hash(powers(keys))),
            "next_validators_hash": hex_of(light.validators_hash(powers(after))),
            "consensus_hash": hex_of(EMPTY_ROOT),
            "app_hash": hex_of(hashes[-1]),
            "last_results_hash": hex_of(
                results_hash(tuple(decode(each.data, Receipt) for each in receipts))
            ),
            "evidence_hash": hex_of(EMPTY_ROOT),
            "proposer_address": hex_of(PROPOSER),
        }
        self.headers.append(header)
        self.commits.append(signed(header, keys))
        self.sets.append(keys)
        self.keys = after
        return number


def signed(header: dict[str, Any], keys: list[SigningKey], absent: int = 0) -> dict[str, Any]:
    """A commit of a header by all keys but the last `absent` ones."""
    time = header["time"]
    commit = {
        "height": header["height"],
        "round": 1,
        "block_id": block_id(light.read_header(header)[0].hash),
    }
    vote = light.sign_bytes(header["chain_id"], commit, time)
    nobody = {"block_id_flag": 1, "validator_address": "", "timestamp": time, "signature": None}
    votes: list[dict[str, Any]] = [nobody] * absent
    for key in keys[: len(keys) - absent]:
        address = hex_of(sha256(key.public).digest()[:20])
        signature = b64(Key(key.seed).sign(vote).signature)
        votes.append(
            nobody | {"block_id_flag": 2, "validator_address": address, "signature": signature}
        )
    return {**commit, "signatures": votes}


class Refusal(Exception):  # noqa: N818
    """What a node answers with an error."""


class FakeNode:
    """A node on a port of its own."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.chain_id = chain.chain_id
        self.lie: Lie = lambda method, params, result: result
        self.raw: bytes | None = None
        self.calls: list[str] = []
        self.cache: set[bytes] = set()
        self.behind = 0
        self.lowest = 1
        self.lowest_in_app = 1
        self.stopped = False
        self.hangs_up = 0
        self.decides = False
        self.loses = False
        self.room = 3
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if node.stopped or node.hangs_up:
                    node.hangs_up -= not node.stopped
                    self.close_connection = True
                    return
                answer = node.answer(body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.stopped = True
        self.server.shutdown()
        self.server.server_close()

    def answer(self, body: bytes) -> bytes:
        request = json.loads(body)
        method, params = request["method"], request["params"]
        self.calls.append(method)
        if self.raw is not None:
            return self.raw
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            with self.chain.lock:
                result = self.lie(method, params, getattr(self, f"_{method}")(**params))
            answer["result"] = result
        except Refusal as error:
            answer["error"] = {"code": -32603, "message": "Internal error", "data": str(error)}
        return json.dumps(answer).encode()

    @property
    def height(self) -> int:
        return len(self.chain.headers) - self.behind

    def _status(self) -> Any:
        sync = {"latest_block_height": str(self.height)}
        return {"node_info": {"network": self.chain_id}, "sync_info": sync}

    def _abci_info(self) -> Any:
        return {"response": {"last_block_height": str(self.height)} if self.height else {}}

    def _abci_query(self, path: str, data: str, prove: bool) -> Any:
        if path.startswith("/block/") and int(path[7:]) < self.lowest_in_app:
            return {"response": {"code": 1, "log": "no", "height": str(self.height)}}
        request = abci.RequestQuery(path=path, data=bytes.fromhex(data), prove=prove)
        found = self.chain.engine.line.ask(request, abci.ResponseQuery)
        ops = [
            {"type": op.type, "key": b64(op.key), "data": b64(op.data)}
            for op in (found.proof_ops.ops if found.proof_ops else ())
        ]
        response = {
            "code": found.code,
            "log": found.log,
            "value": b64(found.value) or None,
            "height": str(found.height),
            "proofOps": {"ops": ops} if ops else None,
        }
        return {"response": response}

    def _broadcast_tx_sync(self, tx: str) -> Any:
        transaction = base64.b64decode(tx)
        if transaction in self.cache:
            raise Refusal("tx already exists in cache")
        if len(self.chain.engine.mempool) >= self.room:
            raise Refusal(f"mempool is full: number of txs {self.room} (max: {self.room})")
        checked = self.chain.engine.offer(transaction)
        if checked.code == 0:
            self.cache.add(transaction)
        if self.loses:
            self.chain.engine.mempool.clear()
            self.chain.decide()
        elif self.decides:
            self.chain.decide()
        return {"code": checked.code, "data": hex_of(checked.data), "log": checked.log}

    def _header(self, height: str) -> int:
        if int(height) > self.height:
            raise Refusal(f"height {height} must be less than or equal to {self.height}")
        if int(height) < self.lowest:
            raise Refusal(f"height {height} is not available, lowest height is {self.lowest}")
        return int(height) - 1

    def _commit(self, height: str) -> Any:
        at = self._header(height)
        return {
            "signed_header": {"header": self.chain.headers[at], "commit": self.chain.commits[at]}
        }

    def _validators(self, height: str, page: str, per_page: str) -> Any:
        return {"validators": rows(self.chain.sets[self._header(height)], "voting_power")}


@contextmanager
def nodes(chain: FakeChain, number: int) -> Iterator[list[FakeNode]]:
    made = [FakeNode(chain) for _ in range(number)]
    try:
        yield made
    finally:
        for node in made:
            node.stop()


def host_of(made: list[FakeNode], store: Store | None = None) -> CometHost:
    return CometHost(toy, [n.url for n in made], made[0].chain.genesis, store, timeout_s=5)


def reader_of(made: list[FakeNode]) -> Reader:
    start = read_genesis(made[0].chain.genesis)
    return Reader(Nodes([n.url for n in made], start.chain_id), start.validators)


def pay(chain: FakeChain, nonce: int) -> int:
    return chain.decide(toy.move(1, nonce, 2, 5))


def altered(document: Any, path: list[Any], value: Any) -> Any:
    """A copy of a document with one thing changed."""
    copy = json.loads(json.dumps(document))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return copy
