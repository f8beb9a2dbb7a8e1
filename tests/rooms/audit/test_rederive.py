"""Awards and settlements, derived again from sealed books and readings."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from peerwatt.audit.rederive import rederive
from peerwatt.records.codec import decode
from peerwatt.records.market import Award, Round
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.world import World


class Doctored:
    """A chain that shows one of its rounds, or one sealed entry, as another."""

    def __init__(self, run: DayRun, **changes: Any) -> None:
        self._host, self._changes = run.world.host, changes
        cleared = [key for key, each in self._host.items("rounds") if each.clearing is not None]
        self.key = max(cleared, key=lambda key: len(self._host.sealed("awards", key)))
        self.dropped = ("", b"")

    def items(self, table: str) -> list[tuple[bytes, Round]]:
        return [
            (key, replace(each, **self._changes) if key == self.key else each)
            for key, each in self._host.items(table)
        ]

    def sealed(self, name: str, key: bytes) -> Any:
        tree, entry = self.dropped
        gone = (name, key) == (tree, self.key)
        return [
            (id_, data) for id_, data in self._host.sealed(name, key) if not gone or id_ != entry
        ]


def test_every_round_comes_out_again(small_run: DayRun) -> None:
    found = rederive(small_run.world.host)
    assert found.differing == []
    summary = small_run.summary
    assert found.cleared == found.settled == summary["rounds"]["cleared"]
    assert found.awards == summary["orders"]["awarded"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"awards_root": bytes(32)}, ["awards of the round of caltech at "]),
        ({"settlements_root": bytes(32)}, ["settlement of the round of caltech at "]),
        ({"import_limit_wh": 1}, ["awards of the round of caltech at "]),
        ({"mechanism": None}, ["awards of the round of caltech at "]),
    ],
)
def test_a_round_that_does_not_is_named(
    changes: dict[str, Any], words: list[str], small_run: DayRun
) -> None:
    if changes.get("mechanism", 0) is None:
        (mechanism,) = {each.mechanism for _, each in small_run.world.host.items("rounds")}
        changes = {"mechanism": next(m for m in type(mechanism) if m != mechanism)}
    chain = Doctored(small_run, **changes)
    differing = rederive(chain).differing  # type: ignore[arg-type]
    at = chain._host.get("rounds", chain.key).slot_start_s
    assert f"{words[0]}{at}" in differing
    assert all(line.endswith(str(at)) for line in differing)


@pytest.mark.parametrize(
    ("tree", "word"), [("orders", "awards"), ("awards", "settlement"), ("readings", "settlement")]
)
def test_an_entry_that_is_left_out_is_missed(tree: str, word: str, small_run: DayRun) -> None:
    chain = Doctored(small_run)
    order_id, data = chain.sealed("awards", chain.key)[0]
    port = decode(data, Award).port.encode()
    chain.dropped = (tree, port if tree == "readings" else order_id)
    differing = rederive(chain).differing  # type: ignore[arg-type]
    assert differing
    assert differing[0].startswith(f"{word} of the round of caltech at ")


def test_a_round_whose_sellers_the_supplier_could_not_back_comes_out_again(
    small_config: DayConfig, small_sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The book is then cleared without sellers, and must be so here too."""
    monkeypatch.setattr("peerwatt.simulation.founding.Founding._day_ucoin", lambda self: 1)
    run = DayRun(small_config.model_copy(update={"pv_kwp": 300}), small_sessions)
    run.found(World)
    run.live()
    rounds = [each for _, each in run.world.host.items("rounds") if each.clearing is not None]
    assert any(each.clearing.sellers_dropped for each in rounds)
    assert rederive(run.world.host).differing == []
