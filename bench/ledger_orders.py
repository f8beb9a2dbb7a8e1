"""Signed orders a second through the embedded host, from bytes to a block on disk.

Ours: submit (decode, verify, contract), then seal (execute, hash, commit to SQLite with
synchronous=FULL). Peers in the same run, on the same messages: PyNaCl's verify alone, which bounds
any ledger that checks signatures on one core, and the same host with a contract that only counts.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from harness import profile, ratios, report, seconds, shown, spread, take_turns
from hub import START_S, Hub, genesis, host_of, submit_all
from noop import Counting
from signatures import check_all, signed_in

from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost

SIZES = {1_000: 9, 10_000: 5}
TARGET = 0.40


class Turn:
    """The next book, the same bytes for everyone; each subject takes its turn at it."""

    def __init__(self, hub: Hub, counting: EmbeddedHost, orders: int) -> None:
        self._hub, self._counting, self._orders = hub, counting, orders
        self._books: dict[str, deque[list[bytes]]]
        self._books = {name: deque() for name in ("bound", "ours", "no-op")}
        self.submit_share: list[float] = []

    def _book(self, who: str) -> list[bytes]:
        if not self._books[who]:
            round_id, _ = self._hub.open_round()
            book = self._hub.sign_orders(round_id, self._orders)
            for books in self._books.values():
                books.append(book)
        return self._books[who].popleft()

    def bound(self) -> float:
        """Signatures a second: PyNaCl's binding of libsodium, on what was signed."""
        signed = list(signed_in(self._book("bound")))
        return len(signed) / seconds(lambda: check_all(signed))

    def ours(self) -> float:
        """Orders a second through the real contracts."""
        book, host = self._book("ours"), self._hub.host
        started_s = time.perf_counter()
        submit_all(host, book)
        submitted_s = time.perf_counter()
        host.seal(START_S)
        ended_s = time.perf_counter()
        self.submit_share.append((submitted_s - started_s) / (ended_s - started_s))
        return len(book) / (ended_s - started_s)

    def no_op(self) -> float:
        """The same through the contract that counts."""
        book, host = self._book("no-op"), self._counting
        started_s = time.perf_counter()
        submit_all(host, book)
        host.seal(START_S)
        return len(book) / (time.perf_counter() - started_s)


def measure(folder: Path, orders: int, repeats: int) -> dict[str, Any]:
    """One size of book."""
    first = genesis(max_orders=orders)
    hub = Hub(host_of(ledger, folder, f"ours-{orders}", first), orders)
    turn = Turn(hub, host_of(Counting(), folder, f"no-op-{orders}", first), orders)
    subjects = {"bound": turn.bound, "ours": turn.ours, "no-op": turn.no_op}
    rates = take_turns(subjects, repeats)
    if orders == max(SIZES):
        turn.bound()  # so that the next book is signed already
        profile("ledger_orders", turn.ours)
    return {
        "orders": orders,
        "repeats": repeats,
        "per_second": {name: spread(each) for name, each in rates.items()},
        "share_of_signature_bound": spread(ratios(rates["ours"], rates["bound"])),
        "share_of_no_op_host": spread(ratios(rates["ours"], rates["no-op"])),
        "share_of_time_in_submit": spread(turn.submit_share),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = [measure(Path(folder), size, repeats) for size, repeats in SIZES.items()]
    target = f">= {TARGET:.0%} of PyNaCl's verify"
    largest = books[-1]
    share = largest["share_of_signature_bound"]
    report(
        "ledger_orders",
        target,
        {"met": share["median"] >= TARGET, "books": books},
        (
            "embedded ledger, signed orders",
            f"{shown(largest['per_second']['ours'])} orders/s",
            f"PyNaCl verify {shown(largest['per_second']['bound'])}/s",
            f"{shown(share, '.0%')}",
            target,
        ),
    )


if __name__ == "__main__":
    main()
