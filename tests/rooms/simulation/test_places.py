"""Which hub a car goes to: against brute force, and distances against known ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerwatt.simulation.places import (
    Box,
    Lot,
    Parking,
    Place,
    box_around,
    distance_m,
    park,
    place_of,
)
from peerwatt.simulation.sessions import Session

BOX = Box(-97.76, 30.256, -97.725, 30.276)
LONGITUDES = st.floats(-97.76, -97.725)
LATITUDES = st.floats(30.256, 30.276)
LOTS = st.lists(st.tuples(LONGITUDES, LATITUDES, st.integers(1, 3)), min_size=1, max_size=6).map(
    lambda made: [Lot(f"hub-{at}", Place(e, n), p) for at, (e, n, p) in enumerate(made)]
)
STAYS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), max_size=25)


def session(name: str, arrival_s: int, departure_s: int) -> Session:
    return Session(
        session_id=name,
        site="jpl",
        station_id="ag-1",
        arrival_s=arrival_s,
        departure_s=departure_s,
        stated_departure_s=departure_s,
        delivered_wh=1_000,
        requested_wh=1_000,
        claimed=True,
    )


def sessions(stays: list[tuple[int, int]]) -> list[Session]:
    made = [session(f"car-{at}", a, a + stay) for at, (a, stay) in enumerate(stays)]
    return sorted(made, key=lambda s: (s.arrival_s, s.session_id))


def whose(parking: Parking) -> dict[str, str]:
    return {
        each.session.session_id: hub for hub, parked in parking.parked.items() for each in parked
    }


@given(LOTS, STAYS, st.integers(0, 5))
def test_each_car_stands_at_the_nearest_hub_that_had_room(
    lots: list[Lot], stays: list[tuple[int, int]], seed: int
) -> None:
    """Brute force: who of those before is still there, hub by hub, when a car comes."""
    cars = sessions(stays)
    parking = park(cars, lots, seed, BOX)
    went = whose(parking)
    assert len(went) + len(parking.turned_away) == len(cars)
    for at, car in enumerate(cars):
        there = {lot.name: 0 for lot in lots}
        for other in cars[:at]:
            if other.session_id in went and other.departure_s > car.arrival_s:
                there[went[other.session_id]] += 1
        place = place_of(car.session_id, seed, BOX)
        roomy = [lot for lot in lots if there[lot.name] < lot.ports]
        best = min(roomy, key=lambda lot: (distance_m(place, lot.place), lot.name), default=None)
        assert went.get(car.session_id) == (None if best is None else best.name)


@given(LOTS, STAYS)
def test_no_port_holds_two_cars_at_once(lots: list[Lot], stays: list[tuple[int, int]]) -> None:
    parking = park(sessions(stays), lots, 1, BOX)
    ports = {lot.name: lot.ports for lot in lots}
    for hub, parked in parking.parked.items():
        free_from_s: dict[str, int] = {}
        for each in parked:
            stay = each.session
            assert stay.site == hub
            assert stay.arrival_s >= free_from_s.get(stay.port, 0)
            free_from_s[stay.port] = stay.departure_s
        assert len(free_from_s) <= ports[hub]


def test_a_car_goes_on_to_the_next_hub_and_is_counted() -> None:
    near, far = Lot("near", Place(0.0, 0.0), 1), Lot("far", Place(1.0, 0.0), 1)
    box = Box(0.0, 0.0, 0.0, 0.0)
    cars = [session("a", 0, 10), session("b", 1, 10), session("c", 2, 10), session("d", 10, 20)]
    parking = park(cars, [near, far], 1, box)
    assert whose(parking) == {"a": "near", "b": "far", "d": "near"}
    assert [each.session_id for each in parking.turned_away] == ["c"]
    [second] = parking.parked["far"]
    assert (second.tried, second.session.port) == (1, "far-01")
    assert second.distance_m == pytest.approx(111_195, rel=1e-4)


def test_equally_near_hubs_go_by_name() -> None:
    lots = [Lot("b", Place(0.0, 0.0), 1), Lot("a", Place(0.0, 0.0), 1)]
    assert whose(park([session("x", 0, 1)], lots, 1, Box(0, 0, 0, 0))) == {"x": "a"}


@given(LONGITUDES, LATITUDES, LONGITUDES, LATITUDES)
def test_distance_is_the_angle_between_the_two_vectors(
    east: float, north: float, other_east: float, other_north: float
) -> None:
    here, there = Place(east, north), Place(other_east, other_north)
    (x, y, z), (u, v, w) = _vector(here), _vector(there)
    cross = math.hypot(y * w - z * v, z * u - x * w, x * v - y * u)
    angle = math.atan2(cross, x * u + y * v + z * w)
    assert distance_m(here, there) == pytest.approx(6_371_008.8 * angle, abs=1e-3)
    assert distance_m(here, there) == distance_m(there, here)


def _vector(place: Place) -> tuple[float, float, float]:
    east, north = math.radians(place.longitude), math.radians(place.latitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def test_half_way_round_the_earth_is_no_error() -> None:
    assert distance_m(Place(0, 0), Place(180, 0)) == pytest.approx(math.pi * 6_371_008.8)


def test_a_cars_place_is_its_own() -> None:
    """It depends on the seed and the car alone, and lies in the box."""
    first = place_of("a", 1, BOX)
    assert first == place_of("a", 1, BOX)
    assert first != place_of("a", 2, BOX) != place_of("b", 2, BOX)
    drawn = [place_of(f"{at}", 1, BOX) for at in range(500)]
    around = box_around(drawn)
    assert BOX.west <= around.west < around.east <= BOX.east
    assert BOX.south <= around.south < around.north <= BOX.north
    mean = sum(place.longitude for place in drawn) / 500
    assert mean == pytest.approx((BOX.west + BOX.east) / 2, abs=0.002)


def test_more_cars_change_nobodys_place() -> None:
    lots = [Lot("a", Place(0.0, 0.0), 9)]
    few, many = [session("x", 5, 9)], [session("w", 1, 9), session("x", 5, 9)]
    [alone] = park(few, lots, 3, BOX).parked["a"]
    among = park(many, lots, 3, BOX).parked["a"][1]
    assert among == replace(alone, session=replace(alone.session, station_id="a-02"))
