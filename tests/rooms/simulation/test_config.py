"""The day's configuration: defaults, what wins over what, and refusals that name the key."""

import datetime as dt
import json
from importlib.resources import files
from pathlib import Path

import pytest

from peerwatt.simulation.config import ConfigError, DayConfig, load, schema

DATA = Path(str(files("peerwatt") / "data"))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "day.yaml"
        path.write_text(text)
        return path

    return write


def test_the_bundled_file_says_every_default_aloud():
    import yaml

    said = yaml.safe_load((DATA / "hub-day.yaml").read_text())
    assert load(DATA / "hub-day.yaml") == load()
    assert set(said) == set(DayConfig.model_fields)
    assert set(said["sellers"]) == set(type(load().sellers).model_fields)


def test_sites_have_their_own_connection(write):
    assert load().limit_kw == 72
    assert load(site="caltech").limit_kw == 36
    assert load(write("limit_kw: null"), site="caltech").limit_kw is None
    assert load(write("limit_kw: 50"), site="caltech").limit_kw == 50
    assert load(DATA / "caltech-day.yaml") == load(site="caltech", date="2019-06-12")


def test_what_is_given_beside_the_file_wins(write):
    path = write("date: 2019-06-12\nmechanism: welfare\nsellers: {seed: 3, share: 0.25}")
    config = load(path, date="2019-06-13", mechanism="uniform", seed=7)
    assert (config.date, config.mechanism) == (dt.date(2019, 6, 13), "uniform")
    assert (config.sellers.seed, config.sellers.share) == (7, 0.25)


def test_an_empty_file_is_the_default(write):
    assert load(write("# nothing to change\n")) == load()


def test_a_written_configuration_reads_back():
    config = load(seed=5)
    assert DayConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selers: {share: 1}", "selers: unknown key; did you mean sellers?"),
        ("sellers: {shar: 1}", "sellers.shar: unknown key; did you mean share?"),
        ("colour: red", "colour: unknown key"),
        ("sellers: {share: 1.5}", "sellers.share: must be less than or equal to 1, is 1.5"),
        ("sellers: 3", "sellers: must hold keys and values, is 3"),
        ("sellers: {wear: [0.2, 0.1]}", "sellers.wear: must go from low to high"),
        ("sellers: {wear: [0.2]}", "sellers.wear.1: must be given"),
        ("sellers: {battery_kwh: {40: 0.5}}", "sellers.battery_kwh: must have shares that sum"),
        ("site: mars", "site: must be 'jpl' or 'caltech', is 'mars'"),
        ("date: tomorrow", "date: must be a valid date"),
        ("round_min: 7", "round_min: must be 5, 10, 15, 20, 30 or 60, is 7"),
        ("limit_kw: 0", "limit_kw: must be greater than 0, is 0"),
        ("limit_kw: .nan", "limit_kw: must be a finite number"),
        ("limit_kw: yes", "limit_kw: must not be yes or no"),
        ("feed_in: 0.1", "feed_in: must with all fees be below the cheapest retail price, 0.077"),
        ("lost_load: 0.01", "lost_load: must be at least the dearest retail price, 0.496"),
        (
            "battery: real\nneed: all",
            "need: must be 'delivered' or 'requested', is 'all' (and 1 more)",
        ),
        ("site: jpl\nsite: caltech", "not valid YAML: key 'site' appears twice"),
        ("date: 2019-13-01", "not valid YAML: month must be in 1..12"),
        ("a: [", "not valid YAML: "),
        ("- site", "must hold keys and values, such as 'site: jpl'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_the_key(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_wrong_option_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"^date: must be a valid date"):
        load(date="2019-02-30")


def test_the_schema_describes_every_key():
    published = schema()
    json.dumps(published)
    parts = [published, *published["$defs"].values()]
    for part in parts:
        assert part["additionalProperties"] is False
        for name, field in part["properties"].items():
            assert field.get("description"), name
