"""Auctions among cars, derived again from the book and the limits that losers signed."""

from __future__ import annotations

import pytest
from small_hub import CLEAR_LEAD_S, FIRST_SLOT_S, SITE, SmallHub, end_s

from peerwatt.audit import auctions
from peerwatt.audit.rederive import rederive
from peerwatt.records import transactions as tx
from peerwatt.records.market import Mechanism
from peerwatt.simulation.tables import chain_tables, revised_limits

CURVE = {"min_wh": 1_000, "max_wh": 1_000}
COST = {"max_wh": 1_000, "ask_ucoin_per_kwh": 0, "slope_ucoin_per_kwh2": 1}


def settled() -> SmallHub:
    """Two rounds: Ann buys of Cat in the first, Bob of Dan in the second."""
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan").open(mechanism=Mechanism.V2V)
    hub.buy("ann", limit_ucoin_per_kwh=250_000, **CURVE)
    bob = hub.buy("bob", limit_ucoin_per_kwh=150_000, **CURVE)
    hub.sell("cat", limit_ucoin_per_kwh=100_000, **COST)
    dan = hub.sell("dan", limit_ucoin_per_kwh=200_000, **COST)
    hub.gate()
    hub.do(tx.ReviseOrder, "bob", order_id=bob, limit_ucoin_per_kwh=210_000)
    hub.refused(tx.ReviseOrder, "bob", order_id=bob, limit_ucoin_per_kwh=220_000)
    hub.do(tx.ReviseOrder, "dan", order_id=dan, limit_ucoin_per_kwh=150_000)
    hub.block(at=FIRST_SLOT_S - CLEAR_LEAD_S)
    hub.report({"p1": 1_000, "p2": 1_000, "p3": -1_000, "p4": -1_000, "": 0}, at=end_s(0) + 30)
    return hub


def test_two_rounds_come_out_again() -> None:
    hub = settled()
    assert sorted(revised_limits(hub.host).values()) == [150_000, 210_000]
    found = rederive(hub.host)
    assert (found.differing, found.settled, found.awards) == ([], 1, 4)
    [row] = chain_tables(hub.host, {}, SITE)["rounds"].to_dicts()
    assert (row["mechanism"], row["cleared_by"]) == ("v2v", "ledger")


def test_a_limit_that_nobody_signed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = settled()
    monkeypatch.setattr(auctions, "revised_limits", lambda chain: {})
    said = [line.split(" of the round")[0] for line in rederive(hub.host).differing]
    assert said[0] == "awards"
    assert any("import" in each for each in said)
