"""Auctions on the small hub whose bids are made by hand, so that every host has the same bytes."""

from __future__ import annotations

from typing import Any

from auction_talk import Talk
from small_hub import FIRST_SLOT_S, GATE_LEAD_S, PORTS, SmallHub, public, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.auction import Rents
from peerwatt.records.market import Mechanism
from peerwatt.units import PCOIN_PER_UCOIN

GATE_S = FIRST_SLOT_S - GATE_LEAD_S
LIMIT = {"price_high_ucoin_per_kwh": 400_000, "price_low_ucoin_per_kwh": 400_000}
FLAT = {"slope_ucoin_per_kwh2": 0}


def auctioned(buyers: tuple[str, ...] = ("ann",), sellers: tuple[str, ...] = ("bob",)) -> SmallHub:
    """The gate has fallen over an auction of these drivers' orders."""
    hub = SmallHub().site().drivers(*buyers, *sellers)
    hub.done(hub.minted("regulator", 100))
    hub.open(mechanism=Mechanism.ITERATIVE_AUCTION)
    for name in buyers:
        hub.buy(name, **LIMIT)
    for name in sellers:
        hub.sell(name, **FLAT)
    hub.block(at=GATE_S)
    return hub


def talk_of(hub: SmallHub, *, without: str = "", **changes: Any) -> Talk:
    """The auction of the first slot's round, without this driver."""
    orders = [each for _, each in hub.host.items("orders", round_id())]
    return Talk(
        market_round=hub.round(),
        orders=[each for each in orders if each.port != PORTS.get(without)],
        names={public(name): name for name in PORTS},
        round_id=round_id(),
        chain_id=hub.chain_id,
        **changes,
    )


def ended(
    talk: Talk,
    *,
    paid: dict[str, tuple[int, ...]],
    asked: dict[str, tuple[int, ...]],
    rents: dict[str, int] | None = None,
    grid_rent: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """The end of it with these bids, ucoin and ucoin/kWh, by driver: what a buyer pays each seller
    and the grid, what a seller asks each buyer."""
    buys, sells = talk.sides
    names = {port: name for name, port in PORTS.items()}
    of = rents or {}

    def amounts(bids: dict[str, tuple[int, ...]], side: Any) -> list[list[int]]:
        return [[each * PCOIN_PER_UCOIN for each in bids[names[o.port]]] for o in side]

    listed = Rents(
        buyers=tuple(of.get(names[o.port], 0) * PCOIN_PER_UCOIN for o in buys),
        sellers=tuple(of.get(names[o.port], 0) * PCOIN_PER_UCOIN for o in sells),
        grid=grid_rent * PCOIN_PER_UCOIN,
    )
    payments, asks = amounts(paid, buys), amounts(asked, sells)
    return talk.end(payments, asks, rents=changes.pop("shown", listed), **changes)


def auction_end(hub: SmallHub, fields: dict[str, Any], by: str = "operator") -> bytes:
    """A proposal with these fields."""
    return hub.sign(tx.ProposeAuction, by, **fields)
