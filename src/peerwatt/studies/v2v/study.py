"""The study: which draws each part makes, and what all come to.

Knows the parts. Every market follows from the seed and the draw's number.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.studies.study import Conclusion, Study, Tables
from peerwatt.studies.v2v.figures import figures_of
from peerwatt.studies.v2v.findings import estimates
from peerwatt.studies.v2v.lies import lies
from peerwatt.studies.v2v.parameters import V2V, draws_of
from peerwatt.studies.v2v.rounds import rounds
from peerwatt.studies.v2v.sizes import sizes
from peerwatt.studies.v2v.words import lead, sections


def run(v2v: V2V, draws: range) -> Tables:
    """The table of one part."""
    match v2v.experiment:
        case "rounds":
            return {"rounds": [row for number in draws for row in rounds(v2v, number)]}
        case "lies":
            return {"lies": [lies(v2v, number) for number in draws]}
        case "sizes":
            return {"sizes": [row for number in draws for row in sizes(v2v, number)]}


def conclude(tables: Mapping[str, pl.DataFrame], v2v: V2V) -> Conclusion:
    """Each claim's estimate, figures and words, as far as the parts were run."""
    found = estimates(tables, v2v)
    return Conclusion(
        estimates=found,
        facts={"rows": {name: table.height for name, table in tables.items()}},
        lead=lead(found),
        sections=sections(tables, found, v2v),
        figures=figures_of(tables, v2v),
    )


STUDY = Study(name="v2v", parameters=V2V, draws=draws_of, run=run, conclude=conclude)
