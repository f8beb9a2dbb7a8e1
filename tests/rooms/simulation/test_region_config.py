"""Sites files: what they may say, and one clear line where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerwatt.simulation.config import ConfigError
from peerwatt.simulation.places import Box
from peerwatt.simulation.region_config import BUNDLED, load_sites

HUB = "{name: a, place: {longitude: 1, latitude: 2}, limit_kw: 9, ports: 3}"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "sites.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_sites(written(tmp_path, text))
    line = str(error.value)
    assert line.startswith(str(tmp_path))
    assert "\n" not in line
    return line.removeprefix(f"{tmp_path}/sites.yaml: ")


def test_operator_and_meter_follow_from_the_name(tmp_path: Path) -> None:
    [hub] = load_sites(written(tmp_path, f"hubs: [{HUB}]")).hubs
    assert (hub.operator, hub.meter, hub.pv_kwp) == ("a-operator", "a-main", 0)


@pytest.mark.parametrize("name", BUNDLED)
def test_maps_that_come_with_the_package_can_be_used(name: str) -> None:
    assert load_sites(name).hubs


def test_texas_is_fifty_eight_points_in_the_studys_box() -> None:
    region = load_sites("texas")
    assert len(region.hubs) == 58
    assert region.box == Box(-97.76, 30.256, -97.725, 30.276)
    for hub in region.hubs:
        assert region.box.west <= hub.place.longitude <= region.box.east
        assert region.box.south <= hub.place.latitude <= region.box.north
    assert "ours and not the study's" in region.note


def test_without_a_box_cars_come_from_around_the_hubs(tmp_path: Path) -> None:
    other = HUB.replace("a,", "b,", 1).replace("1,", "4,", 1)
    region = load_sites(written(tmp_path, f"hubs: [{HUB}, {other}]"))
    assert region.box == Box(1, 2, 4, 2)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "hubs: must be given"),
        ("hubs: []", "hubs: must have at least 1 item after validation, not 0"),
        ("hubs: [{name: a}]", "hubs.0.place: must be given (and 2 more)"),
        (f"hubs: [{HUB}, {HUB}]", "hubs: name 'a' appears twice; each hub has its own"),
        (
            f"hubs: [{HUB.replace('9,', '9, operator: supplier,')}]",
            "hubs: operator 'supplier' is the name of another member",
        ),
        (
            f"hubs: [{HUB.replace('2}', '91}')}]",
            "hubs.0.place.latitude: must be less than or equal to 90, is 91",
        ),
        (
            f"hubs: [{HUB.replace('ports: 3', 'ports: 0')}]",
            "hubs.0.ports: must be greater than or equal to 1, is 0",
        ),
        (
            f"hubs: [{HUB.replace('limit_kw', 'limit_kv')}]",
            "hubs.0.limit_kv: unknown key; did you mean limit_kw?",
        ),
        (
            f"hubs: [{HUB}]\ncars_from: {{west: 2, south: 0, east: 1, north: 1}}",
            "cars_from: must go from west to east and from south to north",
        ),
        ("[1]", "must hold keys and values, such as 'hubs:'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, line: str) -> None:
    assert line in refused(tmp_path, text)


def test_a_map_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"utah: there is no such file, nor a map of that name"):
        load_sites("utah")
