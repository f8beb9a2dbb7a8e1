"""Where the parking lots lie: the box of Fig. 4, lots of our own in it, and the nearest hub.

Knows latitudes and longitudes. The paper's 58 lots come from a map that it does not print; these
are drawn at random in its box.
"""

from __future__ import annotations

import math

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.studies.petcon.parameters import Petcon
from peerwatt.studies.study import Row

SOUTH, NORTH = 30.256, 30.276
WEST, EAST = -97.76, -97.725
KM_A_DEGREE = 111.195
"""Of latitude, on a sphere of 6,371 km."""


def box_km() -> tuple[float, float]:
    """(north to south, west to east)."""
    middle = math.radians((SOUTH + NORTH) / 2)
    width = (EAST - WEST) * KM_A_DEGREE
    return (NORTH - SOUTH) * KM_A_DEGREE, width * math.cos(middle)


def lots(petcon: Petcon) -> list[Row]:
    """A row a lot: where it lies, whether it is a hub, and which hub is nearest."""
    rng = np.random.default_rng([petcon.seed, petcon.lots])
    height_km, width_km = box_km()
    at_km = rng.uniform((0, 0), (width_km, height_km), (petcon.lots, 2))
    chosen = spread_out(at_km, min(petcon.hubs, petcon.lots))
    apart = np.linalg.norm(at_km[:, None] - at_km[chosen][None], axis=2)
    return [
        {
            "lot": lot,
            "east_km": float(at_km[lot, 0]),
            "north_km": float(at_km[lot, 1]),
            "is_hub": lot in chosen,
            "hub": chosen[int(apart[lot].argmin())],
            "to_hub_km": float(apart[lot].min()),
        }
        for lot in range(petcon.lots)
    ]


def spread_out(at_km: FloatArray, count: int) -> list[int]:
    """So many of the places (N, 2): the one nearest to the middle, then always the farthest."""
    middle = at_km.mean(axis=0)
    chosen = [int(np.linalg.norm(at_km - middle, axis=1).argmin())]
    while len(chosen) < count:
        apart = np.linalg.norm(at_km[:, None] - at_km[chosen][None], axis=2).min(axis=1)
        chosen.append(int(apart.argmax()))
    return chosen
