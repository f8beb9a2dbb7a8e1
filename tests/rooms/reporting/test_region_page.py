"""The page of several hubs: what stands in it, and that its map is where the hubs are."""

from __future__ import annotations

import copy
from typing import Any
from xml.etree import ElementTree

import pytest

from peerwatt.reporting.day_result import DayResultError
from peerwatt.reporting.region_map import region_map
from peerwatt.reporting.region_page import region_page
from peerwatt.reporting.region_result import read_region
from peerwatt.simulation.region_run import RegionRun


@pytest.fixture
def summary(hubs_run: RegionRun) -> dict[str, Any]:
    return copy.deepcopy(hubs_run.summary)


def drawn(summary: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(region_map(read_region(summary)))


def circles(svg: ElementTree.Element, kind: str) -> dict[str, tuple[float, float, float]]:
    found = {}
    for group in svg.iter("g"):
        circle, title = group.find("circle"), group.find("title")
        assert circle is not None
        assert title is not None
        if circle.get("class") == kind:
            name = (title.text or "").split(":")[0]
            x, y, r = (float(circle.get(each, "nan")) for each in ("cx", "cy", "r"))
            found[name] = x, y, r
    return found


def test_every_hub_has_a_row_and_a_page(summary: dict[str, Any]) -> None:
    page = region_page(read_region(summary))
    for name, hub in summary["hubs"].items():
        assert f'<a href="hubs/{name}.html">{name}</a><small>{hub["operator"]}</small>' in page
    cars = summary["cars"]
    assert f"{cars['turned_away']} cars were turned away." in page
    assert "src=" not in page
    assert "http:" not in page


def test_hubs_stand_where_they_are(summary: dict[str, Any]) -> None:
    at = circles(drawn(summary), "hub")
    assert at["west"][0] < at["mid"][0] < at["east"][0]
    assert at["west"][1] == pytest.approx(at["mid"][1], abs=0.1)
    assert at["east"][1] < at["mid"][1], "north is up"
    assert at["mid"][0] - at["west"][0] == pytest.approx(at["east"][0] - at["mid"][0], abs=0.2)
    # A hundredth of a degree north is longer than one east, by the cosine of the latitude.
    east_px, north_px = at["mid"][0] - at["west"][0], at["mid"][1] - at["east"][1]
    assert east_px / north_px == pytest.approx(0.8637, rel=1e-3)


def test_a_line_for_each_car_and_marked_where_nearer_hubs_were_full(
    summary: dict[str, Any],
) -> None:
    svg = drawn(summary)
    ways = [line for line in svg.iter("line") if (line.get("class") or "").startswith("way")]
    assert len(ways) == summary["cars"]["parked"]
    far = [line for line in ways if line.get("class") == "way far"]
    assert len(far) == summary["cars"]["parked"] - summary["cars"]["at_the_nearest"]


def test_an_idle_hub_is_a_ring_and_is_named(summary: dict[str, Any]) -> None:
    place = {"longitude": -97.745, "latitude": 30.2625}
    moon = {"name": "moon", "place": place, "ports": 1, "operator": "m", "limit_kw": 2.0}
    summary["idle"] = [moon]
    assert "moon" in circles(drawn(summary), "idle")
    page = region_page(read_region(summary))
    assert "To 1 hub no car came: moon." in page
    assert "a hub to which no car came" in page


def test_names_that_would_cover_one_another_show_under_the_pointer(
    summary: dict[str, Any],
) -> None:
    hub = next(iter(summary["hubs"].values()))
    summary["hubs"] = {f"lot-{at}": hub for at in range(17)}
    svg = drawn(summary)
    assert [text.text for text in svg.iter("text")] == ["500 m, north is up"]
    assert len(list(svg.iter("title"))) == 17


def test_one_hub_alone_can_be_drawn(summary: dict[str, Any]) -> None:
    """All places in one point: the map has no size of its own."""
    [name, *_] = summary["hubs"]
    hub = summary["hubs"][name] | {"cars_from": []}
    place = hub["place"]
    summary["hubs"] = {name: hub | {"cars_from": [dict(place, distance_m=0, nearer_hubs_full=0)]}}
    summary["box"] = {
        "west": place["longitude"],
        "east": place["longitude"],
        "south": place["latitude"],
        "north": place["latitude"],
    }
    [(x, y, _)] = circles(drawn(summary), "hub").values()
    assert 0 < x < 960
    assert 0 < y < 960


def test_a_note_is_text_and_no_html(summary: dict[str, Any]) -> None:
    summary["note"] = "<script>alert(1)</script>"
    page = region_page(read_region(summary))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_summary_without_its_map_is_refused(summary: dict[str, Any]) -> None:
    del summary["box"]
    with pytest.raises(DayResultError, match="box"):
        read_region(summary)
