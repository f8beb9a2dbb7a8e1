"""A sites file: the hubs that share a ledger, where they are and how large.

Knows names, coordinates and bounds. Knows no sessions and no prices: what all hubs have in common
is the day's configuration.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from peerwatt.simulation.config import ConfigError, ConfigPart, one_line, read_yaml
from peerwatt.simulation.consortium import CLOCK, ROLES
from peerwatt.simulation.places import Box, Lot, Place, box_around

MOST_HUBS = 200
BUNDLED = ("texas", "three")
HubName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
MemberName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,47}$")]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]


class PlaceConfig(ConfigPart):
    longitude: Longitude
    """Degrees, east above zero."""
    latitude: Latitude
    """Degrees, north above zero."""


class HubConfig(ConfigPart):
    name: HubName
    """Its name on the ledger."""
    place: PlaceConfig
    """Where it is."""
    limit_kw: Annotated[float, Field(gt=0, le=100_000)]
    """Its connection's import limit, kW."""
    ports: Annotated[int, Field(ge=1, le=500)]
    """How many cars it can plug in at once."""
    operator: MemberName = Field(default_factory=lambda known: f"{known.get('name')}-operator")
    """The member that runs it, an aggregator of its own. Left out: NAME-operator."""
    meter: MemberName = Field(default_factory=lambda known: f"{known.get('name')}-main")
    """The name of its main meter, from which the simulation derives a key. Left out: NAME-main."""
    pv_kwp: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Rated power of its roof's panels, kWp."""

    @property
    def lot(self) -> Lot:
        """What a driver sees of it."""
        return Lot(self.name, Place(self.place.longitude, self.place.latitude), self.ports)


class BoxConfig(ConfigPart):
    west: Longitude
    south: Latitude
    east: Longitude
    north: Latitude

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.west > self.east or self.south > self.north:
            raise ValueError("must go from west to east and from south to north")
        return self


class RegionConfig(ConfigPart):
    """Hubs that share a ledger."""

    hubs: Annotated[list[HubConfig], Field(min_length=1, max_length=MOST_HUBS)]
    """Every hub, in any order."""
    cars_from: BoxConfig | None = None
    """Where cars look for a hub, evenly spread; null = the smallest box around all hubs."""
    days: Annotated[int, Field(ge=1, le=30)] = 1
    """The cars of so many like days, newest first, come on the one date, each at its own hour."""
    note: str = ""
    """Where the places come from; stands in the report."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for key in ("name", "operator", "meter"):
            names = [getattr(hub, key) for hub in self.hubs]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"hubs: {key} {twice!r} appears twice; each hub has its own")
        taken = next((hub.operator for hub in self.hubs if hub.operator in (CLOCK, *ROLES)), None)
        if taken is not None:
            raise ValueError(f"hubs: operator {taken!r} is the name of another member")
        return self

    @property
    def box(self) -> Box:
        """Where cars look for a hub."""
        if self.cars_from is None:
            return box_around(hub.lot.place for hub in self.hubs)
        given = self.cars_from
        return Box(given.west, given.south, given.east, given.north)


def load_sites(what: str) -> RegionConfig:
    """The hubs of a YAML file, or of a map that comes with the package, by its name.

    Raises ConfigError with one line that names the file and the first wrong key.
    """
    path = Path(what)
    if what in BUNDLED and not path.exists():
        path = Path(str(files("peerwatt") / "data" / "sites" / f"{what}.yaml"))
    elif not path.exists():
        raise ConfigError(f"{what}: there is no such file, nor a map of that name ({_maps()})")
    try:
        return RegionConfig.model_validate(read_yaml(path, "'hubs:'"))
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error, RegionConfig)}") from None


def _maps() -> str:
    return ", ".join(BUNDLED)
