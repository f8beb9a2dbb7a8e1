"""Whoever registers hubs and ports, publishes tariffs and limits, opens rounds or plays the clock:
by right and without.

Knows the messages. All chance comes from one seeded generator. Feeders are limited in slots alone
that are so far ahead that no round of theirs is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from peerwatt.records import transactions as tx
from peerwatt.records.market import FeederLimit, Mechanism, SlotLimit
from peerwatt.simulation.parties import (
    FEEDERS,
    LOST_LOAD,
    NEWCOMERS,
    PORTS,
    RETAIL,
    ROLES,
    SITES,
    SLOT_S,
    START_S,
    YEAR_S,
    Parties,
)

MOST_NEW = 12
FAR_SLOTS, TOO_FAR_SLOTS = 1_000, 4_000
MANY_FEEDERS = tuple(f"row-{number:02}" for number in range(33))


class Publishers:
    """Members that set up what others use; in each message one thing may be wrong."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def act(self) -> bytes:
        """A message, mostly wrong in one thing."""
        doings: tuple[Callable[[], bytes], ...] = (
            *(self._tariff, self._hub, self._port, self._limits),
            *(self._round, self._check_out, self._tick),
        )
        return self._chance.choice(doings)()

    def _other(self, right: str, wrong: bool = True) -> str:
        return self._chance.choice((*ROLES, *NEWCOMERS, "ann")) if wrong else right

    def _key(self, right: str) -> bytes:
        return self._all.key(self._other(right)).public

    def _fresh(self, kind: str, known: str) -> str:
        """A new name as long as there are few, else one that is taken."""
        taken = len(self._all.host.items(f"{kind}s"))
        return f"{kind}-{taken}" if taken < MOST_NEW and self._chance.random() < 0.8 else known

    def _tariff(self) -> bytes:
        step, soon_s = self._all.step, self._all.now_s + SLOT_S
        two = (step(START_S, RETAIL), step(soon_s, 200_000))
        wrong: tuple[dict[str, Any], ...] = (
            {"by": self._other("supplier")},
            {"cosigner": self._other("grid")},
            {"steps": ()},
            {"steps": two[::-1]},
            {"end_s": START_S},
            {"steps": (step(START_S, 95_000),)},
            {"steps": (step(START_S, LOST_LOAD + 1),)},
            {},
        )
        name = self._chance.choice(("night", self._fresh("tariff", "day")))
        if self._chance.random() < 0.1:
            return self._all.tariff("late", steps=(step(START_S + YEAR_S // 2, RETAIL),))
        return self._all.tariff(**{"name": name, **self._chance.choice(wrong)})

    def _hub(self) -> bytes:
        grid = self._other("grid")
        wrong: tuple[dict[str, Any], ...] = (
            {"operator": self._other("operator-north")},
            {"cosigner": self._other("grid")},
            {"cosigner": grid, "grid_operator": self._all.key(grid).public},
            {"supplier": self._key("supplier")},
            {"main_meter": self._all.meter("north", PORTS[0]).public},
            {"feeders": FEEDERS[::-1]},
            {"feeders": MANY_FEEDERS},
            {"site": "north", "main_meter": self._all.meter("elsewhere", "").public},
            {},
        )
        site = self._fresh("site", "north")
        usual = {"site": site, "operator": "operator-north"}
        return self._all.site(**(usual | self._chance.choice(wrong)))

    def _port(self) -> bytes:
        known = len(self._all.host.items("ports"))
        usual = {"site": "north", "port": f"p{known}", "operator": "operator-north"}
        wrong: tuple[dict[str, Any], ...] = (
            {"site": "nowhere"},
            {"operator": self._other("operator-north")},
            {"port": PORTS[0], "meter": self._all.meter("north", "another").public},
            {"meter": self._all.meter("south", PORTS[0]).public},
            {"feeder": "no-row"},
            {} if known < 2 * MOST_NEW else {"port": PORTS[0]},
        )
        return self._all.port(**(usual | self._chance.choice(wrong)))

    def _limits(self) -> bytes:
        slot = self._all.now_s // SLOT_S
        rows = tuple(FeederLimit(feeder=f, import_limit_w=9, export_limit_w=0) for f in FEEDERS)
        good = self._limit(slot + FAR_SLOTS, feeders=rows)
        wrong: tuple[tuple[SlotLimit, ...], ...] = (
            (),
            (good, self._limit(slot + FAR_SLOTS - 1)),
            (good, good),
            (self._limit(slot + FAR_SLOTS, slot_start_s=slot * SLOT_S + FAR_SLOTS * SLOT_S + 1),),
            (self._limit(slot + TOO_FAR_SLOTS),),
            (self._limit(slot + FAR_SLOTS, import_limit_w=41_000),),
            (self._limit(slot + FAR_SLOTS, export_limit_w=41_000),),
            (self._limit(slot + FAR_SLOTS, feeders=rows[::-1]),),
            (self._limit(slot + FAR_SLOTS, feeders=(rows[0], rows[0])),),
            (self._limit(slot + FAR_SLOTS, feeders=(_renamed(rows[0]),)),),
            (self._limit(slot - 1),),
            (self._limit(slot),),
            *(((good,),) * 4),
        )
        by, site = self._other("grid", self._chance.random() < 0.15), self._chance.choice([*SITES])
        limits = self._chance.choice(wrong)
        return self._all.sign(by, tx.PublishLimits, site=site, limits=limits)

    def _limit(self, slot: int, **changed: Any) -> SlotLimit:
        usual = {"slot_start_s": slot * SLOT_S, "import_limit_w": 1_000, "export_limit_w": 0}
        return SlotLimit(**(usual | changed))

    def _round(self) -> bytes:
        """A round that nobody can open; where it could be, it is one of those that are."""
        start_s = (self._all.now_s // SLOT_S + self._chance.choice((3, 4, 5))) * SLOT_S
        limited = [each for _, each in self._all.host.items("limits") if each.feeders]
        behind_limits = bool(limited) and self._chance.random() < 0.3
        if behind_limits:
            start_s = self._chance.choice(limited).slot_start_s
        end_s, site = start_s + SLOT_S, self._chance.choice([*SITES])
        usual = {
            "site": site,
            "tariff": "day",
            "mechanism": self._chance.choice((Mechanism.WELFARE, Mechanism.UNIFORM)),
            "gate_s": start_s - 60,
            "clear_by_s": start_s - 30,
            "slot_start_s": start_s,
            "slot_end_s": end_s,
            "settle_by_s": end_s + 600,
        }
        wrong: tuple[dict[str, Any], ...] = (
            {"slot_start_s": start_s + 1, "slot_end_s": end_s + 1},
            {"slot_end_s": end_s + 1},
            {"slot_end_s": end_s + SLOT_S, "settle_by_s": end_s + 2 * SLOT_S},
            {"settle_by_s": start_s + TOO_FAR_SLOTS * SLOT_S},
            {"tariff": "nothing"},
            {"tariff": "late"},
            {"site": "nowhere"},
            {"clear_by_s": start_s - 60},
            {"clear_by_s": start_s},
            {"settle_by_s": end_s},
            {"gate_s": self._all.now_s},
        )
        by = self._other(SITES[site], self._chance.random() < 0.15)
        changed = {} if behind_limits else self._chance.choice(wrong)
        return self._all.sign(by, tx.OpenRound, **(usual | changed))

    def _check_out(self) -> bytes:
        site, port = self._chance.choice([*SITES]), self._chance.choice((*PORTS, "p99"))
        by = self._other(SITES[site], self._chance.random() < 0.2)
        found = self._all.host.get("ports", f"{site}/{port}".encode())
        if found is not None and found.wallet:
            wallet = self._all.key(self._chance.choice(("ann", "stranger"))).public
            return self._all.sign(by, tx.CheckIn, site=site, port=port, wallet=wallet)
        return self._all.sign(by, tx.CheckOut, site=site, port=port)

    def _tick(self) -> bytes:
        time_s = self._all.now_s + self._chance.choice((-1, 0, 0, 0, 60))
        return self._all.sign(self._other("grid"), tx.Tick, time_s=time_s)


def _renamed(limit: FeederLimit) -> FeederLimit:
    return FeederLimit(feeder="no-row", import_limit_w=1, export_limit_w=limit.export_limit_w)
