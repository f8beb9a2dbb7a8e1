"""Days lived block by block under the invariants, and what has to hold of them to the unit."""

from __future__ import annotations

from typing import Any

import polars as pl

from peerwatt.contracts.invariants import broken_invariants
from peerwatt.simulation.cast import AgentFor, ours
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.world import World

CALTECH = {"site": "caltech", "date": "2019-06-12"}
JPL: dict[str, Any] = {}
SUNNY = {"pv_kwp": 100}


class CheckedWorld(World):
    """Stops at the first block after which an invariant does not hold."""

    def seal(self, time_s: int) -> None:
        super().seal(time_s)
        assert broken_invariants(self.host.state) == [], f"block {self.host.height}"


def live(config: dict[str, Any], sessions: Any, agent_for: AgentFor = ours) -> DayRun:
    run = DayRun(DayConfig.model_validate(config), sessions)
    run.found(CheckedWorld, agent_for)
    run.live()
    return run


def check_accounts(run: DayRun) -> None:
    """Energy and money to the unit, three ways: summary, rounds' totals, and wallets."""
    energy, money, rounds = (
        run.summary["energy_wh"],
        run.summary["money_ucoin"],
        run.tables["rounds"],
    )
    sources = energy["from_cars"] + energy["from_grid"] + energy["from_pv"]
    uses = energy["needed"] - energy["unmet"] + energy["sold_to_grid"] + energy["losses"]
    assert sources == uses, energy
    assert money.pop("sum") == 0 == sum(money.values()), money
    money["sum"] = 0
    assert money["supplier"] == run.summary["supplier_by_main_meter_ucoin"]
    bought, sold = rounds["bought_wh"].sum(), rounds["sold_wh"].sum()
    assert bought == energy["needed"] - energy["unmet"]
    assert sold == energy["from_cars"] + energy["from_pv"]
    assert (run.tables["cars"]["unmet_wh"] >= 0).all()
    assert set(rounds["status"]) <= {"void", "settled"}
    coins = [account for _, account in run.world.host.items("accounts")]
    minted = sum(a.free_ucoin + a.held_ucoin for a in coins)
    ((_, chain),) = run.world.host.items("chain")
    assert minted == chain.issued_ucoin


def check_meters(run: DayRun) -> None:
    """The connection holds in every slot, and what meters read is what was settled."""
    main = run.tables["readings"].filter(pl.col("port") == "")
    both = main.join(run.tables["rounds"], on="slot_start_s")
    imported = both["import_end_wh"] - both["import_start_wh"]
    exported = both["export_end_wh"] - both["export_start_wh"]
    assert (imported <= both["import_limit_wh"] + 1).all()
    assert (exported <= both["export_limit_wh"] + 1).all()
    assert imported.sum() > 0
    loss = imported - exported - both["bought_wh"] + both["sold_wh"]
    assert (loss == both["site_loss_wh"]).all()
