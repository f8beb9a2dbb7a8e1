"""Awards settled a second on the embedded host, a round of many orders at a time, on disk.

Each round is cleared in one block, its readings come in messages of a thousand, and it settles in
a block of its own: one award's reading is left out, so that settlement waits for its deadline. Peer
in the same run: the same host with a contract that writes the very same rows and does nothing else.
Readings come twice: with signatures that are new, and with signatures that have been checked
before (as by the gateway that reports them), which admission remembers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import profile, ratios, report, seconds, shown, spread
from hub import CHAIN, SLOT_S, Hub, genesis, host_of, submit_all
from noop import Recorded, Rewriting

ORDERS = 10_000
ROUNDS = 8
TARGET = 10_000


class Market:
    """Lives through rounds, on our host and, block by block, on the peer's."""

    def __init__(self, folder: Path, orders: int) -> None:
        first, contracts = genesis(max_orders=orders), Recorded()
        self.orders = orders
        self.ours = host_of(contracts, folder, "ours", first)
        self.hub = Hub(self.ours, orders)
        self.peer = host_of(Rewriting(contracts.blocks), folder, "no-op", first)

    def live(self, *, remembered: bool = False, profiled: bool = False) -> dict[str, float]:
        """One round from its opening to its settlement: how long each step took, on either host,
        and how many awards there were."""
        hub, ours, took = self.hub, self.ours, dict[str, float]()
        round_id, start_s = hub.open_round()
        submit_all(ours, hub.sign_orders(round_id, self.orders))
        ours.seal(ours.block_time_s)
        self._seal(took, "clear", start_s - 60, profiled)
        awards = [award for _, award in ours.items("awards", round_id)]
        ours.seal(start_s + SLOT_S)
        readings = hub.sign_readings(round_id, start_s, awards)[:-1]
        if remembered:
            for signed in readings:
                signed.is_signed(CHAIN)
        reports = hub.sign_reports(round_id, readings)
        took["admit"] = seconds(lambda: submit_all(ours, reports))
        self._seal(took, "report", start_s + SLOT_S, profiled)
        self._seal(took, "settle", start_s + 2 * SLOT_S, profiled)
        if len(ours.items("settlements", round_id)) != len(awards):
            raise RuntimeError("not every award was settled")
        return took | {"awards": len(awards)}

    def _seal(self, took: dict[str, float], step: str, time_s: int, profiled: bool) -> None:
        """A block on both hosts: ours first, whose rows the peer then writes."""
        self._catch_up()
        if profiled:
            profile(f"ledger_settlement.{step}", lambda: self.ours.seal(time_s))
        else:
            took[step] = seconds(lambda: self.ours.seal(time_s))
        took[f"{step} no-op"] = seconds(self._catch_up)

    def _catch_up(self) -> None:
        """The peer makes the blocks that it does not have."""
        for height in range(self.peer.height + 1, self.ours.height + 1):
            block = self.ours.block(height)
            self.peer.seal(block.signed_header.header.block_time_s, extra=block.transactions)


def rates(rounds: Sequence[dict[str, float]], *steps: str) -> list[float]:
    """Awards a second through these steps together, round by round."""
    return [each["awards"] / sum(each[step] for step in steps) for each in rounds]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        market = Market(Path(folder), ORDERS)
        rounds = [market.live(remembered=at % 2 == 1) for at in range(ROUNDS)]
        market.live(profiled=True)
    new, known = rounds[::2], rounds[1::2]
    settle, no_op = rates(rounds, "settle"), rates(rounds, "settle no-op")
    figures: dict[str, Any] = {
        "met": spread(settle)["median"] >= TARGET,
        "orders": ORDERS,
        "rounds": ROUNDS,
        "awards": spread([each["awards"] for each in rounds]),
        "awards_per_second": {
            "settle": spread(settle),
            "settle, no-op contract": spread(no_op),
            "clear": spread(rates(rounds, "clear")),
            "clear, no-op contract": spread(rates(rounds, "clear no-op")),
            "report and settle, new signatures": spread(rates(new, "admit", "report", "settle")),
            "report and settle, signatures known": spread(
                rates(known, "admit", "report", "settle")
            ),
        },
        "share_of_no_op_contract": spread(ratios(settle, no_op)),
        "clearing_share_of_no_op_contract": spread(
            ratios(rates(rounds, "clear"), rates(rounds, "clear no-op"))
        ),
    }
    target = f">= {TARGET:,} awards/s"
    row = (
        "awards settled a second, embedded",
        f"{shown(spread(settle))} awards/s",
        f"same rows, no contract {shown(spread(no_op))}/s",
        shown(figures["share_of_no_op_contract"], ".0%"),
        target,
    )
    report("ledger_settlement", target, figures, row)


if __name__ == "__main__":
    main()
