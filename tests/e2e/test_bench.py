"""The benchmarks still run, at a size that measures nothing."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from peerwatt.hosts.cometbft import engine

BENCH = Path(__file__).resolve().parents[2] / "bench"
Import = Callable[[str], ModuleType]


def _installed() -> bool:
    try:
        engine.find()
    except engine.EngineError:
        return False
    return True


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Import:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def test_orders_go_through_both_hosts(bench: Import, tmp_path: Path) -> None:
    figures = bench("ledger_orders").measure(tmp_path, orders=20, repeats=2)
    assert figures["per_second"].keys() == {"bound", "ours", "no-op"}
    assert all(each["min"] > 0 for each in figures["per_second"].values())


def test_a_round_settles_and_the_peer_writes_the_same_rows(bench: Import, tmp_path: Path) -> None:
    market = bench("ledger_settlement").Market(tmp_path, orders=20)
    for remembered in (False, True):
        took = market.live(remembered=remembered)
        assert 0 < took["awards"] <= 20
    assert market.peer.height == market.ours.height
    assert market.peer.app_hash == market.ours.app_hash


def test_a_thousand_cars_are_laid_upon_one_day(bench: Import) -> None:
    thousand_cars = bench("thousand_cars")
    config, sessions = thousand_cars.overlay(seed=1)
    today = [each for each in sessions if each.local_date == config.date]
    assert 1_000 <= len(today) <= 1_100
    assert len({each.session_id for each in sessions}) == len(sessions)
    assert len({each.station_id for each in today}) > 14 * 40
    assert config.limit_kw == 14 * 72


@pytest.mark.skipif(not _installed(), reason="needs: peerwatt engine install")
def test_three_networks_take_the_same_load(bench: Import, tmp_path: Path) -> None:
    network = bench("network")
    size = network.Size(ports=16, settled=1, rounds_a_turn=1, turns=1, rounds_at_half=1)
    figures = network.measure(tmp_path, size, base_port=21_000 + os.getpid() % 200 * 40)
    assert figures["per_second"].keys() == {"contracts", "counting", "kvstore"}
    assert all(each["min"] > 0 for each in figures["per_second"].values())
    assert all(0 < each["p50_s"] < 30 for each in figures["finality_at_half_the_rate"].values())
    assert 0 < figures["awards"] <= 16
    assert not (tmp_path / "contracts" / "nodes" / "one" / "running.json").exists()


def test_a_profile_names_the_innermost_kind_of_work(bench: Import) -> None:
    stack = [["/x/nacl/sign.py", "open"], ["/x/peerwatt/records/signing.py", "verify"]]
    stack += [["/x/peerwatt/contracts/ledger.py", "check_tx"]]
    stack += [["/x/peerwatt/hosts/cometbft/app.py", "Application._check_tx"]]
    found = bench("network").where_time_goes([stack])
    assert found["by kind of work"] == {"signatures": 1.0}
    assert found["by request"] == {"check_tx": 1.0}


def test_problem_a_agrees_with_its_peers(bench: Import) -> None:
    iterative_auction = bench("iterative_auction")
    bids = iterative_auction.third_bids((6, 8))
    found = bids.solve()
    value = iterative_auction.value(bids, found)
    assert iterative_auction.by_dual(bids)[0] == pytest.approx(value, rel=1e-9)
    assert iterative_auction.by_clarabel(bids)[0] == pytest.approx(value, rel=1e-6)


def test_an_auction_is_run_on_many_draws(bench: Import) -> None:
    figures = bench("iterative_auction").runs(range(3))
    assert (figures["draws"], figures["converge"]) == (3, 3)
    assert 0 < figures["greatest_gap_of_welfare"] < 1e-4
    assert figures["mean_turns"] <= figures["most_turns"]


def test_a_bare_sort_and_the_auction_clear_the_same_energy(bench: Import) -> None:
    auction = bench("double_auction")
    for count in (100, 1_000):
        rows = auction.orders(count)
        cleared = auction.clear(rows, "uniform")
        assert auction.bare_sort(rows) == pytest.approx(cleared.bought_kwh.sum())
        assert len(cleared.trades.buyer) > count / 4
