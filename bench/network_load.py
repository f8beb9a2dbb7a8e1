"""The load on a network: transactions offered to all nodes at once, and when blocks have them.

Knows CometBFT's RPC and no ledger. Batches go out over several connections, without waiting for
what the application says; one client follows the blocks at one node. A transaction is final for it
when the block that has it has been executed there.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from peerwatt.hosts.cometbft.rpc import Refused, Rpc, field, number

CONNECTIONS_A_NODE = 2
BATCH = 10
"""As many calls as the engine takes in one request."""
POLL_S = 0.02
PATIENCE_S = 30.0


class Pace(NamedTuple):
    """How transactions are offered: at most `waiting` at a time that no block has, in batches, and,
    unless it is 0, at so many a second."""

    waiting: int
    per_second: float = 0.0
    batch: int = BATCH


class Outcome(NamedTuple):
    """What became of an offering; times by the monotonic clock.

    `finality_s`: of each transaction, from its offer to when the client saw it final. `blocks`: how
    many each block had that had any. `height`: the last one's.
    """

    began_s: float
    ended_s: float
    finality_s: list[float]
    blocks: list[int]
    height: int

    @property
    def seconds(self) -> float:
        """From the first offer to when the last transaction was seen final."""
        return self.ended_s - self.began_s

    @property
    def per_second(self) -> float:
        """Transactions committed a second."""
        return len(self.finality_s) / self.seconds


class Offering:
    """One list of transactions on its way to nodes and into blocks.

    Each connection carries every n-th transaction, in order: what must not overtake stands a
    multiple of the number of connections apart, or goes over a single one.
    """

    def __init__(
        self, urls: Sequence[str], transactions: Sequence[bytes], pace: Pace, *, single: bool
    ) -> None:
        self._texts = [base64.b64encode(each).decode() for each in transactions]
        self._pace = pace
        self._watched = Rpc(urls[0])
        self._urls = urls[:1] if single else [*urls] * CONNECTIONS_A_NODE
        self._changed = threading.Condition()
        self._offered_s: dict[str, float] = {}
        self._final_s: dict[str, float] = {}
        self._blocks: list[int] = []
        self._failure: Exception | None = None

    def run(self) -> Outcome:
        """Offer all and wait until blocks have them.

        Raises:
            RuntimeError: a transaction was refused, or never came into a block.
        """
        height = number(self._watched.call("status"), "sync_info", "latest_block_height") + 1
        began_s = time.monotonic()
        senders = [
            threading.Thread(target=self._send, args=(at, url, began_s), daemon=True)
            for at, url in enumerate(self._urls)
        ]
        for sender in senders:
            sender.start()
        last_s = began_s
        while len(self._final_s) < len(self._texts):
            if self._failure is not None:
                raise RuntimeError("transactions could not be offered") from self._failure
            if time.monotonic() > last_s + PATIENCE_S:
                missing = len(self._texts) - len(self._final_s)
                raise RuntimeError(f"{missing} transactions never came into a block")
            known = len(self._final_s)
            if self._take_block(height):
                height += 1
            else:
                time.sleep(POLL_S)
            if len(self._final_s) > known:
                last_s = time.monotonic()
        ended_s = max(self._final_s.values())
        self._watched.close()
        finality_s = [self._final_s[text] - self._offered_s[text] for text in self._texts]
        return Outcome(began_s, ended_s, finality_s, self._blocks, height - 1)

    def _take_block(self, height: int) -> bool:
        """Look at a block, if it has been executed."""
        try:
            results = self._watched.call("block_results", height=str(height))
        except Refused:
            return False
        seen_s = time.monotonic()
        if any(each["code"] for each in results["txs_results"] or ()):
            raise RuntimeError(f"block {height}: a transaction was refused")
        block = self._watched.call("block", height=str(height))
        texts = field(block, "block", "data", "txs") or ()
        with self._changed:
            self._final_s.update(dict.fromkeys(texts, seen_s))
            self._changed.notify_all()
        if texts:
            self._blocks.append(len(texts))
        return True

    def _send(self, at: int, url: str, began_s: float) -> None:
        place, pace = urlsplit(url), self._pace
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        texts = self._texts[at :: len(self._urls)]
        try:
            for start in range(0, len(texts), pace.batch):
                part = texts[start : start + pace.batch]
                if pace.per_second:
                    due_s = began_s + (start * len(self._urls) + at) / pace.per_second
                    time.sleep(max(0.0, due_s - time.monotonic()))
                self._await_room(part)
                connection.request("POST", "/", _batch(part), {"Content-Type": "application/json"})
                answer = connection.getresponse().read()
                if b'"error"' in answer:
                    raise RuntimeError(answer.decode(errors="replace")[:300])
        except Exception as error:
            self._failure = error
        finally:
            connection.close()

    def _await_room(self, part: Sequence[str]) -> None:
        """Wait until few enough are on their way, then count these among them."""
        with self._changed:
            while len(self._offered_s) - len(self._final_s) >= self._pace.waiting:
                if not self._changed.wait(PATIENCE_S):
                    raise TimeoutError("no block came")
            self._offered_s.update(dict.fromkeys(part, time.monotonic()))


def _batch(texts: Sequence[str]) -> bytes:
    call = {"jsonrpc": "2.0", "method": "broadcast_tx_async"}
    calls = [{**call, "id": at, "params": {"tx": text}} for at, text in enumerate(texts)]
    return json.dumps(calls).encode()


def offer(
    urls: Sequence[str], transactions: Sequence[bytes], pace: Pace, *, single: bool = False
) -> Outcome:
    """Offer transactions to nodes, over one connection if they have an order, and see them final.

    Raises:
        RuntimeError: one was refused, or never came into a block.
    """
    return Offering(urls, transactions, pace, single=single).run()
