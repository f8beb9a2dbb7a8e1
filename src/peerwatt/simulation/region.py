"""Several hubs on one ledger and one day: who goes where, and one clock for all.

Knows the worlds of single hubs and where hubs and cars are. Supplier, grid operator and all other
members are everybody's; every hub has an operator, meters, rounds and a connection of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peerwatt.agents.wallet import Checked
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.records.transactions import Tick
from peerwatt.simulation.config import ConfigError, DayConfig
from peerwatt.simulation.consortium import CLOCK, HubKeyring, Keyring
from peerwatt.simulation.day import HubDay, hub_day, like_days
from peerwatt.simulation.founding import SETUP_LEAD_S
from peerwatt.simulation.hub import Hub
from peerwatt.simulation.places import Parked, Parking, park
from peerwatt.simulation.region_config import HubConfig, RegionConfig
from peerwatt.simulation.sessions import Session, SessionsError, by_date, drop_reasons
from peerwatt.simulation.timeline import Timeline
from peerwatt.simulation.venue import OneProcess, Venue
from peerwatt.simulation.world import must, signer_of

S_PER_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HubsDay:
    """What the day brings to one hub."""

    hub: HubConfig
    config: DayConfig
    """The common assumptions, with this hub's connection and roof."""
    day: HubDay
    parked: tuple[Parked, ...]
    """Its cars of the day, in the order of their arrival."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionDay:
    """What the day brings to all hubs."""

    hubs: tuple[HubsDay, ...]
    """Those to which a car comes, by name."""
    idle: tuple[HubConfig, ...]
    """Those to which none comes; they open no round."""
    turned_away: tuple[Session, ...]
    """Cars of the day that found every port taken."""
    dropped: int
    """Rows of the day that are not used: stays too short or too long, plugs taken twice."""
    laid: tuple[dt.date, ...]
    """Whose cars come: those of the date itself and of like days before it."""


def region_day(config: DayConfig, region: RegionConfig, sessions: Sequence[Session]) -> RegionDay:
    """The day of `config` at the hubs of `region`; `sessions` ordered as `load_sessions` does.

    The cars of like days before find their hubs in the same way, so that each hub expects what it
    would have seen. Raises SessionsError for a date on which no usable car arrives, ConfigError for
    rewards, which the members of several hubs would have to vote for.
    """
    if config.rewards.fund:
        raise ConfigError("rewards: cannot be set for a day at several hubs")
    reasons = drop_reasons(sessions)
    days = by_date(sessions)
    arriving = days.get(config.date, [])
    if not [each for each in arriving if each.session_id not in reasons]:
        hub_day(config, sessions)  # which says so, and names the dates that have some
    laid = (config.date, *like_days(config.date, days, region.days - 1))
    before = like_days(laid[-1], days, config.rule.arrivals_history_days)
    sound = {day: [s for s in days[day] if s.session_id not in reasons] for day in (*laid, *before)}
    used = [s for copy, day in enumerate(laid) for s in _moved(sound[day], config.date, copy)]
    used += [
        s for day in before for copy in range(len(laid)) for s in _moved(sound[day], day, copy)
    ]
    used.sort(key=lambda s: (s.arrival_s, s.session_id))
    lots = sorted(hub.lot for hub in region.hubs)
    parking = park(used, lots, config.sellers.seed, region.box)
    hubs, idle = [], []
    for hub in sorted(region.hubs, key=lambda hub: hub.name):
        mine = _hubs_day(config, hub, parking)
        if mine is None:
            idle.append(hub)
        else:
            hubs.append(mine)
    if not hubs:
        raise SessionsError(f"no car of {config.date} found a free port at any hub")
    return RegionDay(
        hubs=tuple(hubs),
        idle=tuple(idle),
        turned_away=tuple(s for s in parking.turned_away if s.local_date == config.date),
        dropped=sum(each.session_id in reasons for day in laid for each in days[day]),
        laid=laid,
    )


def _moved(sessions: Sequence[Session], date: dt.date, copy: int) -> Iterator[Session]:
    """The sessions at the same hours of a date; all but the first copy with ids of their own."""
    for session in sessions:
        by_s = (date - session.local_date).days * S_PER_DAY
        yield replace(
            session,
            session_id=f"{session.session_id}-{copy}" if copy else session.session_id,
            arrival_s=session.arrival_s + by_s,
            departure_s=session.departure_s + by_s,
            stated_departure_s=session.stated_departure_s + by_s,
        )


def _hubs_day(config: DayConfig, hub: HubConfig, parking: Parking) -> HubsDay | None:
    """One hub's part; none if no car comes to it that day."""
    parked = parking.parked[hub.name]
    today = tuple(each for each in parked if each.session.local_date == config.date)
    if not today:
        return None
    own = config.model_copy(update={"limit_kw": hub.limit_kw, "pv_kwp": hub.pv_kwp})
    day = hub_day(own, [each.session for each in parked])
    return HubsDay(hub=hub, config=own, day=replace(day, site=hub.name), parked=today)


