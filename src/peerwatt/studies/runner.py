"""Runs a study's plan and writes its folder: tables, figures, verdicts, page, manifest.

Knows plans, the store of tasks and run folders. Knows no study. What is kept of a run that was cut
off is used by the next one of the same tasks; the folder itself appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from peerwatt import __version__
from peerwatt.reporting.manifest import canonical_json
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.reporting.study_page import StudyPage, study_page
from peerwatt.studies.files import Plan, Task
from peerwatt.studies.store import TaskStore, code_sha256
from peerwatt.studies.study import Conclusion, StudyError, Tables
from peerwatt.studies.verdicts import Verdict, Word, judge

PAGE = "report.html"
LIBRARIES = ("matplotlib", "numpy", "polars")
Heard = Callable[[int, int], None]
WorkOn = Callable[[Sequence[Task]], Iterable[tuple[Task, Tables]]]


@dataclass(frozen=True)
class Finished:
    """A study that was run."""

    verdicts: Sequence[Verdict]
    resumed: int
    """How many of its tasks an earlier run had done."""
    tasks: int

    @property
    def as_expected(self) -> bool:
        return not any(verdict.missed for verdict in self.verdicts)


def run_plan(plan: Plan, out: Path, work_on: WorkOn, heard: Heard) -> Finished:
    """Do what is left of the plan's tasks, conclude, and write `out`.

    Raises StudyError or RunFolderError with one line, before any work, for a folder that cannot
    be written.
    """
    RunFolder(out).check_target()
    started_s = time.perf_counter()
    code = code_sha256()
    store = TaskStore(out)
    done: dict[str, Tables] = {}
    left: dict[str, Task] = {}
    for task in plan.tasks:
        key = task.key(code)
        kept = store.get(key)
        if kept is None:
            left[key] = task
        else:
            done[key] = kept
    resumed = len(done)
    heard(len(done), len(plan.tasks))
    for task, tables in work_on(list(left.values())):
        key = task.key(code)
        done[key] = store.put(key, tables)
        heard(len(done), len(plan.tasks))
    worked_s = time.perf_counter() - started_s
    frames = _frames((task.point, done[task.key(code)]) for task in plan.tasks)
    conclusion = plan.study.conclude(frames, plan.base)
    verdicts = judge(plan.file.expected, conclusion.estimates)
    with RunFolder(out) as folder:
        _write(folder, plan, frames, conclusion, verdicts)
        timings = {"tasks_s": round(worked_s, 3), "resumed": resumed, "tasks": len(plan.tasks)}
        folder.write_json("timings.json", timings, signed=False)
        folder.finish_described(_about(plan, code))
    store.remove()
    return Finished(verdicts, resumed, len(plan.tasks))


def _frames(
    parts: Iterable[tuple[Mapping[str, Any], Tables]],
) -> dict[str, pl.DataFrame]:
    """All tables, the rows in the order of the tasks and, within one, in its own."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for _, tables in parts:
        for name, some in tables.items():
            rows.setdefault(name, []).extend(some)
    return {
        name: pl.DataFrame(some, infer_schema_length=None) for name, some in sorted(rows.items())
    }


def _write(
    folder: RunFolder,
    plan: Plan,
    frames: Mapping[str, pl.DataFrame],
    conclusion: Conclusion,
    verdicts: Sequence[Verdict],
) -> None:
    folder.write_json("config.json", plan.config)
    for name, frame in frames.items():
        folder.write_table(f"tables/{name}.parquet", frame)
    images = {}
    for name, draw in conclusion.figures.items():
        figure = draw()
        for kind in ("png", "svg"):
            folder.write_figure(f"plots/{name}.{kind}", figure)
        images[name] = folder.written(f"plots/{name}.svg")
    summary = {
        "study": plan.study.name,
        "scenario": plan.scenario,
        "claims": {verdict.claim: verdict.as_json() for verdict in verdicts},
        "facts": conclusion.facts,
    }
    folder.write_json("summary.json", summary)
    folder.write_text(PAGE, study_page(_page(plan, conclusion, verdicts), images))


def _page(plan: Plan, conclusion: Conclusion, verdicts: Sequence[Verdict]) -> StudyPage:
    words = [verdict.word for verdict in verdicts]
    counts = [(str(word), str(words.count(word))) for word in Word if word in words]
    return StudyPage(
        title=plan.file.title,
        subtitle=f"{plan.file.source} · scenario {plan.scenario} · seed {plan.base.seed}",
        lead=[plan.file.claim, *conclusion.lead],
        counts=counts,
        claims=[verdict.row() for verdict in verdicts],
        sections=conclusion.sections,
        footer=[
            f"peerwatt {__version__}: peerwatt study run {plan.study.name} --scenario "
            f"{plan.scenario}. All settings stand in config.json, all draws in tables/, and the "
            "hash of every file in manifest.json. The same seed gives the same bytes.",
        ],
    )


def _about(plan: Plan, code: str) -> dict[str, Any]:
    """What the results follow from."""
    versions = {"peerwatt": __version__, "python": platform.python_version()}
    return {
        "study": plan.study.name,
        "scenario": plan.scenario,
        "seed": plan.base.seed,
        "config_sha256": hashlib.sha256(canonical_json(plan.config)).hexdigest(),
        "code_sha256": code,
        "versions": versions | {name: version(name) for name in LIBRARIES},
    }


def check_jobs(jobs: int, cluster: str | None) -> None:
    """Raises StudyError where both are asked for."""
    if cluster is not None and jobs != 1:
        raise StudyError("--jobs: goes with this machine alone, not with --cluster")
