"""What a day came to: energy that balances, money that sums to zero, and the yardsticks beside it.

Knows the tables of the chain, the day and the planner. Money flows are seen from the parties:
above zero received, below zero paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from peerwatt import __version__
from peerwatt.contracts.state import REWARDS, TERMS_KEY
from peerwatt.hosts.replica import Replica
from peerwatt.mechanisms.scheduling import (
    Schedule,
    optimal_schedule,
    plug_and_charge,
    without_sellers,
)
from peerwatt.records.market import Mechanism, PriceRule, Round
from peerwatt.records.transactions import FundRewards, Transfer, parse
from peerwatt.reporting.clearing_gap import gap_ppb
from peerwatt.simulation.cast import ROOF, Visit
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.day import HubDay
from peerwatt.simulation.sessions import ZONE
from peerwatt.simulation.tables import Row
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH, cost_ceil_ucoin, cost_floor_ucoin

if TYPE_CHECKING:
    import polars as pl

MARKET = "market"
ORDER_MESSAGES = ("PlaceBuyOrder", "PlaceSellOrder")


def car_rows(day: HubDay, visits: list[Visit], awards: pl.DataFrame, plug: Schedule) -> list[Row]:
    """Every car's day on the market, and a buyer's under plug-and-charge beside it."""
    index = {s.session_id: i for i, s in enumerate(day.buyers.sessions)}
    selling = {s.session_id: i for i, s in enumerate(day.sellers.sessions)}
    plug_costs = _plug_costs(day, plug)
    lost_load = day.lost_load_usd_per_kwh * UCOIN_PER_COIN
    sessions = {s.session_id: s for s in (*day.buyers.sessions, *day.sellers.sessions)}
    got = {row["car"]: row for row in sums_by_car(awards).iter_rows(named=True)}
    rows = []
    for visit in visits:
        mine = got.get(visit.name, dict.fromkeys(_SUMS, 0))
        buyer, seller = index.get(visit.name), selling.get(visit.name)
        session = sessions.get(visit.name)
        # A user's own agent may take more: then that is what its car needed.
        need_wh = max(visit.need_wh, mine["charged_wh"])
        unmet_wh = need_wh - mine["charged_wh"]
        cost_usd = 0.0 if seller is None else float(day.sellers.cost_usd_per_kwh[seller])
        own_ucoin = round(mine["sold_wh"] * cost_usd * UCOIN_PER_COIN / WH_PER_KWH)
        unmet_ucoin = round(unmet_wh * lost_load / WH_PER_KWH)
        plug_wh = 0 if buyer is None else round(plug.charge_kwh[buyer].sum() * WH_PER_KWH)
        spent = mine["paid_ucoin"] + mine["penalty_ucoin"] - mine["received_ucoin"]
        rows.append(
            {
                "session_id": visit.name,
                "port": visit.port,
                "role": "pv" if visit.name == ROOF else "seller" if buyer is None else "buyer",
                "oracle": session is not None and session.oracle,
                "arrival_s": visit.arrival_s,
                "departure_s": visit.departure_s,
                "planned_departure_s": _planned_s(day, visit),
                "need_wh": need_wh,
                "for_sale_wh": 0 if seller is None else int(day.sellers.for_sale_wh[seller]),
                **{name: mine[name] for name in _SUMS},
                "unmet_wh": unmet_wh,
                "own_cost_ucoin": own_ucoin,
                "plug_charged_wh": plug_wh,
                "plug_cost_ucoin": 0 if buyer is None else round(plug_costs[buyer]),
                "market_cost_ucoin": spent + unmet_ucoin + own_ucoin,
            }
        )
    return rows


_SUMS = ("charged_wh", "sold_wh", "paid_ucoin", "received_ucoin", "penalty_ucoin")


def sums_by_car(awards: pl.DataFrame) -> pl.DataFrame:
    """What each car charged, sold, paid, received and was charged for falling short."""
    import polars as pl

    metered = pl.col("metered_wh").fill_null(0)
    return awards.group_by("car", maintain_order=True).agg(
        charged_wh=metered.filter(pl.col("side") == "buy").sum(),
        sold_wh=metered.filter(pl.col("side") == "sell").sum(),
        paid_ucoin=pl.col("paid_ucoin").sum(),
        received_ucoin=pl.col("received_ucoin").sum(),
        penalty_ucoin=pl.col("penalty_ucoin").sum(),
    )


def _planned_s(day: HubDay, visit: Visit) -> int:
    for group in (day.buyers, day.sellers):
        for session, planned_s in zip(group.sessions, group.planned_departure_s, strict=True):
            if session.session_id == visit.name:
                return int(planned_s)
    return visit.departure_s


def _plug_costs(day: HubDay, plug: Schedule) -> list[float]:
    """(B,) ucoin: each car's share of the grid's energy at retail, and its unmet need."""
    charged = plug.charge_kwh.sum(axis=0)
    from_grid = np.divide(plug.grid_kwh, charged, out=np.zeros_like(charged), where=charged > 0)
    energy_usd = plug.charge_kwh @ (day.retail_usd_per_kwh * from_grid)
    cost_usd = energy_usd + plug.unmet_kwh * day.lost_load_usd_per_kwh
    return [float(usd) * UCOIN_PER_COIN for usd in cost_usd]


def summary_of(
    config: DayConfig,
    day: HubDay,
    chain: Replica,
    tables: dict[str, pl.DataFrame],
    yardsticks: dict[str, Row],
    site: str | None = None,
) -> Row:
    """Everything that summary.json says; `site` names one hub of several on the chain."""
    facts = facts_of(chain, tables, site)
    baselines = {**yardsticks, **facts["baselines"]}
    costs = {name: row["cost_usd"] for name, row in baselines.items()}
    saving = costs["plug_and_charge"] - costs["optimum"]
    captured = costs["plug_and_charge"] - costs[MARKET]
    return {
        **facts,
        "version": __version__,
        "seed": config.sellers.seed,
        "date": str(day.date),
        "zone": str(ZONE),
        "battery": config.battery,
        "planning": config.planning.model_dump(),
        "need": config.need,
        "labels": _labels(config, day),
        "limit_kw": config.limit_kw,
        "sessions": {
            "rows_read": day.rows_read,
            "dropped": dict(day.dropped),
            "oracle_rows": day.oracle_rows,
            "buyers": len(day.buyers.sessions),
            "sellers": len(day.sellers.sessions),
            "for_sale_wh": int(tables["cars"]["for_sale_wh"].sum()),
        },
        "baselines": baselines,
        "captured": round(captured / saving, 4) if saving > 0.005 else None,
    }


def facts_of(chain: Replica, tables: dict[str, pl.DataFrame], site: str | None = None) -> Row:
    """What the summary says that whoever holds chain and tables can work out again; of one hub of
    several where `site` names it."""
    market = [each for _, each in chain.items("rounds") if site in (None, each.site)]
    rounds, cars, refused = tables["rounds"], tables["cars"], tables["refused"]
    energy = energy_wh(tables, int(cars["need_wh"].sum()), int(cars["unmet_wh"].sum()))
    head = chain.head
    return {
        "chain_id": chain.chain_id,
        "site": site or ", ".join(key.decode() for key, _ in chain.items("sites")),
        "mechanism": ", ".join(rounds["mechanism"].unique().sort()),
        "price_rule": _price_rules(market),
        "energy_wh": energy,
        "money_ucoin": money_ucoin(rounds),
        "supplier_by_main_meter_ucoin": supplier_by_main_meter_ucoin(tables),
        "rounds": {
            "opened": rounds.height,
            "cleared": rounds.filter(rounds["status"] != "void").height,
            "void": rounds.filter(rounds["status"] == "void").height,
        },
        "clearings": clearings_of(market),
        "orders": {
            "placed": tables["orders"].height,
            "refused": refused.filter(refused["message"].is_in(ORDER_MESSAGES)).height,
            "awarded": tables["awards"].height,
        },
        "ledger": {
            "height": chain.height,
            "messages": tables["receipts"].height,
            "app_hash": chain.app_hash.hex(),
            "head": head.header.block_id.hex() if head is not None else "",
        },
        "baselines": {MARKET: _market(tables, energy)},
        **_rewards(chain),
    }


def _rewards(chain: Replica) -> Row:
    """What went into the reward account, what came out and for what; nothing where members have
    set no rewards."""
    if chain.get("reward_terms", TERMS_KEY) is None:
        return {}
    given = sum(_given_ucoin(chain, height) for height in range(1, chain.height + 1))
    paid = Counter(event.kind for _, event in chain.events())
    fund = chain.get("accounts", REWARDS)
    left = fund.free_ucoin if fund is not None else 0
    return {
        "rewards": {
            "given_ucoin": given,
            "paid_ucoin": given - left,
            "left_ucoin": left,
            "contributions": paid["contribution_rewarded"],
            "blocks": paid["proposer_rewarded"],
        }
    }


def _given_ucoin(chain: Replica, height: int) -> int:
    """What a block's accepted messages gave to the reward account."""
    given = 0
    for data, receipt in zip(chain.block(height).transactions, chain.receipts(height), strict=True):
        if receipt.ok:
            _, message = parse(data)
            if isinstance(message, FundRewards) or (
                isinstance(message, Transfer) and message.to == REWARDS
            ):
                given += message.amount_ucoin
    return given


