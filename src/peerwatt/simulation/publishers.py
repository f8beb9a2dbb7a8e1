"""Whoever registers hubs and ports, publishes tariffs, or plays the clock: by right and without.

Knows the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from peerwatt.records import transactions as tx
from peerwatt.simulation.parties import NEWCOMERS, PORTS, ROLES, SITES, Parties

MOST_NEW = 12


class Publishers:
    """Members that set up what others use; in each message one part may be another's."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def act(self) -> bytes:
        """A tariff, a hub, a port or a tick, mostly wrong in one thing or there already."""
        doings: tuple[Callable[[], bytes], ...] = (self._tariff, self._hub, self._port, self._tick)
        return self._chance.choice(doings)()

    def _other(self, right: str, wrong: bool) -> str:
        return self._chance.choice((*ROLES, *NEWCOMERS, "ann")) if wrong else right

    def _fresh(self, kind: str, known: tuple[str, ...]) -> str:
        """A new name as long as there are few, else one that is taken."""
        taken = len(self._all.host.items(f"{kind}s"))
        few = taken < MOST_NEW + len(known)
        return f"{kind}-{taken}" if few and self._chance.random() < 0.7 else known[0]

    def _tariff(self) -> bytes:
        wrong = self._chance.randrange(4)
        by, cosigner = self._other("supplier", wrong == 0), self._other("grid", wrong == 1)
        name = self._chance.choice(("night", "late", self._fresh("tariff", ("day",))))
        return self._all.tariff(name, by, cosigner)

    def _hub(self) -> bytes:
        wrong = self._chance.randrange(6)
        operator = self._other("operator-north", wrong == 0)
        grid = self._other("grid", wrong == 1)
        cosigner = self._other(grid, wrong == 2)
        supplier = self._other("supplier", wrong == 3)
        site = self._fresh("site", tuple(SITES))
        return self._all.site(site, operator, cosigner, grid, supplier)

    def _port(self) -> bytes:
        wrong = self._chance.randrange(5)
        site = self._chance.choice(tuple(SITES)) if wrong else "nowhere"
        operator = self._other(SITES.get(site, "operator-north"), wrong == 1)
        known = len(self._all.host.items("ports"))
        port = f"p{known}" if wrong != 2 and known < 2 * MOST_NEW else PORTS[0]
        return self._all.port(site, port, operator, PORTS[1] if wrong == 3 else "")

    def _tick(self) -> bytes:
        time_s = self._all.now_s + self._chance.choice((-1, 0, 0, 0, 60))
        return self._all.sign(self._other("grid", True), tx.Tick, time_s=time_s)
