"""Writes the folder of a run, whole or not at all, and seals it with a signed manifest.

Knows files and their formats. Knows nothing of what they mean. Equal contents give equal bytes,
so that two runs of one seed can be compared file by file.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from peerwatt.records.signing import SigningKey
from peerwatt.reporting.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    canonical_json,
    describe,
    seal,
)

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

T = TypeVar("T")
DPI = 150
ROWS_PER_GROUP = 1 << 16
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")


class RunFolderError(ValueError):
    """A run's folder that cannot be written as asked: one line that names it and the reason."""


class RunFolder:
    """A folder that appears at `path` complete and signed, or not at all.

    Used as a context manager, in which `finish` or, unsigned, `finish_described` is the last
    call. Until then files grow in a hidden folder beside the target, which an exception removes
    with all that is in it. Names are relative, with `/` between folders. What is `signed=False`
    is kept out of the manifest's hashes: timings, which differ between equal runs.

    Raises RunFolderError for a target that exists and is no empty folder, a parent that cannot
    be written, a name that is taken or malformed, and values that have no place in a file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        self._given = Path(path)
        self._unsigned: list[str] = []
        self._building: Path | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        self.check_target()
        try:
            self._make_parents()
            self._building = self._make_hidden()
        except OSError as error:
            self._discard()
            raise self._refusal(f"cannot be written: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._building is None:
            return
        self._discard()
        if kind is None:
            raise self._refusal("was not finished, so nothing of it is kept")

    def path_of(self, name: str, *, signed: bool = True) -> Path:
        """Where to write a file or a folder of this name oneself, before `finish`."""
        if self._building is None:
            raise self._refusal("is not open")
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise self._refusal(f"cannot hold a file named {name!r}")
        path = self._building / name
        if path.exists() or name in self._unsigned:
            raise self._refusal(f"already holds {name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self._refusal(f"cannot hold {name}: a file has its folder's name") from None
        if not signed:
            self._unsigned.append(name)
        return path

    def write_bytes(self, name: str, data: bytes, *, signed: bool = True) -> None:
        """A file of these bytes."""
        self.path_of(name, signed=signed).write_bytes(data)

    def write_text(self, name: str, text: str, *, signed: bool = True) -> None:
        """A file of this text in UTF-8, its line ends as they are."""
        self.write_bytes(name, text.encode(), signed=signed)

    def write_json(self, name: str, value: Any, *, signed: bool = True) -> None:
        """Canonical JSON: sorted keys, two spaces, a newline at the end; NaN is refused."""
        try:
            data = canonical_json(value)
        except (TypeError, ValueError) as error:
            raise self._refusal(f"cannot hold {name}: {error}") from None
        self.write_bytes(name, data, signed=signed)

    def write_table(self, name: str, table: polars.DataFrame) -> None:
        """A Parquet file. Equal tables give equal bytes, however they came about."""
        buffer = io.BytesIO()
        table.rechunk().write_parquet(
            buffer, compression="zstd", compression_level=3, row_group_size=ROWS_PER_GROUP
        )
        self.write_bytes(name, buffer.getvalue())

    def write_figure(self, name: str, figure: Figure) -> None:
        """A PNG or, if the name ends so, an SVG file, without a date or a maker's version."""
        from matplotlib import rc_context

        kind = Path(name).suffix.removeprefix(".")
        metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
        if kind not in metadata:
            raise self._refusal(f"cannot hold {name}: a figure's name ends in .png or .svg")
        buffer = io.BytesIO()
        with rc_context({"svg.hashsalt": "peerwatt"}):
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata[kind])
        self.write_bytes(name, buffer.getvalue())

    def written(self, name: str) -> bytes:
        """What was written under this name."""
        if self._building is None:
            raise self._refusal("is not open")
        return (self._building / name).read_bytes()

    def finish(self, key: SigningKey, chain_id: str) -> Manifest:
        """Seal all files and put the folder in its place, in one step; nothing is written after."""
        return self._put_in_place(lambda built: seal(built, key, chain_id, self._unsigned))

    def finish_described(self, about: Mapping[str, Any]) -> None:
        """Like `finish`, with a manifest that says what this is and that nobody signs."""
        self._put_in_place(lambda built: describe(built, about, self._unsigned))

    def _put_in_place(self, seal_it: Callable[[Path], T]) -> T:
        if self._building is None:
            raise self._refusal("is not open")
        try:
            manifest = seal_it(self._building)
        except ManifestError as error:
            raise self._refusal(f"cannot be sealed: {error}") from None
        try:
            self._building.rename(self.path)
        except OSError as error:
            raise self._refusal(f"cannot be put in place: {error.strerror}") from None
        self._building = None
        return manifest

    def check_target(self) -> None:
        """Raises RunFolderError for a target that cannot become this folder. The rename in
        `finish` can replace an empty folder, but no mount and no one's home."""
        try:
            if not os.path.lexists(self.path):
                return
            if not self.path.is_dir():
                raise self._refusal("exists and is not a folder")
            if any(self.path.iterdir()):
                raise self._refusal("exists and is not empty")
            if self.path.is_mount() or self.path == Path.cwd():
                raise self._refusal("is in use as a mount or the current folder: name one in it")
        except OSError as error:
            raise self._refusal(f"cannot be read: {error.strerror}") from None

    def _make_parents(self) -> None:
        missing = [parent for parent in self.path.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir()
            self._made.append(parent)

    def _make_hidden(self) -> Path:
        """A new folder beside the target, on one file system with it."""
        attempt = 0
        while True:
            hidden = self.path.with_name(f".{self.path.name}.partial-{attempt}")
            try:
                hidden.mkdir()
            except FileExistsError:
                attempt += 1
            else:
                return hidden

    def _discard(self) -> None:
        if self._building is not None:
            shutil.rmtree(self._building, ignore_errors=True)
            self._building = None
        while self._made:
            try:
                self._made.pop().rmdir()
            except OSError:  # someone else has put something there since
                self._made.clear()

    def _refusal(self, why: str) -> RunFolderError:
        return RunFolderError(f"{self._given}: {why}")