def region_chain_id(config: DayConfig, region: RegionConfig) -> str:
    """A name for the chain of these hubs under these assumptions."""
    said = config.model_dump_json() + region.model_dump_json()
    fingerprint = hashlib.sha256(said.encode()).hexdigest()[:8]
    return f"sim-hubs-{config.date}-{fingerprint}"


class AtHub:
    """The chain that all hubs share, as one of them sees it: with its own keys."""

    can_smuggle = False

    def __init__(self, venue: Venue, keys: HubKeyring) -> None:
        self._venue, self.keys, self.host = venue, keys, venue.host

    def seal(self, time_s: int, smuggled: Sequence[bytes] = ()) -> None:
        """A boundary for everybody."""
        self._venue.seal(time_s, smuggled)

    def export(self, folder: Path) -> None:
        """The whole chain's files."""
        self._venue.export(folder)


class Region(Timeline):
    """Hubs on one ledger, from the eve of the day on.

    Args:
        config: what all hubs have in common.
        region: the hubs.
        day: what the day brings them.
        chain_id: another name for the chain; it begins with `sim-`.
    """

    def __init__(
        self,
        config: DayConfig,
        region: RegionConfig,
        day: RegionDay,
        *,
        chain_id: str | None = None,
    ) -> None:
        self.day = day.hubs[0].day
        self.venue = OneProcess(
            config,
            self.day.start_s - SETUP_LEAD_S,
            chain_id=chain_id or region_chain_id(config, region),
            operators=[hub.operator for hub in region.hubs],
        )
        self.keys: Keyring = self.venue.keys
        self.host: EmbeddedHost = self.venue.host
        self.worlds = {each.hub.name: self._found(each) for each in day.hubs}
        self.checked: list[Checked] = []
        """What each wallet's history showed at the end of the day."""
        self._clock = signer_of(self.keys.key(CLOCK), self.host)

    def _found(self, each: HubsDay) -> Hub:
        """A hub and its founding, in a block of its own."""
        keys = HubKeyring(
            self.keys.seed,
            self.keys.chain_id,
            hub=each.hub.name,
            member=each.hub.operator,
            main_meter=each.hub.meter,
        )
        return Hub(each.config, each.day, venue=AtHub(self.venue, keys))

    @property
    def hubs(self) -> tuple[Hub, ...]:
        """Every hub, by name."""
        return tuple(self.worlds.values())

    def run(self, progress: Callable[[int, int], None] = lambda done, slots: None) -> None:
        """Live through the day; then the last trades are recorded, and every car checks what the
        ledger holds of its wallet."""
        super().run(progress)
        for hub in self.hubs:
            hub.record_trades()
        end_s = self.host.block_time_s
        self.seal(end_s)
        self.seal(end_s)
        self.checked = [each for hub in self.hubs for each in hub.check_wallets()]

    def tick(self, time_s: int) -> None:
        """The clock moves on, for all."""
        must(self._clock.send(Tick, valid_until_s=time_s, time_s=time_s))

    def seal(self, time_s: int) -> None:
        """All that any hub submitted stands in blocks from here on."""
        self.venue.seal(time_s)