def _price_rules(market: Sequence[Round]) -> str:
    """Who pays which price: the tariff's rule; in pairs and auctions each buyer its own; where a
    feeder is full everybody that of its feeder."""
    return ", ".join(sorted({_price_rule(each) for each in market}))


def _price_rule(each: Round) -> str:
    if each.mechanism in (Mechanism.WELFARE_PAIRS, Mechanism.ITERATIVE_AUCTION):
        return "pairwise"
    if each.mechanism.among_cars:
        return "the auction's"
    if each.clearing is not None and any(each.clearing.feeder_prices):
        return PriceRule.MARGINAL.name.lower()
    return each.prices.price_rule.name.lower()


def clearings_of(market: Sequence[Round]) -> Row:
    """How many rounds who cleared, and what was certified of those that kept their sellers: the
    gaps together, and the largest relative to its round's trade."""
    clearings = [each.clearing for each in market if each.clearing is not None]
    whole = [each for each in clearings if not each.sellers_dropped]
    by_members = sum(each.proposer != b"" for each in whole)
    return {
        "by_ledger": len(whole) - by_members,
        "by_members": by_members,
        "grid_alone": len(clearings) - len(whole),
        "gap_ucoin": sum(each.gap_ucoin for each in whole),
        "traded_ucoin": sum(each.traded_ucoin for each in whole),
        "largest_gap_ppb": max((gap_ppb(c.gap_ucoin, c.traded_ucoin) for c in whole), default=0),
    }


