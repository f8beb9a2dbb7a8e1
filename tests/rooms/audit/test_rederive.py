"""Awards and settlements, derived again from sealed books and readings."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from peerwatt.audit.rederive import rederive
from peerwatt.records.codec import decode
from peerwatt.records.market import Award, Round, prices_hash
from peerwatt.records.merkle import sealed_root
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
        self.forged: dict[str, Any] = {}

    def get(self, table: str, key: bytes) -> Any:
        return self._host.get(table, key)

    def items(self, table: str) -> list[tuple[bytes, Round]]:
        return [
            (key, replace(each, **self._changes) if key == self.key else each)
            for key, each in self._host.items(table)
        ]

    def sealed(self, name: str, key: bytes) -> Any:
        if key == self.key and name in self.forged:
            return self.forged[name]
        tree, entry = self.dropped
        gone = (name, key) == (tree, self.key)
        return [
            (id_, data) for id_, data in self._host.sealed(name, key) if not gone or id_ != entry
        ]


def test_every_round_comes_out_again(small_run: DayRun) -> None:
    found = rederive(small_run.world.host)
    assert found.differing == []
    summary = small_run.summary
    assert len(found.certified) == found.settled == summary["rounds"]["cleared"]
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
    assert all(f" of the round of caltech at {at}" in line for line in differing)


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


def test_every_certified_gap_is_worked_out_again(small_run: DayRun, pairs_run: DayRun) -> None:
    for run, who in ((small_run, "ledger"), (pairs_run, "aggregator")):
        found = rederive(run.world.host)
        assert found.differing == []
        rounds = run.tables["rounds"].filter(pl.col("cleared_by").is_not_null())
        expected = rounds.select("slot_start_s", "cleared_by", "traded_ucoin", "gap_ucoin").rows()
        assert expected == [
            (each.slot_start_s, each.cleared_by, each.traded_ucoin, each.gap_ucoin)
            for each in found.certified
        ]
        assert {each.cleared_by for each in found.certified} == {who}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"gap_ucoin": 77_777}, "gap {where}: says 77777, comes to {gap}"),
        ({"traded_ucoin": 7}, "worth traded {where}: says 7, comes to {traded}"),
        ({"proposer": b""}, "proposer {where}"),
        ({"proposer": bytes(32)}, "proposer {where}"),
        ({"export_wh": 5}, "export {where}: says 5, comes to 0"),
    ],
)
def test_a_figure_of_a_clearing_that_is_not_so_is_named(
    changes: dict[str, Any], line: str, pairs_run: DayRun
) -> None:
    chain = Doctored(pairs_run)
    true = pairs_run.world.host.get("rounds", chain.key)
    chain = Doctored(pairs_run, clearing=replace(true.clearing, **changes))
    where = f"of the round of caltech at {true.slot_start_s}"
    gap, traded = true.clearing.gap_ucoin, true.clearing.traded_ucoin
    expected = line.format(where=where, gap=gap, traded=traded)
    assert rederive(chain).differing == [expected]  # type: ignore[arg-type]


def test_another_proposal_than_the_sealed_one_is_found(pairs_run: DayRun) -> None:
    chain = Doctored(pairs_run)
    proposed = pairs_run.world.host.get("rounds", chain.key).proposed
    for changes, said in (
        ({"prices_hash": bytes(32)}, "prices of the round of caltech at {at}: are not those"),
        ({"proposer": bytes(32)}, "proposer of the round of caltech at {at}"),
        ({"gap_ucoin": 5_000}, "proposed gap of the round of caltech at {at}: says 5000, comes"),
    ):
        chain = Doctored(pairs_run, proposed=replace(proposed, **changes))
        (line,) = rederive(chain).differing  # type: ignore[arg-type]
        assert line.startswith(said.format(at=int.from_bytes(chain.key[:8], "big")))
    chain = Doctored(pairs_run, proposed=None)
    (line,) = rederive(chain).differing  # type: ignore[arg-type]
    assert line.endswith(": nobody proposed any")


def test_prices_that_were_tampered_with_are_found(pairs_run: DayRun) -> None:
    """As the host shows them, hashed again, sealed again: each time one thing more is in keeping,
    and in the end they prove nothing."""
    chain = Doctored(pairs_run)
    entries = [(key, bytes(data)) for key, data in chain.sealed("prices", chain.key)]
    key, data = entries[0]
    dearer = (int.from_bytes(data, "big") * 2).to_bytes(8, "big")
    forged = [(key, dearer), *entries[1:]]
    hashed = prices_hash([int.from_bytes(each, "big") for _, each in forged])
    proposed = replace(pairs_run.world.host.get("rounds", chain.key).proposed, prices_hash=hashed)
    for changes, why in (
        ({}, "are not those that were proposed"),
        ({"proposed": proposed}, "are not those that were sealed"),
        ({"proposed": proposed, "prices_root": sealed_root(forged)}, "prove nothing ("),
    ):
        chain = Doctored(pairs_run, **changes)
        chain.forged = {"prices": forged}
        (line,) = rederive(chain).differing  # type: ignore[arg-type]
        assert f": {why}" in line
    for shown in (entries[1:], entries[:-1], [], [(key, data[1:]), *entries[1:]]):
        chain.forged = {"prices": shown}
        (line,) = rederive(chain).differing  # type: ignore[arg-type]
        assert line.endswith(": are not those that were proposed")


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
    found = rederive(run.world.host)
    assert found.differing == []
    alone = [each for each in found.certified if each.cleared_by == "grid alone"]
    assert {each.gap_ucoin for each in alone} == {None}
    assert run.summary["clearings"]["grid_alone"] == len(alone) > 0
    assert run.summary["clearings"]["by_ledger"] == len(found.certified) - len(alone)
