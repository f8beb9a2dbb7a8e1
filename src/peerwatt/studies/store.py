"""Keeps what tasks came to until all are done, so that a run that was cut off goes on.

Knows files. Knows nothing of what they hold. A task's file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from typing import cast

from peerwatt.reporting.manifest import canonical_json
from peerwatt.studies.study import StudyError, Tables

ROOMS = ("mechanisms", "studies")
"""What a task's result follows from, beside its parameters."""


class TaskStore:
    """A hidden folder beside the results' own, one file a task."""

    def __init__(self, out: Path) -> None:
        """Raises StudyError where nothing can be written beside `out`."""
        target = out.resolve()
        self._folder = target.with_name(f".{target.name}.tasks")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError(0, "permission denied")
        except OSError as error:
            raise StudyError(f"{out}: cannot be written: {error.strerror}") from None

    def get(self, key: str) -> Tables | None:
        """What was kept under this key; nothing if that cannot be read."""
        try:
            return cast(Tables, json.loads((self._folder / key).read_bytes()))
        except (OSError, ValueError):
            return None

    def put(self, key: str, tables: Tables) -> Tables:
        """Keeps it, and gives it as `get` will."""
        data = canonical_json(tables)
        path = self._folder / key
        # Two runs of one study may write the same task at once.
        partial = path.with_name(f"{key}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(path)
        return cast(Tables, json.loads(data))

    def remove(self) -> None:
        """Forgets everything."""
        shutil.rmtree(self._folder, ignore_errors=True)


def code_sha256() -> str:
    """The fingerprint of all code that results follow from: other code resumes nothing."""
    hasher = hashlib.sha256()
    for room in ROOMS:
        root = Path(str(files(f"peerwatt.{room}")))
        for path in sorted(root.rglob("*.py")):
            hasher.update(path.relative_to(root).as_posix().encode() + b"\0")
            hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()
