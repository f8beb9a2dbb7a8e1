"""What a study is: its parameters, its draws, and what it concludes from their tables.

Knows no study in particular, no file and no process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field

from peerwatt.reporting.study_page import Section
from peerwatt.simulation.config import ConfigError, ConfigPart
from peerwatt.studies.estimates import Estimate

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure


class StudyError(ConfigError):
    """A study that cannot be run as asked: one line that names the key and the reason."""


class Parameters(ConfigPart):
    """What every study can be told; each one adds its own."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """From which every draw follows, together with the draw's own number."""
    draws_per_task: Annotated[int, Field(ge=1, le=100_000)] = 50
    """How many draws a task makes, which is what an interruption costs at most; it changes no
    result."""


P = TypeVar("P", bound=Parameters)
Row = dict[str, Any]
Tables = dict[str, list[Row]]
"""What draws come to: rows by the name of their table, of text, whole numbers, floats, None."""


@dataclass(frozen=True)
class Conclusion:
    """What the tables of all draws come to."""

    estimates: Mapping[str, Estimate]
    """By claim; a claim that these tables cannot judge is left out."""
    facts: Mapping[str, Any]
    """Further numbers for the summary."""
    lead: Sequence[str]
    """The page's first words."""
    sections: Sequence[Section]
    figures: Mapping[str, Callable[[], Figure]]


@dataclass(frozen=True)
class Study(Generic[P]):
    """One study. `run` makes some draws of one point of the sweep, by their numbers, and gives the
    same rows for a draw whatever others it is asked for."""

    name: str
    parameters: type[P]
    draws: Callable[[P], int]
    """How many a point of the sweep takes."""
    run: Callable[[P, range], Tables]
    conclude: Callable[[Mapping[str, pl.DataFrame], P], Conclusion]
    """From all tables, and the parameters as they are where nothing is swept."""
