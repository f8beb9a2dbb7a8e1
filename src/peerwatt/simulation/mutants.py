"""Mutants: one bug at a time, planted in one module, to see whether the simulation finds it.

Knows the table `mutants.toml` and how Python imports; `python -m` this module is the fresh process
in which a bug lives. Nothing is written: the module's source is changed as it is imported.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import msgspec

PACKAGE = "peerwatt"
FIRST_SEED = 1
STARTUP_S, SLOWEST_BLOCK_S = 30.0, 0.1


class MutantError(ValueError):
    """A mutant that cannot be planted, or a name that is none's."""


class Mutant(NamedTuple):
    """A bug: in which function (or class) of which module what stands instead of what, and what it
    breaks. `before` stands there exactly once."""

    name: str
    module: str
    where: str
    before: str
    after: str
    breaks: str

    def plant(self, source: str) -> str:
        """The module's source with the bug in it; MutantError where `before` is not in it once."""
        start, end = 0, len(source)
        for name in filter(None, self.where.split(".")):
            below, size = _extent(source[start:end], name)
            start, end = start + below, start + below + size
        inside = source[start:end]
        found = inside.count(self.before)
        if found != 1:
            place = f"{self.module}: {self.where or 'the module'}"
            raise MutantError(f"mutant {self.name}: {place} holds {found} times: {self.before!r}")
        planted = inside.replace(self.before, self.after)
        return source[:start] + planted + source[end:]


def _extent(source: str, name: str) -> tuple[int, int]:
    """Where a function or class begins, and how long it is: to the next line of its depth."""
    begin = re.search(rf"^( *)(?:def|class) {name}\b", source, re.MULTILINE)
    if begin is None:
        return 0, 0
    # Only what closes the brackets of its own first line may stand as far left as it does.
    end = re.compile(rf"^ {{0,{len(begin[1])}}}[^\s)\]]", re.MULTILINE).search(source, begin.end())
    return begin.start(), (end.start() if end else len(source)) - begin.start()


@cache
def mutants() -> tuple[Mutant, ...]:
    """The table."""
    text = (files(PACKAGE) / "simulation" / "mutants.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["mutant"]
    return tuple(Mutant(**{"where": "", **row}) for row in rows)


def named(name: str) -> Mutant:
    """The mutant with this name; MutantError if there is none."""
    for mutant in mutants():
        if mutant.name == name:
            return mutant
    raise MutantError(f"only: there is no mutant '{name}'")


def source_of(module: str) -> str:
    """The source of one of this package's modules, which is not run."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MutantError("the package has no source")
    path = Path(spec.submodule_search_locations[0], *module.split(".")).with_suffix(".py")
    return path.read_text(encoding="utf-8")


class Planter(MetaPathFinder):
    """Finds one module, and gives it the source with the bug."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"{PACKAGE}.{mutant.module}"
        if self._name in sys.modules:
            raise MutantError(f"mutant {mutant.name}: its module is imported already")

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The spec of the module with the bug; none of any other."""
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Planted(fullname, spec.origin, self._mutant)
        return spec


class _Planted(SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: neither read from a cache nor kept in one."""
        source = Path(self.path).read_text(encoding="utf-8")
        return compile(self._mutant.plant(source), self.path, "exec", dont_inherit=True)


class Finding(msgspec.Struct, frozen=True):
    """How a mutant fared: which checker found it and what it said, on which seed, after how many
    blocks of all seeds so far; `checker` empty where it survived."""

    mutant: str
    checker: str = ""
    what: str = ""
    seed: int = 0
    blocks: int = 0

    @property
    def found(self) -> bool:
        """Whether a checker found it."""
        return bool(self.checker)


def hunt(name: str, seeds: int, blocks: int) -> Finding:
    """Plant a bug in this process (with no name, none), and attack until a checker finds it."""
    if name:
        sys.meta_path.insert(0, Planter(named(name)))
    from peerwatt.simulation.faults import run_seed

    seen = 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        outcome = run_seed(seed, blocks)
        seen += outcome.blocks
        if outcome.failure:
            checker, _, what = outcome.failure.partition(": ")
            return Finding(mutant=name, checker=checker, what=what, seed=seed, blocks=seen)
    return Finding(mutant=name, blocks=seen)


def hunt_all(names: Sequence[str], seeds: int, blocks: int, jobs: int = 1) -> Iterator[Finding]:
    """Hunt mutants, each in a process of its own, so many at once; findings in their order.

    Raises:
        MutantError: a mutant cannot be planted, or a checker complains where there is no bug.
    """
    for name in names:
        mutant = named(name)
        mutant.plant(source_of(mutant.module))
    sound = _apart("", seeds, blocks)
    if sound.found:
        raise MutantError(f"without a bug, seed {sound.seed}: {sound.checker}: {sound.what}")
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda name: _apart(name, seeds, blocks), names)


def _apart(name: str, seeds: int, blocks: int) -> Finding:
    command = [sys.executable, "-m", __spec__.name, name, str(seeds), str(blocks)]
    limit_s = STARTUP_S + seeds * blocks * SLOWEST_BLOCK_S
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Finding(mutant=name, checker="time", what="it does not end")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Finding(mutant=name, checker="no start", what=" ".join(last))
    return msgspec.json.decode(done.stdout, type=Finding)


def main(name: str, seeds: str, blocks: str) -> None:
    """Print the finding as one line of JSON."""
    found = hunt(name, int(seeds), int(blocks))
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
