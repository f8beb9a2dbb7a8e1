"""The studies that there are, by name, and their files.

Knows each study's module. Loads only the one that is asked for.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from peerwatt.simulation.config import parse_yaml, read_yaml, suggestion
from peerwatt.studies.files import StudyFile, Task, read_file
from peerwatt.studies.study import Study, StudyError, Tables

FOLDERS = {"petcon": "petcon", "proof-of-work": "proof_of_work", "v2v": "v2v"}
NAMES = tuple(FOLDERS)


def study_named(name: str) -> Study[Any]:
    """Raises StudyError for a name that is none."""
    match name:
        case "petcon":
            from peerwatt.studies.petcon.study import STUDY as PETCON

            return PETCON
        case "proof-of-work":
            from peerwatt.studies.proof_of_work.study import STUDY as PROOF_OF_WORK

            return PROOF_OF_WORK
        case "v2v":
            from peerwatt.studies.v2v.study import STUDY as V2V

            return V2V
    near = suggestion(name, NAMES)
    raise StudyError(f"study: no {name!r}, but {', '.join(NAMES)}{near}")


def text_of(name: str) -> str:
    """The file that comes with a study."""
    study_named(name)
    path = files("peerwatt.studies") / FOLDERS[name] / "study.yaml"
    return path.read_text(encoding="utf-8")


def opened(name: str) -> tuple[Study[Any], StudyFile[Any]]:
    """A study and its file: by its name, or from a file of one's own that says which it is for.

    Raises StudyError with one line.
    """
    if name.endswith((".yaml", ".yml")):
        given: Any = read_yaml(Path(name), "'study: petcon'")
        if not isinstance(given.get("study"), str):
            raise StudyError(f"{name}: study: must name one of {', '.join(NAMES)}")
        try:
            study = study_named(given["study"])
        except StudyError as error:
            raise StudyError(f"{name}: {error}") from None
    else:
        study = study_named(name)
        given = parse_yaml(text_of(name), name)
    return study, read_file(study, given, name)


def run_task(task: Task) -> Tables:
    """A task's rows, wherever this process runs."""
    study = study_named(task.study)
    point = study.parameters.model_validate(dict(task.point))
    return study.run(point, range(task.first, task.first + task.count))
