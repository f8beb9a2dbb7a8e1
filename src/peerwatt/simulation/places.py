"""Where hubs and cars are, and which hub a car goes to.

Knows coordinates, ports as numbers, and sessions. Knows no prices and no ledger. A car goes to the
nearest hub that has a free port as it arrives, and keeps that port for its stay; where no hub has
one it is turned away. Where a car comes from is assumed: every car's place is drawn from the seed
and the session's id alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from peerwatt.simulation.sessions import Session

EARTH_RADIUS_M = 6_371_008.8
"""The mean radius of the IUGG."""


class Place(NamedTuple):
    """A point on the map, degrees."""

    longitude: float
    latitude: float


class Box(NamedTuple):
    """A rectangle on the map, degrees."""

    west: float
    south: float
    east: float
    north: float


class Lot(NamedTuple):
    """A hub as a driver who looks for one sees it."""

    name: str
    place: Place
    ports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A car that found a port: its session, now at that port, and how far it had to go."""

    session: Session
    place: Place
    distance_m: float
    tried: int
    """How many nearer hubs were full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parking:
    """Who stands where: by hub, in the order of arrival, and who found no port at all."""

    parked: dict[str, list[Parked]]
    turned_away: list[Session]


def distance_m(here: Place, there: Place) -> float:
    """The great-circle distance in metres, by the haversine formula on a sphere."""
    north = math.radians(there.latitude - here.latitude)
    east = math.radians(there.longitude - here.longitude)
    shrunk = math.cos(math.radians(here.latitude)) * math.cos(math.radians(there.latitude))
    chord = math.sin(north / 2) ** 2 + shrunk * math.sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(math.sqrt(chord), 1.0))


def place_of(session_id: str, seed: int, box: Box) -> Place:
    """Where a car looks for a hub: two uniforms from its own stream."""
    digest = hashlib.sha256(f"place:{seed}:{session_id}".encode()).hexdigest()
    east, north = np.random.default_rng(int(digest[:16], 16)).random(2).tolist()
    return Place(
        longitude=box.west + east * (box.east - box.west),
        latitude=box.south + north * (box.north - box.south),
    )


def box_around(places: Iterable[Place]) -> Box:
    """The smallest rectangle that holds all places."""
    longitudes, latitudes = zip(*places, strict=True)
    return Box(min(longitudes), min(latitudes), max(longitudes), max(latitudes))


def park(sessions: Sequence[Session], lots: Sequence[Lot], seed: int, box: Box) -> Parking:
    """Every car to the nearest hub with a free port, then the next; equally near ones by name.

    `sessions` are ordered by arrival. A port is free again from its car's departure on; of the
    free ones the first is taken. Ports are named after their hub, so that no two have one name.
    """
    free_from_s = {lot.name: [0] * lot.ports for lot in lots}
    parked: dict[str, list[Parked]] = {lot.name: [] for lot in lots}
    turned_away = []
    for session in sessions:
        place = place_of(session.session_id, seed, box)
        nearest = sorted((distance_m(place, lot.place), lot.name) for lot in lots)
        for tried, (away_m, name) in enumerate(nearest):
            ports = free_from_s[name]
            port = next((p for p, at_s in enumerate(ports) if at_s <= session.arrival_s), None)
            if port is None:
                continue
            ports[port] = session.departure_s
            here = replace(session, site=name, station_id=f"{name}-{port + 1:02d}")
            stay = Parked(session=here, place=place, distance_m=away_m, tried=tried)
            parked[name].append(stay)
            break
        else:
            turned_away.append(session)
    return Parking(parked=parked, turned_away=turned_away)
