"""One target under Atheris: its inputs are bred in a folder until time is over or one is a finding.

Knows Atheris, which knows coverage of Python code alone. Most decoders are compiled, so each new
answer of a target counts as coverage too. Started by `fuzz.py`, with the options of libFuzzer.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from random import Random

import atheris  # type: ignore[import-untyped]
from fuzz_mutate import mutated

with atheris.instrument_imports(include=["peerwatt", "yaml"]):
    from fuzz_targets import TARGETS

ANSWERS = 1 << 12
BY_STRUCTURE = 0.7
"""Share of the mutations that know msgpack and JSON; the others know bytes."""


def watched(name: str) -> Callable[[bytes], None]:
    """A target of which every new answer counts as coverage."""
    target = TARGETS[name]
    answers = [atheris._reserve_counter() for _ in range(ANSWERS)]

    def one_input(data: bytes) -> None:
        for answer in target(data).split("\n"):
            atheris._trace_branch(answers[zlib.crc32(answer.encode()) % ANSWERS])

    return one_input


def mutator(data: bytes, max_size: int, seed: int) -> bytes:
    chance = Random(seed)
    changed = mutated(data, chance) if chance.random() < BY_STRUCTURE else None
    if changed is None or len(changed) > max_size:
        return bytes(atheris.Mutate(data, max_size))
    return changed


if __name__ == "__main__":
    name = sys.argv[1]
    own = {} if name == "ledger" else {"custom_mutator": mutator}
    atheris.Setup([sys.argv[0], *sys.argv[2:]], watched(name), **own)
    atheris.Fuzz()
