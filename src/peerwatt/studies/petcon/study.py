"""The study: which draws each part makes, and what all come to.

Knows the parts. Every market follows from the seed and the draw's number.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.studies.petcon.auctions import auction, evolution, rival
from peerwatt.studies.petcon.figures import figures_of
from peerwatt.studies.petcon.findings import estimates
from peerwatt.studies.petcon.hybrid import hybrid
from peerwatt.studies.petcon.lots import lots
from peerwatt.studies.petcon.parameters import Petcon, draws_of
from peerwatt.studies.petcon.secrets_told import secrets_told
from peerwatt.studies.petcon.words import lead, sections
from peerwatt.studies.study import Conclusion, Row, Study, Tables


def run(petcon: Petcon, draws: range) -> Tables:
    """The tables of one part."""
    match petcon.experiment:
        case "auction":
            return {"auctions": [auction(petcon, number) for number in draws]}
        case "evolution":
            return {"turns": [row for number in draws for row in evolution(petcon, number)]}
        case "rival":
            return {"rival": [row for number in draws for row in rival(petcon, number)]}
        case "hybrid":
            return {"hybrid": [row for number in draws for row in hybrid(petcon, number)]}
        case "secrets":
            found: dict[str, list[Row]] = {"secrets": [], "noise": []}
            for number in draws:
                for name, rows in secrets_told(petcon, number).items():
                    found[name] += rows
            return found
        case "lots":
            return {"lots": lots(petcon)}


def conclude(tables: Mapping[str, pl.DataFrame], petcon: Petcon) -> Conclusion:
    """Each claim's estimate, figures and words, as far as the parts were run."""
    found = estimates(tables, petcon)
    return Conclusion(
        estimates=found,
        facts={"means": {name: _means(table) for name, table in tables.items()}},
        lead=lead(tables, found),
        sections=sections(tables, found, petcon),
        figures=figures_of(tables, petcon),
    )


def _means(table: pl.DataFrame) -> dict[str, float | None]:
    """Of every column that has one."""
    numbers = table.select(pl.selectors.numeric() | pl.selectors.boolean())
    return numbers.mean().row(0, named=True)


STUDY = Study(name="petcon", parameters=Petcon, draws=draws_of, run=run, conclude=conclude)