def _labels(config: DayConfig, day: HubDay) -> list[str]:
    labels = ["assumed: the connection's size and which cars sell"]
    if config.planning.departure == "actual":
        labels.append("oracle: agents plan on true departures")
    elif day.oracle_rows:
        labels.append(
            f"oracle rows: the stated departure of {day.oracle_rows} cars is a copy of the true one"
        )
    if config.planning.arrivals == "announced":
        labels.append("assumed: drivers announce themselves up to a quarter of an hour ahead")
    if config.need == "delivered":
        labels.append("assumed: a car's need is what it took in truth")
    return labels


def energy_wh(tables: dict[str, pl.DataFrame], needed: int, unmet: int) -> dict[str, int]:
    """What meters counted; sources = needed - unmet + sold_to_grid + losses."""
    rounds = tables["rounds"]
    main_wh = _main_net_wh(tables)
    from_pv = int(rounds["pv_wh"].sum())
    return {
        "needed": needed,
        "from_cars": int(rounds["sold_wh"].sum()) - from_pv,
        "from_grid": sum(max(net, 0) for net in main_wh.values()),
        "from_pv": from_pv,
        "sold_to_grid": sum(max(-net, 0) for net in main_wh.values()),
        "unmet": unmet,
        "losses": int(rounds["site_loss_wh"].sum()),
    }


