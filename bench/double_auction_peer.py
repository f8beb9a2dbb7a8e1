"""One peer's double auction, run by the interpreter of that peer's own environment.

Knows pymarket's and ASSUME's ways in, and nothing of ours: it is started by `double_auction.py` as
`python double_auction_peer.py MECHANISM PRICES.npy`, whose rows are bids and asks of (price, kWh),
and prints when clearing began, then the seconds of its own processor time that clearing took and
the energy that traded. Reading orders in is not counted.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import numpy as np


def ready() -> float:
    """Seconds so far, told at once, so that whoever stops this knows when clearing began."""
    now_s = time.process_time()
    print(now_s, flush=True)
    return now_s


def pymarket(mechanism: str, bids: Any, asks: Any) -> tuple[float, float]:
    """MUDA, Huang's auction and random pairs of the library pymarket."""
    market = importlib.import_module("pymarket").Market()
    for user, (price, kwh) in enumerate(np.concatenate([bids, asks])):
        market.accept_bid(float(kwh), float(price), user, user < len(bids), 0, True)
    chance = {"r": np.random.RandomState(1)} if mechanism != "huang" else {}
    began_s = ready()
    trades, _ = market.run(mechanism, **chance)
    took_s = time.process_time() - began_s
    table = trades.get_df()
    buys = table["bid"] < len(bids)
    return took_s, float(table.loc[buys, "quantity"].sum())


def assume(mechanism: str, bids: Any, asks: Any) -> tuple[float, float]:
    """ASSUME's uniform price (pay-as-clear) on one hour's product."""
    objects = importlib.import_module("assume.common.market_objects")
    mechanisms = importlib.import_module("assume.markets.clearing_algorithms").clearing_mechanisms
    dates = importlib.import_module("datetime")
    rules = importlib.import_module("dateutil.rrule")
    relative = importlib.import_module("dateutil.relativedelta").relativedelta
    start = dates.datetime(2026, 1, 1)
    end = start + dates.timedelta(hours=1)
    config = objects.MarketConfig(
        market_id="bench",
        opening_hours=rules.rrule(rules.HOURLY, dtstart=start, until=end),
        opening_duration=dates.timedelta(hours=1),
        market_mechanism=mechanism,
        market_products=[objects.MarketProduct(relative(hours=+1), 1, relative(hours=1))],
    )
    clearing = mechanisms[mechanism](config)
    orders = [
        {
            "start_time": start,
            "end_time": end,
            "volume": float(-kwh if row < len(bids) else kwh),
            "price": float(price),
            "agent_addr": f"a{row}",
            "bid_id": f"b{row}",
            "only_hours": None,
        }
        for row, (price, kwh) in enumerate(np.concatenate([bids, asks]))
    ]
    began_s = ready()
    accepted = clearing.clear(orders, [(start, end, None)])[0]
    took_s = time.process_time() - began_s
    bought = sum(-order["accepted_volume"] for order in accepted if order["volume"] < 0)
    return took_s, float(bought)


def main() -> None:
    mechanism, path = sys.argv[1:]
    rows = np.load(path)
    bids, asks = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    peer = assume if mechanism == "pay_as_clear" else pymarket
    took_s, kwh = peer(mechanism, bids, asks)
    print(json.dumps({"seconds": took_s, "kwh": kwh}))


if __name__ == "__main__":
    main()
