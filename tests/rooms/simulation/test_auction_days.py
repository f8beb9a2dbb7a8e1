"""A real day under every auction among cars: accounts close, and losers trade in second rounds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from checked_days import CALTECH, check_accounts, check_meters, live

from peerwatt.audit.rederive import rederive
from peerwatt.records.market import Mechanism
from peerwatt.records.transactions import ReviseOrder
from peerwatt.simulation.tables import mechanism_name
from peerwatt.simulation.world import World

AMONG_CARS = [mechanism_name(each) for each in Mechanism if each.among_cars]
HOURS = CALTECH | {"round_min": 60}
DEAR = HOURS | {"sellers": {"share": 1.0}, "tariff": "flat", "flat_price": 0.45}


@pytest.mark.parametrize("mechanism", AMONG_CARS)
def test_a_day_closes_and_comes_out_again(mechanism: str, caltech_sessions: Any) -> None:
    run = live(DEAR | {"mechanism": mechanism}, caltech_sessions)
    check_accounts(run)
    check_meters(run)
    assert run.world.refused == []
    assert run.summary["energy_wh"]["from_cars"] > 0
    assert rederive(run.world.host).differing == []


def test_losers_of_first_rounds_sign_and_trade(
    caltech_sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: Counter[str] = Counter()
    note = World.note

    def counted(world: World, kind: str, receipt: Any) -> None:
        sent[kind] += receipt.ok
        note(world, kind, receipt)

    monkeypatch.setattr(World, "note", counted)
    run = live(DEAR | {"mechanism": "v2v"}, caltech_sessions)
    assert sent[ReviseOrder.__name__] > 5
    assert run.world.refused == []


@pytest.mark.parametrize("mechanism", ["welfare", "welfare-pairs", "iterative-auction", "v2v"])
def test_a_day_of_sealed_orders_comes_to_the_same(mechanism: str, caltech_sessions: Any) -> None:
    hours = HOURS | {"mechanism": mechanism}
    opened, sealed = (live(hours | {"orders": how}, caltech_sessions) for how in ("open", "sealed"))
    check_accounts(sealed)
    assert sealed.world.refused == []
    assert rederive(sealed.world.host).differing == []
    ours, theirs = (run.summary["baselines"]["market"] for run in (sealed, opened))
    for name in ("cost_usd", "unmet_kwh", "grid_kwh", "cars_kwh"):
        # Ids break ties and share out the last Wh, and they are other ids.
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=0.02)
