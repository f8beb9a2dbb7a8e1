"""Auctions, derived again from the messages that ended them."""

from __future__ import annotations

from typing import Any

import pytest
from auctioning import GATE_S, auction_end, auctioned, ended, talk_of
from msgspec.structs import replace
from small_hub import CLEAR_LEAD_S, FIRST_SLOT_S, PORTS, SITE, SmallHub, end_s, round_id

from peerwatt.audit.rederive import rederive
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode
from peerwatt.records.market import Award, Side
from peerwatt.simulation.tables import GRID_ALONE, chain_tables

CLEAR_BY_S = FIRST_SLOT_S - CLEAR_LEAD_S


class Doctored:
    """A hub's chain that shows its round as another, or does not show what happened."""

    def __init__(self, hub: SmallHub, *, events: bool = True, **proposed: Any) -> None:
        self._host, self._events, self._changes = hub.host, events, proposed
        self.height, self.block = hub.host.height, hub.host.block
        self.sealed, self.get = hub.host.sealed, hub.host.get

    def items(self, table: str) -> list[tuple[bytes, Any]]:
        rows = self._host.items(table)
        if table != "rounds":
            return rows
        return [(at, replace(r, proposed=replace(r.proposed, **self._changes))) for at, r in rows]

    def events(self) -> Any:
        return self._host.events() if self._events else iter(())


def settled(*silent: str) -> SmallHub:
    """Ann and Cat have bought of Bob in an auction, which was delivered, but for the silent."""
    hub = auctioned(("ann", "cat"), ("bob",))
    if silent:
        ports = [PORTS[name] for name in silent]
        orders = [o.order_id for o in talk_of(hub).orders if o.port in ports]
        hub.do(tx.ReportAbsence, "operator", order_ids=tuple(sorted(orders)))
        hub.block(at=GATE_S + 23)
    if "bob" in silent:
        hub.block(at=CLEAR_BY_S)
    else:
        paid = {"ann": (190_000, 0), "cat": (150_000, 15_000)}
        talk = talk_of(hub, without=silent[0] if silent else "")
        buyers = len(talk.sides[0])
        fields = ended(talk, paid=paid, asked={"bob": (170_000,) * buyers}, rents={"bob": 10})
        hub.done(auction_end(hub, fields))
        hub.block(at=CLEAR_BY_S)
    awards = {row.port: row for row in hub.rows("awards").values()}
    signs = {Side.BUY: 1, Side.SELL: -1}
    net_wh = {port: signs[row.side] * row.energy_wh for port, row in awards.items()}
    net_wh[""] = sum(net_wh.values())
    hub.block(at=end_s(0))
    assert all(not answer.field for answer in hub.report(net_wh))
    return hub


@pytest.mark.parametrize("silent", [(), ("cat",), ("bob",)])
def test_an_auction_comes_out_again(silent: tuple[str, ...]) -> None:
    hub = settled(*silent)
    found = rederive(hub.host)
    assert found.differing == []
    assert (found.settled, len(found.certified)) == (1, 1)
    clearing = hub.round().clearing
    assert clearing is not None
    assert clearing.gap_ucoin > 0 or "bob" in silent
    certified = None if "bob" in silent else clearing.gap_ucoin
    assert found.certified[0].gap_ucoin == certified
    awards = [decode(data, Award) for _, data in hub.host.sealed("awards", round_id())]
    assert len(awards) == found.awards == (3 if not silent else 2)
    assert not {award.port for award in awards} & {PORTS[name] for name in silent}
    [row] = chain_tables(hub.host, {}, SITE)["rounds"].to_dicts()
    assert row["mechanism"] == "iterative-auction"
    assert row["cleared_by"] == (GRID_ALONE if "bob" in silent else "operator")


def test_another_auction_than_the_one_in_the_block_is_found() -> None:
    [line] = rederive(Doctored(settled(), prices_hash=bytes(32))).differing  # type: ignore[arg-type]
    assert line.endswith("nobody proposed any")


def test_a_false_gap_is_found() -> None:
    lines = rederive(Doctored(settled(), gap_ucoin=0)).differing  # type: ignore[arg-type]
    assert [line.split(" of the round")[0] for line in lines] == ["proposed gap"]


def test_an_absence_that_is_not_shown_is_found() -> None:
    lines = rederive(Doctored(settled("cat"), events=False)).differing  # type: ignore[arg-type]
    assert [line.split(": ")[1] for line in lines] == ["prove nothing (INCOMPLETE)"]
