"""A small day on which agents and operator find every clearing in an iterative auction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from peerwatt.audit.folder import verify_folder
from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import is_sound
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.sessions import Session
from peerwatt.simulation.tables import auction_ends
from peerwatt.simulation.world import World


def lived(config: DayConfig, sessions: Sequence[Session]) -> DayRun:
    run = DayRun(config.model_copy(update={"mechanism": "iterative-auction"}), sessions)
    run.found(World)
    run.live()
    return run


@pytest.fixture(scope="module")
def run(small_config: DayConfig, small_sessions: tuple[Session, ...]) -> DayRun:
    return lived(small_config, small_sessions)


def chain_of(run: DayRun) -> Replica:
    return run.world.host


def test_every_round_with_buyers_ends_by_its_auction(run: DayRun) -> None:
    """Cars and roof sell, and what the bids leave on the table is next to nothing."""
    rounds, orders = run.tables["rounds"], run.tables["orders"]
    bought_in = orders.filter(orders["side"] == "buy")["slot_start_s"].unique()
    auctioned = rounds.filter(pl.col("slot_start_s").is_in(bought_in.implode()))
    assert auctioned.height > 20
    assert set(auctioned["cleared_by"]) == {"aggregator"}
    assert auctioned["iterations"].is_not_null().all()
    assert auctioned["iterations"].max() <= 151
    assert auctioned["gap_ucoin"].max() <= 10
    assert rounds["sold_wh"].sum() > 10_000
    assert run.tables["refused"].height == 0
    assert run.summary["price_rule"] == "pairwise"


def test_no_order_says_what_energy_is_worth(run: DayRun) -> None:
    """A buyer's limit, a seller's ask, and no slope of either."""
    world = run.world
    for key, _ in world.host.items("rounds"):
        for _, data in world.host.sealed("orders", key):
            order = _order(data)
            if isinstance(order, BuyOrder):
                assert order.price_low_ucoin_per_kwh == order.price_high_ucoin_per_kwh
            else:
                assert order.slope_ucoin_per_kwh2 == 0


def _order(data: bytes) -> BuyOrder | SellOrder:
    from peerwatt.records.codec import decode
    from peerwatt.records.market import Order

    order: BuyOrder | SellOrder = decode(data, Order)  # type: ignore[arg-type]
    return order


def test_the_market_comes_close_to_the_one_that_knows_every_curve(
    run: DayRun, pairs_run: DayRun
) -> None:
    """In pairs the operator solves from everybody's curves; here nobody shows any."""
    auction, pairs = (each.summary["baselines"]["market"] for each in (run, pairs_run))
    assert auction["cost_usd"] == pytest.approx(pairs["cost_usd"], rel=0.05)


def test_the_same_seed_gives_the_same_bytes_and_verify_passes(
    run: DayRun, small_config: DayConfig, small_sessions: tuple[Session, ...], tmp_path: Path
) -> None:
    again = lived(small_config, small_sessions)
    assert chain_of(again).head_id == chain_of(run).head_id
    ends = auction_ends(chain_of(run))
    assert len(ends) == run.tables["rounds"]["iterations"].is_not_null().sum()
    with RunFolder(tmp_path / "day") as folder:
        run.write(folder)
    report = verify_folder(tmp_path / "day")
    assert is_sound(report.findings)
    said = "\n".join(finding.text for finding in report.findings)
    assert "no allocation of the last bids of" in said
    page = (tmp_path / "day" / "report.html").read_text(encoding="utf-8")
    assert "Bids and answers until they were at rest" in page
    assert "nobody but the bidders knows" in page
