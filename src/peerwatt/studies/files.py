"""A study's file: claim, parameters, scenarios, sweep and what is expected; checked throughout.

Knows YAML files and the parameters' models. Knows no results.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Generic

from pydantic import AfterValidator, Field, ValidationError

from peerwatt.simulation.config import ConfigPart, one_line, parse_yaml, suggestion
from peerwatt.studies.study import P, Parameters, Study, StudyError

MOST_POINTS = 2_000
MOST_TASKS = 100_000
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
Scalar = int | float | str
Values = Annotated[list[Scalar], Field(min_length=1, max_length=200)]


def _ascending(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] > band[1]:
        raise ValueError("must go from low to high")
    return band


class Expectation(ConfigPart):
    """A claim of the paper, and what this program is expected to find."""

    says: str
    """The claim, in words."""
    where: str
    """Figure, equation or section."""
    unit: str = ""
    """Of all values."""
    paper: float | None = None
    """The paper's value; null where it prints none."""
    close: Annotated[float, Field(ge=0)] = 0.0
    """How far ours may be from the paper's and still count as the same."""
    expected: Annotated[tuple[float, float], AfterValidator(_ascending)]
    """Where ours lies: a run whose 95 % interval misses this range fails."""
    cannot: str = ""
    """Why it cannot be reproduced, whatever the value; empty where it can."""
    note: str = ""
    """What else to know of the comparison."""


class Scenario(ConfigPart):
    """What a named run changes."""

    about: str
    """For whom or how long it is."""
    parameters: dict[str, Any] = Field(default={})
    """Instead of the file's own."""
    sweep: dict[str, Values] = Field(default={})
    """Instead of the file's own values of these keys."""


class StudyFile(ConfigPart, Generic[P]):
    """One study's file."""

    study: Name
    """Which program it is for."""
    title: str
    """What is studied."""
    claim: str
    """What the paper says."""
    source: str
    """The paper, with its DOI."""
    parameters: P
    """The same for all points of the sweep."""
    sweep: dict[str, Values] = Field(default={})
    """Parameters with several values: every combination is a point."""
    scenarios: Annotated[dict[Name, Scenario], Field(min_length=1)]
    """Named runs; the first one is meant where none is named."""
    expected: dict[Name, Expectation]
    """By claim."""


@dataclass(frozen=True)
class Task:
    """Some draws of one point of the sweep."""

    study: str
    point: Mapping[str, Any]
    first: int
    count: int

    def key(self, code: str) -> str:
        """The same for the same draws of the same point by the same `code`, and for no other."""
        what = [self.study, self.point, self.first, self.count, code]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """A scenario with all that was set beside it, down to its tasks."""

    study: Study[Any]
    file: StudyFile[Any]
    scenario: str
    base: Parameters
    sweep: Mapping[str, Sequence[Scalar]]

    @property
    def config(self) -> dict[str, Any]:
        """All that the results follow from, beside the code."""
        return {
            "study": self.study.name,
            "scenario": self.scenario,
            "parameters": self.base.model_dump(mode="json"),
            "sweep": {key: list(values) for key, values in self.sweep.items()},
        }

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Point by point, in the order of the sweep's keys; raises StudyError for too many."""
        found: list[Task] = []
        for point in self._points():
            draws, step = self.study.draws(point), point.draws_per_task
            if len(found) + draws // step > MOST_TASKS:
                raise StudyError(f"sweep: makes more than {MOST_TASKS:,} tasks")
            values = point.model_dump(mode="json", exclude={"draws_per_task"})
            for first in range(0, draws, step):
                count = min(step, draws - first)
                found.append(Task(self.study.name, values, first, count))
        return tuple(found)

    def _points(self) -> list[Any]:
        if math.prod(map(len, self.sweep.values())) > MOST_POINTS:
            raise StudyError(f"sweep: makes more than {MOST_POINTS:,} points")
        given = self.base.model_dump()
        model = type(self.base)
        return [
            _validated(model, given | dict(zip(self.sweep, values, strict=True)), "sweep: ")
            for values in product(*self.sweep.values())
        ]


def read_file(study: Study[P], given: Mapping[str, Any], where: str) -> StudyFile[P]:
    """A file's keys and values, checked down to the points of every scenario.

    Raises StudyError with one line that begins with `where` and names the first wrong key.
    """
    model = StudyFile[study.parameters]  # type: ignore[name-defined]
    try:
        file: StudyFile[P] = model.model_validate(dict(given))
    except ValidationError as error:
        raise StudyError(f"{where}: {one_line(error, model)}") from None
    for name in file.scenarios:
        try:
            _ = plan(study, file, name, {}).tasks
        except StudyError as error:
            raise StudyError(f"{where}: scenarios.{name}: {error}") from None
    return file


def plan(
    study: Study[P], file: StudyFile[P], scenario: str | None, settings: Mapping[str, Any]
) -> Plan:
    """The named scenario, or the first, with these settings above all else.

    A setting of a swept key replaces its values, by one or by a list; a list sweeps any other key
    that takes one value. Raises StudyError with one
    line that names the key.
    """
    name = next(iter(file.scenarios)) if scenario is None else scenario
    if name not in file.scenarios:
        known = ", ".join(file.scenarios)
        raise StudyError(f"--scenario: {file.study} has no {name!r}, but {known}")
    chosen = file.scenarios[name]
    sweep = dict(file.sweep) | chosen.sweep
    known_keys = list(study.parameters.model_fields)
    for key in sweep:
        if key not in known_keys:
            raise StudyError(f"sweep.{key}: unknown key{suggestion(key, known_keys)}")
    changed = dict(chosen.parameters)
    for key, value in settings.items():
        if key not in known_keys:
            raise StudyError(f"--set {key}: unknown key{suggestion(key, known_keys)}")
        is_list = isinstance(getattr(file.parameters, key), tuple)
        if key in sweep or (isinstance(value, list) and not is_list):
            sweep[key] = value if isinstance(value, list) else [value]
            if not sweep[key]:
                raise StudyError(f"--set {key}: must have a value")
        else:
            changed[key] = value
    base = _validated(study.parameters, file.parameters.model_dump() | changed, "")
    made = Plan(study, file, name, base, sweep)
    _ = made.tasks
    return made


def schema_of(study: Study[Any]) -> dict[str, Any]:
    """The JSON Schema of a study's file."""
    model = StudyFile[study.parameters]  # type: ignore[name-defined]
    found: dict[str, Any] = model.model_json_schema()
    return found


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """What `--set key=value` says, values as in YAML; raises StudyError."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise StudyError(f"--set: must be key=value, is {word!r}")
        if key in found:
            raise StudyError(f"--set {key}: given twice")
        found[key] = parse_yaml(value, f"--set {key}")
    return found


def _validated(model: type[P], given: Mapping[str, Any], where: str) -> P:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise StudyError(where + one_line(error, model)) from None
