"""A study's file is checked to its last point, and refused in one line that names the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made_up_study
import pytest

from peerwatt.simulation.config import ConfigError
from peerwatt.studies.catalogue import NAMES, opened, study_named
from peerwatt.studies.files import Plan, plan, read_file, schema_of, settings_of
from peerwatt.studies.study import StudyError

Planned = Callable[..., Plan]


def test_every_study_that_comes_with_peerwatt_can_be_planned() -> None:
    for name in NAMES:
        study, file = opened(name)
        assert file.study == study.name == name
        assert "quick" in file.scenarios
        for scenario in file.scenarios:
            assert plan(study, file, scenario, {}).tasks


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_documented_in_the_schema(name: str) -> None:
    parameters = study_named(name).parameters.model_json_schema()["properties"]
    assert not [key for key, value in parameters.items() if not value.get("description")]
    assert {"parameters", "sweep", "scenarios", "expected"} <= set(
        schema_of(study_named(name))["properties"]
    )


def test_tasks_cut_the_draws_of_every_point(planned: Planned) -> None:
    tasks = planned().tasks
    assert [(task.point["bias"], task.first, task.count) for task in tasks] == [
        (bias, first, 10) for bias in (0.5, 0.9) for first in (0, 10, 20)
    ]
    assert [task.count for task in planned(throws=13, bias=0.1).tasks] == [10, 3]


def test_the_first_scenario_is_meant_where_none_is_named(planned: Planned) -> None:
    assert planned().scenario == "full"
    assert planned("quick").base.throws == 20


def test_a_setting_wins_over_the_scenario(planned: Planned) -> None:
    assert planned("quick", throws=7).base.throws == 7
    assert planned("quick", bias=[0.2, 0.3, 0.4]).sweep == {"bias": [0.2, 0.3, 0.4]}
    assert planned("quick", bias=0.2).sweep == {"bias": [0.2]}
    assert planned("quick", sides=[3, 4]).base.sides == (3, 4)
    assert planned(seed=[1, 2]).sweep == {"bias": [0.5, 0.9], "seed": [1, 2]}


def test_a_tasks_key_follows_from_all_that_its_rows_follow_from(planned: Planned) -> None:
    keys = [task.key("a") for task in planned().tasks]
    assert len(set(keys)) == len(keys)
    assert keys == [task.key("a") for task in planned().tasks]
    assert not set(keys) & {task.key("b") for task in planned().tasks}
    assert not set(keys) & {task.key("a") for task in planned(seed=4).tasks}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": {"bias": 2}}, "parameters.bias: must be less than or equal to 1, is 2"),
        ({"parameters": {"bais": 0.5}}, "parameters.bais: unknown key; did you mean bias?"),
        ({"parameters": {"throws": True}}, "parameters.throws: must not be yes or no"),
        ({"sweep": {"bias": [0.5, 7]}}, "sweep: bias: must be less than or equal to 1, is 7"),
        ({"sweep": {"bais": [0.5]}}, "sweep.bais: unknown key; did you mean bias?"),
        ({"sweep": {"bias": []}}, "sweep.bias: must have at least 1 item"),
        ({"sweep": {"throws": list(range(100)), "seed": list(range(200))}}, "2,000 points"),
        (
            {
                "parameters": {"draws_per_task": 1, "throws": 1000},
                "sweep": {"seed": list(range(200))},
            },
            "sweep: makes more than 100,000 tasks",
        ),
        ({"scenarios": {}}, "scenarios: must have at least 1 item"),
        (
            {"scenarios": {"few": {"about": "", "parameters": {"throws": -1}}}},
            "scenarios.few: throws: must be greater than or equal to 0, is -1",
        ),
        (
            {"expected": {"fair": {"says": "", "where": "", "expected": [2, 1]}}},
            "expected.fair.expected: must go from low to high",
        ),
        ({"claims": {}}, "claims: unknown key"),
    ],
)
def test_a_wrong_file_is_one_line(
    given: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as refused:
        read_file(made_up_study.STUDY, given | change, "mine.yaml")
    assert str(refused.value).startswith("mine.yaml: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("scenario", "settings", "words"),
    [
        ("slow", {}, "--scenario: coins has no 'slow', but full, quick"),
        (None, {"bais": 1}, "--set bais: unknown key; did you mean bias?"),
        (None, {"throws": "many"}, "throws: must be a valid integer"),
        (None, {"bias": []}, "--set bias: must have a value"),
        (None, {"bias": [2]}, "sweep: bias: must be less than or equal to 1, is 2"),
    ],
)
def test_a_wrong_request_is_one_line(
    planned: Planned, scenario: str | None, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as refused:
        planned(scenario, **settings)
    assert str(refused.value).startswith(words)


def test_settings_are_yaml() -> None:
    assert settings_of(["a=1", "b=[1, 2]", "c=x", "d=1e-3"]) == {
        "a": 1,
        "b": [1, 2],
        "c": "x",
        "d": "1e-3",
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a"], "--set: must be key=value, is 'a'"),
        (["=1"], "--set: must be key=value, is '=1'"),
        (["a=1", "a=2"], "--set a: given twice"),
        (["a=[1"], "--set a: not valid YAML"),
    ],
)
def test_a_setting_that_is_none_is_one_line(words: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(words)
    assert str(refused.value).startswith(why)
