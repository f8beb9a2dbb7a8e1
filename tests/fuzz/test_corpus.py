"""Everything the fuzzers have learned, run again: no input of a corpus raises, and no old finding.

Needs no fuzzer. A finding stands in findings/TARGET/, under a name that says what it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_seeds import seeds
from fuzz_targets import CORPUS, FINDINGS, TARGETS, findings, keep, kept, smallest

MAX_CORPUS_BYTES = 1 << 20
MAX_INPUTS = 1_500
GOOD = {
    "genesis": "started",
    "message": "Tick: decoded",
    "transaction": "PublishLimits: accepted",
    "block": "kept",
    "header": "SignedHeader: (True, 32)",
    "witness": "WitnessSignature: True",
    "reading": "SignedReading: True",
    "proof_of_value": "ProvedValue: True",
    "proof_of_item": "ProvedItem: True",
    "receipt": "sound: True",
    "chain_files": "2 of Block",
    "manifest": "",
    "study_file": "good: petcon, 3 tasks",
    "config": "good: caltech welfare sce-tou-ev-8-2019 ideal",
    "sessions": "2 sessions",
    "orders": "v2v: 2 orders",
    "key_file": "opened",
    "abci": "request: RequestFinalizeBlock",
    "engine_genesis": "read",
    "snapshot": "taken",
    "certificate": "of 8ABC123",
    "address_request": "3 tokens",
    "sites": "good: 2 hubs",
    "sealed_body": "opened: True",
    "history": "whole: True",
    "talk": "Answer",
}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_in_a_corpus_is_a_finding(name: str) -> None:
    answers = {line for data in kept(name) for line in TARGETS[name](data).split("\n")}
    assert len(answers) > 1


@pytest.mark.parametrize("name", GOOD)
def test_a_target_knows_good_from_bad(name: str) -> None:
    """Its seeds are good, and those of other targets are none of its own."""
    assert GOOD[name] in [
        line for data in seeds()[name] for line in TARGETS[name](data).split("\n")
    ]
    for other in ("sessions", "witness", "reading", "config"):
        if other != name:
            assert GOOD[name] not in TARGETS[name](seeds()[other][-1]).split("\n")


FOUND = [path for name in TARGETS for path in findings(name)]


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_found_once_is_mended(path: Path) -> None:
    assert TARGETS[path.parent.name](path.read_bytes())


def test_every_finding_belongs_to_a_target() -> None:
    assert {path.parent.name for path in FINDINGS.rglob("*.bin")} <= set(TARGETS)
    assert {path.stem for path in CORPUS.glob("*.bin")} <= set(TARGETS)


def test_the_corpus_stays_small() -> None:
    inputs = [len(data) for name in TARGETS for data in kept(name)]
    assert len(inputs) < MAX_INPUTS
    assert sum(inputs) < MAX_CORPUS_BYTES


def test_a_corpus_comes_back_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuzz_targets.CORPUS", tmp_path)
    keep("ledger", [b"long", b"", b"a", b"a"])
    assert kept("ledger") == [b"", b"a", b"long"]
    assert kept("genesis") == []


def test_the_smallest_corpus_gets_every_answer() -> None:
    def ends(data: bytes) -> str:
        return f"first {data[:1]!r}\nlast {data[-1:]!r}"

    assert smallest(ends, [b"axb", b"ab", b"a", b"b", b"ca"]) == [b"a", b"b", b"ca"]
