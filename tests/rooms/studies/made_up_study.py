"""A study of nothing: coins with a bias, thrown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import Field

from peerwatt.reporting.canvas import CARS, canvas
from peerwatt.reporting.study_page import Section
from peerwatt.studies.estimates import share_of
from peerwatt.studies.files import Task
from peerwatt.studies.study import Conclusion, Parameters, Study, Tables

FILE = """
study: coins
title: Coins
claim: Coins are fair.
source: nobody
parameters: {seed: 3, throws: 30, draws_per_task: 10}
sweep:
  bias: [0.5, 0.9]
scenarios:
  full: {about: all}
  quick: {about: few, parameters: {throws: 20}}
expected:
  fair: {says: Coins are fair., where: ours, paper: 0.5, close: 0.3, expected: [0.3, 0.9]}
"""


class Coins(Parameters):
    """What is thrown."""

    throws: Annotated[int, Field(ge=0, le=1000)] = 10
    """How often."""
    bias: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Chance of heads."""

    sides: tuple[int, ...] = (1, 2)
    """What stands on them."""


def _run(coins: Coins, draws: range) -> Tables:
    rows = []
    for draw in draws:
        value = float(np.random.default_rng([coins.seed, draw]).random())
        rows.append({"bias": coins.bias, "draw": draw, "value": value, "head": value < coins.bias})
    return {"throws": rows}


def _conclude(tables: Mapping[str, pl.DataFrame], coins: Coins) -> Conclusion:
    throws = tables["throws"]

    def draw():  # type: ignore[no-untyped-def]
        with canvas(2.0) as (figure, axes):
            axes.plot(throws["value"], color=CARS)
            return figure

    return Conclusion(
        estimates={"fair": share_of(throws["head"])},
        facts={"throws": throws.height},
        lead=["They <are> thrown."],
        sections=[Section("all", "All of them", ["One & all."], [("values", "Values")])],
        figures={"values": draw},
    )


STUDY = Study(
    name="coins",
    parameters=Coins,
    draws=lambda coins: coins.throws,
    run=_run,
    conclude=_conclude,
)


class CutError(Exception):
    """What ends a run half-way."""


def work(tasks: Sequence[Task], *, cut_after: int | None = None) -> Iterator[tuple[Task, Tables]]:
    """Backwards, as tasks may end in any order."""
    for done, task in enumerate(reversed(tasks)):
        if done == cut_after:
            raise CutError
        point = Coins.model_validate(dict(task.point))
        yield task, _run(point, range(task.first, task.first + task.count))
