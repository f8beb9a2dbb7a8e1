"""Draws hubs and where their cars came from, from coordinates alone.

Knows a region's summary and SVG. Fetches no tiles: what is drawn is what stands in the summary. A
degree of longitude is drawn shorter than one of latitude, as it is at the map's middle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from peerwatt.reporting.day_words import count, kwh
from peerwatt.reporting.page_parts import Html, show
from peerwatt.reporting.region_result import Point, RegionSummary

WIDTH, HIGHEST, MARGIN = 960.0, 620.0, 34.0
MOST_LABELS = 16
"""More names than these would cover one another; then they show under the pointer alone."""
METRES_PER_DEGREE = math.radians(1) * 6_371_008.8
NARROWEST_DEG = 1e-4


class _Frame(NamedTuple):
    """Degrees to pixels."""

    west: float
    north: float
    squeezed: float
    """What a degree of longitude is, of one of latitude."""
    px_per_degree: float
    height: float

    def at(self, point: Point) -> tuple[float, float]:
        x = (point.longitude - self.west) * self.squeezed * self.px_per_degree
        y = (self.north - point.latitude) * self.px_per_degree
        return x + MARGIN, y + MARGIN


def region_map(summary: RegionSummary) -> Html:
    """The map, with a scale."""
    frame = _frame(summary)
    parts = [*_ways(summary, frame), *_hubs(summary, frame), _scale(frame)]
    label = f"Map of {count(len(summary.hubs) + len(summary.idle), 'hub')} and their cars"
    return Html(
        f'<svg viewBox="0 0 {WIDTH:g} {frame.height:.0f}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


def _frame(summary: RegionSummary) -> _Frame:
    """Large enough for all hubs and for all places from which cars may have come."""
    places = [each.place for each in (*summary.hubs.values(), *summary.idle)]
    box = summary.box
    west = min([box.west, *(place.longitude for place in places)])
    east = max([box.east, *(place.longitude for place in places)])
    south = min([box.south, *(place.latitude for place in places)])
    north = max([box.north, *(place.latitude for place in places)])
    squeezed = max(math.cos(math.radians((south + north) / 2)), 0.01)
    wide = max((east - west) * squeezed, NARROWEST_DEG)
    high = max(north - south, NARROWEST_DEG)
    px_per_degree = min((WIDTH - 2 * MARGIN) / wide, HIGHEST / high)
    # What is narrower than the page stands in its middle.
    spare = (WIDTH - 2 * MARGIN) / px_per_degree - wide
    height = high * px_per_degree + 2 * MARGIN + 26
    return _Frame(west - spare / squeezed / 2, north, squeezed, px_per_degree, height)


def _ways(summary: RegionSummary, frame: _Frame) -> list[str]:
    """A line from where each car looked for a hub to the one it found."""
    drawn = []
    for hub in summary.hubs.values():
        x, y = frame.at(hub.place)
        for car in hub.cars_from:
            from_x, from_y = frame.at(car)
            kind = "way far" if car.nearer_hubs_full else "way"
            drawn.append(
                f'<line class="{kind}" x1="{from_x:.1f}" y1="{from_y:.1f}" x2="{x:.1f}" '
                f'y2="{y:.1f}"/><circle class="car" cx="{from_x:.1f}" cy="{from_y:.1f}" r="2.5"/>'
            )
    return drawn


def _hubs(summary: RegionSummary, frame: _Frame) -> list[str]:
    """A disc each, its area by the cars that came; a ring where none did."""
    most = max(len(hub.cars_from) for hub in summary.hubs.values())
    named = len(summary.hubs) + len(summary.idle) <= MOST_LABELS
    marks = [(hub.name, hub.place, "idle", 5.0, "no car came") for hub in summary.idle]
    for name, hub in summary.hubs.items():
        came = len(hub.cars_from)
        said = f"{count(came, 'car')}, {kwh(hub.energy_wh.from_cars)} from cars"
        marks.append((name, hub.place, "hub", 6 + 10 * math.sqrt(came / most), said))
    drawn = []
    for name, place, kind, radius, said in marks:
        x, y = frame.at(place)
        text = ""
        if named:
            right = x < WIDTH - 140
            anchor = "start" if right else "end"
            beside = x + (radius + 5) * (1 if right else -1)
            text = (
                f'<text class="strong halo" x="{beside:.1f}" y="{y + 4:.1f}" '
                f'text-anchor="{anchor}">{show(name)}</text>'
            )
        drawn.append(
            f"<g><title>{show(name)}: {show(said)}</title>"
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>{text}</g>'
        )
    return drawn


def _scale(frame: _Frame) -> str:
    """A bar of a round number of metres, at most a quarter of the map wide."""
    px_per_m = frame.px_per_degree / METRES_PER_DEGREE
    most_m = WIDTH / 4 / px_per_m
    power = 10 ** math.floor(math.log10(most_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= most_m)
    y, end = frame.height - 12, MARGIN + length_m * px_per_m
    words = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    return (
        f'<line class="axis" x1="{MARGIN:g}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{end + 8:.1f}" y="{y + 4:.1f}">{words}, north is up</text>'
    )
