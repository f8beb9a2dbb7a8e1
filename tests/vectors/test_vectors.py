"""Every vector on every host; the files are what the rules make of the cases, and miss nothing."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import pytest
from generate import FILES, HERE, generate
from runners import RUNNERS, contracts_alone
from vector import Vector, from_json

from peerwatt.contracts import ledger
from peerwatt.contracts.state import ACCOUNTS, POT
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import Message, Transaction

CONTRACTS = Path(str(ledger.__file__)).parent


@cache
def vectors(name: str) -> list[Vector]:
    return from_json((HERE / name).read_text(encoding="utf-8"))


def everything() -> list[Vector]:
    return [vector for name in FILES for vector in vectors(name)]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("name", FILES)
def test_every_host_does_what_the_vectors_say(name: str, runner: str) -> None:
    for vector in vectors(name):
        result, rows, admission = RUNNERS[runner](vector)
        receipts = [(each.reason, each.field) for each in result.receipts]
        assert receipts == vector.receipts, vector.name
        assert [(each.kind, each.key) for each in result.events] == vector.events, vector.name
        after = vector.pre | vector.changes
        kept = {slot: value for slot, value in after.items() if value is not None}
        assert rows == kept, vector.name
        if admission is not None:
            due = [(0, "")] if is_fined(vector) else vector.receipts
            assert [(admission.reason, admission.field)] == due, vector.name


def is_fined(vector: Vector) -> bool:
    """Admission lets in what costs its sender a fine."""
    [(reason, _)] = vector.receipts
    return reason >= Reason.WRONG_BOOK and (ACCOUNTS.name, b"", POT) in vector.changes


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_cases_make(name: str) -> None:
    """Where the rules were meant to change, `generate.py` says how to write the files anew."""
    assert (HERE / name).read_text(encoding="utf-8") == generate(name)


def test_every_message_is_accepted_and_refused_somewhere() -> None:
    seen = {tuple(vector.name.split(" ")[:2]) for vector in everything()}
    for kind in get_args(Message):
        assert (kind.__name__, "OK") in seen
        assert any(name == kind.__name__ and reason != "OK" for name, reason in seen)


def test_every_reason_has_a_vector() -> None:
    given = {reason for vector in everything() for reason, _ in vector.receipts}
    if any(kind == "void" for vector in everything() for kind, _ in vector.events):
        given.add(Reason.NO_ORDERS)
    assert given == set(Reason)


def test_a_refusal_names_a_field_of_its_message_or_of_its_envelope() -> None:
    envelope = {"transaction", "encoding", "cosigner", *Transaction.__struct_fields__}
    kinds = {kind.__name__: kind.__struct_fields__ for kind in get_args(Message)}
    for vector in everything():
        for _, field in vector.receipts:
            if field and vector.message in kinds:
                assert field.split("[")[0] in {*kinds[vector.message], *envelope}, vector.name


def refusals() -> set[tuple[str, int]]:
    """Every line of the contracts that refuses."""
    return {
        (path.name, node.lineno)
        for path in CONTRACTS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Refusal"
    }


def test_every_line_that_refuses_has_a_vector() -> None:
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent != CONTRACTS:
            return None
        reached.add((path.name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for vector in everything():
            contracts_alone(vector)
    finally:
        sys.settrace(before)
    assert sorted(refusals() - reached) == []
