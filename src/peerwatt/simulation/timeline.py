"""When what happens in a day of hubs that share one chain, slot by slot.

Knows the timetable and what a hub does at each step. Knows no cars, no orders and no energy. Time
is the day's own: three boundaries between blocks a slot, two more where a clearing is proposed,
moved by ticks of the simulated clock.

    slot start - 120 s   cars check out and in; agents order
    slot start -  60 s   the gate: books close and clear; of pairs, the operator proposes how
    slot start -  45 s   sealed orders have been shown, where they are sealed; the books close
    slot start -  30 s   the best proposal clears it
    slot start           awards become set-points, minute by minute, until the slot's end
    slot end   +  30 s   the meters' readings are reported; the round settles
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from peerwatt.simulation.day import HubDay
from peerwatt.simulation.timetable import (
    CLEAR_LEAD_S,
    GATE_LEAD_S,
    ORDER_LEAD_S,
    REPORT_LAG_S,
    REVEAL_LEAD_S,
    SETTLE_LAG_S,
)


class HubSteps(Protocol):
    """What one hub does at each step of a slot; time and blocks are others' business."""

    def take_orders(self, slot: int) -> None:
        """Who is gone checks out, who has come checks in, and all who are there may order."""

    def awaits_orders(self, slot: int) -> bool:
        """Whether the round's orders are sealed and have to be shown."""

    def reveal(self, slot: int) -> None:
        """Agents show what they have sealed."""

    def awaits_proposal(self, slot: int) -> bool:
        """Whether the round is one whose clearing members have to propose."""

    def propose(self, slot: int) -> None:
        """The operator's clearing of a frozen book, with its proof."""

    def hear_awards(self, slot: int) -> None:
        """Agents learn what they were awarded."""

    def deliver(self, slot: int) -> None:
        """The gateway steers the ports through the slot; cars come and go as they truly did."""

    def bring_readings(self, slot: int) -> None:
        """The readings go to the ledger."""

    def hear_deliveries(self, slot: int) -> None:
        """Agents learn what was delivered."""


class Timeline:
    """Moves hubs through the day that all of them have; who inherits moves clock and chain."""

    day: HubDay
    """Whose slots are everybody's."""

    @property
    def hubs(self) -> Sequence[HubSteps]:
        """The hubs that live on this chain."""
        raise NotImplementedError

    def tick(self, time_s: int) -> None:
        """The clock moves on."""
        raise NotImplementedError

    def seal(self, time_s: int) -> None:
        """All that was submitted stands in blocks from here on."""
        raise NotImplementedError

    def run(self, progress: Callable[[int, int], None] = lambda done, slots: None) -> None:
        """Live through the day; `progress` hears of every slot."""
        slots = len(self.day.slot_start_s)
        for slot in range(slots):
            self.order(slot)
            self.gate(slot)
            if slot > 0:
                self.report(slot - 1)
            self.deliver(slot)
            progress(slot + 1, slots)
        self.report(slots - 1)
        end_s = int(self.day.slot_start_s[-1]) + self.day.slot_s + SETTLE_LAG_S
        self.tick(end_s)
        self.seal(end_s)
        # An empty block last: its header proves all that came before.
        self.seal(end_s)

    def order(self, slot: int) -> None:
        """Who comes and goes, and the orders."""
        now_s = int(self.day.slot_start_s[slot]) - ORDER_LEAD_S
        self.tick(now_s)
        for hub in self.hubs:
            hub.take_orders(slot)
        self.seal(now_s)

    def gate(self, slot: int) -> None:
        """The books close; agents learn what they were awarded."""
        gate_s = int(self.day.slot_start_s[slot]) - GATE_LEAD_S
        self.tick(gate_s)
        self.seal(gate_s)
        sealed = [hub for hub in self.hubs if hub.awaits_orders(slot)]
        if sealed:
            for hub in sealed:
                hub.reveal(slot)
            self.seal(gate_s)
            gate_s = int(self.day.slot_start_s[slot]) - REVEAL_LEAD_S
            self.tick(gate_s)
            self.seal(gate_s)
        waiting = [hub for hub in self.hubs if hub.awaits_proposal(slot)]
        if waiting:
            for hub in waiting:
                hub.propose(slot)
            self.seal(gate_s)
            clear_by_s = int(self.day.slot_start_s[slot]) - CLEAR_LEAD_S
            self.tick(clear_by_s)
            self.seal(clear_by_s)
        for hub in self.hubs:
            hub.hear_awards(slot)

    def deliver(self, slot: int) -> None:
        """Energy flows."""
        for hub in self.hubs:
            hub.deliver(slot)

    def report(self, slot: int) -> None:
        """The readings go to the ledger, which settles; agents learn what was delivered."""
        now_s = int(self.day.slot_start_s[slot]) + self.day.slot_s + REPORT_LAG_S
        self.tick(now_s)
        for hub in self.hubs:
            hub.bring_readings(slot)
        self.seal(now_s)
        for hub in self.hubs:
            hub.hear_deliveries(slot)