def _main_net_wh(tables: dict[str, pl.DataFrame]) -> dict[int, int]:
    """What the main meter counted in each slot: above zero drawn, below zero fed in."""
    main = tables["readings"].filter(tables["readings"]["port"] == "")
    return {
        row["slot_start_s"]: row["import_end_wh"]
        - row["import_start_wh"]
        - (row["export_end_wh"] - row["export_start_wh"])
        for row in main.iter_rows(named=True)
    }


def supplier_by_main_meter_ucoin(tables: dict[str, pl.DataFrame]) -> int:
    """What the supplier is due by main meter and tariff, without a look at any account."""
    net_wh = _main_net_wh(tables)
    due = 0
    for row in tables["rounds"].iter_rows(named=True):
        net = net_wh.get(row["slot_start_s"], 0)
        due += cost_floor_ucoin(max(net, 0), row["retail_ucoin_per_kwh"])
        due -= cost_ceil_ucoin(max(-net, 0), row["feed_in_ucoin_per_kwh"])
    return due


def money_ucoin(rounds: pl.DataFrame) -> dict[str, int]:
    flows = {
        "paid_by_buyers": -int(rounds["paid_ucoin"].sum()),
        "received_by_sellers": int(rounds["received_ucoin"].sum()),
        "supplier": int(rounds["supplier_ucoin"].sum()),
        "fees": int(rounds["fees_ucoin"].sum()),
        "penalties": -int(rounds["penalty_ucoin"].sum()),
        "site_operator": int(rounds["operator_ucoin"].sum()),
        "pot": int(rounds["pot_ucoin"].sum()),
    }
    return {**flows, "sum": sum(flows.values())}


def _market(tables: dict[str, pl.DataFrame], energy: dict[str, int]) -> Row:
    """The market's day in the planner's terms: resources used, not money moved."""
    rounds, cars = tables["rounds"], tables["cars"]
    net_wh = _main_net_wh(tables)
    lost_load = rounds["lost_load_ucoin_per_kwh"].to_list()
    cost = int(cars["own_cost_ucoin"].sum()) * WH_PER_KWH
    cost += int(cars["unmet_wh"].sum()) * max(lost_load, default=0)
    for row in rounds.iter_rows(named=True):
        net = net_wh.get(row["slot_start_s"], 0)
        cost += max(net, 0) * row["retail_ucoin_per_kwh"]
        cost -= max(-net, 0) * row["feed_in_ucoin_per_kwh"]
    return _yardstick(
        cost / WH_PER_KWH / UCOIN_PER_COIN,
        energy["unmet"] / WH_PER_KWH,
        energy["from_grid"] / WH_PER_KWH,
        energy["from_cars"] / WH_PER_KWH,
    )


def yardsticks_of(day: HubDay) -> tuple[Schedule, dict[str, Row]]:
    """Plug-and-charge, and every yardstick: it, the best grid-only plan, the optimum."""
    problem = day.problem()
    plug = plug_and_charge(problem)
    schedules = {
        "plug_and_charge": plug,
        "best_grid_only": optimal_schedule(without_sellers(problem)).schedule,
        "optimum": optimal_schedule(problem).schedule,
    }
    return plug, {
        name: _yardstick(
            each.cost_usd,
            float(each.unmet_kwh.sum()),
            float(each.grid_kwh.sum()),
            float(each.discharge_kwh.sum()),
        )
        for name, each in schedules.items()
    }


def _yardstick(cost_usd: float, unmet_kwh: float, grid_kwh: float, cars_kwh: float) -> Row:
    return {
        "cost_usd": round(cost_usd, 4),
        "unmet_kwh": round(unmet_kwh, 3),
        "grid_kwh": round(grid_kwh, 3),
        "cars_kwh": round(cars_kwh, 3),
    }
