"""Mutants: every bug of the table can be planted, in a process of its own; the simulation finds it.

A handful runs always; the whole table behind `--slow` and `peerwatt soak mutants`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

import peerwatt
from peerwatt.cli.main import app
from peerwatt.simulation.mutants import (
    Finding,
    Mutant,
    MutantError,
    Planter,
    hunt_all,
    mutants,
    named,
    source_of,
)

CONTRACTS = Path(peerwatt.__file__).parent / "contracts"
QUICK = (
    "pot-is-forgotten",
    "refused-in-block-keeps-nonce",
    "store-keeps-what-is-gone",
    "nonce-may-skip",
)


def test_every_mutant_can_be_planted_and_compiles() -> None:
    table = mutants()
    assert len(table) >= 60
    assert len({mutant.name for mutant in table}) == len(table)
    for mutant in table:
        source = source_of(mutant.module)
        planted = mutant.plant(source)
        assert planted != source, mutant.name
        compile(planted, mutant.module, "exec", dont_inherit=True)
        assert mutant.breaks, mutant.name


def test_every_refusal_of_the_contracts_has_a_mutant() -> None:
    """One that plants a bug in its very condition: a new guard needs a row in the table."""
    bare = []
    for path in sorted(CONTRACTS.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        planted = [m for m in mutants() if m.module == f"contracts.{path.stem}"]
        changed = [_changed_lines(source, mutant) for mutant in planted]
        for guard in _guards(source):
            if not any(
                first <= (guard.end_lineno or 0) and guard.lineno <= last for first, last in changed
            ):
                bare.append(f"{path.stem}:{guard.lineno}")
    assert bare == []


def _guards(source: str) -> list[ast.If]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If)
        and isinstance(node.body[0], ast.Return)
        and isinstance(node.body[0].value, ast.Call)
        and getattr(node.body[0].value.func, "id", "") in ("Refusal", "Flaw")
        and not ast.unparse(node.test).startswith("isinstance(")  # passes on another's refusal
    ]


def _changed_lines(source: str, mutant: Mutant) -> tuple[int, int]:
    planted = mutant.plant(source)
    start = next(at for at, (a, b) in enumerate(zip(source, planted, strict=False)) if a != b)
    first = source.count("\n", 0, start) + 1
    return first, first + mutant.before.count("\n")


def test_what_is_not_there_cannot_be_changed() -> None:
    mutant = named(QUICK[0])
    with pytest.raises(MutantError, match="holds 0 times"):
        mutant.plant("x = 1\n")
    with pytest.raises(MutantError, match="holds 2 times"):
        mutant._replace(where="", before="x").plant("x = x\n")
    with pytest.raises(MutantError, match="no mutant 'nobody'"):
        named("nobody")


def test_nothing_counts_as_found_where_the_sound_ledger_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaint = Finding(mutant="", checker="coins", what="off by one", seed=1, blocks=7)
    monkeypatch.setattr("peerwatt.simulation.mutants._apart", lambda *_: complaint)
    with pytest.raises(MutantError, match="without a bug, seed 1: coins: off by one"):
        list(hunt_all([QUICK[0]], 1, 10))


def test_a_module_that_is_there_already_is_not_changed() -> None:
    with pytest.raises(MutantError, match="imported already"):
        Planter(Mutant("late", "cli.main", "", "app", "app", "nothing"))


def test_what_a_mutant_has_changed_is_as_it_was(tmp_path: Path) -> None:
    path = Path(peerwatt.__file__).parent / "contracts" / "payouts.py"
    before = path.read_bytes()
    [found] = hunt_all(["pot-is-forgotten"], 1, 60)
    assert (found.checker, found.seed) == ("coins", 1)
    assert path.read_bytes() == before
    from peerwatt.contracts import payouts

    assert "credit(state, POT, pot)" in Path(payouts.__file__).read_text(encoding="utf-8")


def test_a_few_are_found_by_the_command() -> None:
    only = [word for name in QUICK for word in ("--only", name)]
    answer = CliRunner().invoke(app, ["soak", "mutants", *only, "--seeds", "2", "--blocks", "150"])
    assert answer.exit_code == 0, answer.output
    assert f"{len(QUICK)} of {len(QUICK)} mutants found" in answer.output


def test_survivors_are_told_and_fail() -> None:
    asked = [
        "soak",
        "mutants",
        "--only",
        "settlements-stay-behind",
        "--seeds",
        "1",
        "--blocks",
        "1",
    ]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 1
    assert "settlements-stay-behind: survived" in answer.output


@pytest.mark.slow
def test_nearly_all_are_found() -> None:
    names = [mutant.name for mutant in mutants()]
    survived = [each.mutant for each in hunt_all(names, 8, 200, jobs=2) if not each.found]
    assert len(survived) <= 0.05 * len(names), survived
