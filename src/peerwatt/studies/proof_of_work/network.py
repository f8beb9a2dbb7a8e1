"""Messages that take their time: a queue of events and links between members.

Knows time, links and chance. Knows no protocol. Events of one time come in the order in which they
were scheduled, so that a seed decides everything.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np

from peerwatt.studies.proof_of_work.setting import Setting

Act = Callable[[], None]


class Network:
    """One block's time, from the moment at which the block before it was decided."""

    def __init__(self, setting: Setting, chance: np.random.Generator) -> None:
        self._setting = setting
        self._chance = chance
        self._queue: list[tuple[float, int, Act]] = []
        self._scheduled = 0
        self.now_s = 0.0
        self.messages = 0
        self.sent_bytes = 0

    def later(self, delay_s: float, act: Act) -> None:
        """Does it after this time."""
        heapq.heappush(self._queue, (self.now_s + delay_s, self._scheduled, act))
        self._scheduled += 1

    def send(self, size_bytes: int, act: Act) -> None:
        """Does it where the message arrives."""
        setting = self._setting
        jitter_s = self._chance.exponential(setting.jitter_s) if setting.jitter_s else 0.0
        self.messages += 1
        self.sent_bytes += size_bytes
        self.later(setting.latency_s + jitter_s + size_bytes / setting.bytes_per_s, act)

    def run(self, until_s: float, done: Callable[[], bool]) -> None:
        """Lets time pass until `done` or `until_s`, or until nothing is left to happen."""
        while self._queue and not done():
            at_s, _, act = heapq.heappop(self._queue)
            if at_s > until_s:
                self.now_s = until_s
                break
            self.now_s = at_s
            act()
