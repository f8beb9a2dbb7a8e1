"""A made-up hub day, cleared and settled by the contracts' own arithmetic, seeds fixed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from made_up_clearing import cleared_book

from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import award
from peerwatt.contracts.settlement import Pool, settle
from peerwatt.records.market import (
    Award,
    BuyOrder,
    Clearing,
    Mechanism,
    PriceRule,
    Prices,
    SellOrder,
    SettledAward,
    Side,
)
from peerwatt.records.readings import MeterReading
from peerwatt.reporting.day_tables import DAY_TABLES

MIDNIGHT_S = 1_566_370_800  # 2019-08-21 in Los Angeles
SLOT_S = 900
PORT_WH = 1650
LOST_LOAD = 500_000
FEED_IN = 50_000
NO_LIMIT_WH = 250_000_000
OWNER = bytes(32)

Row = dict[str, Any]


@dataclass
class Car:
    """One car of the made-up day and its account."""

    row: Row
    cost_usd_per_kwh: float = 0.0
    registers: list[int] = field(default_factory=lambda: [0, 0])

    def left_wh(self) -> int:
        if self.row["role"] == "buyer":
            return int(self.row["need_wh"] - self.row["charged_wh"])
        return int(self.row["for_sale_wh"] - self.row["sold_wh"])


def trade_a_day(
    *,
    seed: int = 1,
    buyers: int = 62,
    sellers: int = 11,
    limit_kw: float | None = 72.0,
    pv_kwp: float = 0.0,
    mechanism: str = "welfare",
    fee: int = 0,
    void_every: int = 0,
) -> dict[str, list[Row]]:
    """The rows of a day's tables, receipts apart; `void_every` n voids each nth round."""
    rng = np.random.default_rng(seed)
    cars = _cars(rng, buyers, sellers, pv_kwp)
    rows: dict[str, list[Row]] = defaultdict(list)
    limit_wh = NO_LIMIT_WH if limit_kw is None else int(limit_kw * 250)
    main = [0, 0]
    for slot in range(112):
        start_s = MIDNIGHT_S + slot * SLOT_S
        hour = slot / 4 % 24
        prices = Prices(
            price_rule=PriceRule.MIDPOINT,
            retail_ucoin_per_kwh=496_000 if 16 <= hour < 21 else 126_000,
            feed_in_ucoin_per_kwh=FEED_IN,
            network_fee_ucoin_per_kwh=fee,
            platform_fee_ucoin_per_kwh=0,
            levy_ucoin_per_kwh=0,
            lost_load_ucoin_per_kwh=LOST_LOAD,
            shortfall_penalty_ucoin_per_kwh=20_000,
            failed_clearing_penalty_ucoin=1_000_000,
        )
        orders = _orders(rng, cars, start_s, hour, pv_kwp)
        if orders:
            book = Book(
                Mechanism[mechanism.upper().replace("-", "_")],
                [each for each, _ in orders if isinstance(each, BuyOrder)],
                [each for each, _ in orders if isinstance(each, SellOrder)],
                prices,
                limit_wh,
                limit_wh,
            )
            void = bool(void_every) and len(rows["rounds"]) % void_every == void_every - 1
            _round(rng, rows, book, dict(_by_id(orders)), start_s, void, main)
    _settle_cars(cars, rng)
    rows["cars"] = [car.row for car in cars]
    return rows


def _cars(rng: np.random.Generator, buyers: int, sellers: int, pv_kwp: float) -> list[Car]:
    cars = []
    for at in range(buyers + sellers):
        sells = at >= buyers
        arrival = MIDNIGHT_S + int(3600 * np.clip(rng.normal(8.5, 2.6), 4.5, 20))
        stay = int(3600 * np.clip(rng.normal(8.2, 2.0), 1, 15))
        stated = stay if at % 9 == 4 else int(stay * rng.uniform(0.7, 1.3))
        cars.append(
            Car(
                _car_row(
                    f"1_1_{170 + at}_{800 + at}_2019-08-21 {at % 24:02}:04:06.017353",
                    f"ag-1f{at:02}",
                    "seller" if sells else "buyer",
                    arrival_s=arrival,
                    departure_s=arrival + stay,
                    planned_departure_s=arrival + int(0.75 * stated),
                    oracle=stated == stay,
                    need_wh=0 if sells else int(min(rng.gamma(2.2, 8000) + 500, stay * 1.8)),
                    for_sale_wh=int(rng.uniform(12_000, 38_000)) if sells else 0,
                ),
                cost_usd_per_kwh=rng.uniform(0.17, 0.26),
            )
        )
    if pv_kwp:
        row = _car_row("pv", "roof", "pv", arrival_s=MIDNIGHT_S, departure_s=MIDNIGHT_S + 100_800)
        cars.append(Car(row | {"for_sale_wh": 10**9}))
    return cars


def _car_row(session_id: str, port: str, role: str, **given: Any) -> Row:
    zeros = dict.fromkeys(DAY_TABLES["cars"], 0)
    return zeros | {"session_id": session_id, "port": port, "role": role, "oracle": False} | given


def _orders(
    rng: np.random.Generator, cars: list[Car], start_s: int, hour: float, pv_kwp: float
) -> list[tuple[BuyOrder | SellOrder, Car]]:
    orders: list[tuple[BuyOrder | SellOrder, Car]] = []
    for car in cars:
        row = car.row
        present = row["arrival_s"] <= start_s and start_s + SLOT_S <= row["departure_s"]
        most = min(car.left_wh(), PORT_WH)
        if row["role"] == "pv":
            sun = max(np.sin((hour - 6) / 13 * np.pi), 0) if 6 < hour < 19 else 0
            most = int(pv_kwp * 200 * sun)
        if not present or most < 20:
            continue
        data = f"{row['session_id']}/{start_s}".encode()
        order_id = hashlib.sha256(data).digest()
        common: Row = {"order_id": order_id, "owner": OWNER, "port": row["port"], "held_ucoin": 0}
        if row["role"] == "buyer":
            slots_left = max((row["planned_departure_s"] - start_s) / SLOT_S, 1)
            urgency = min(car.left_wh() / (slots_left * PORT_WH), 1)
            low = int(rng.uniform(120_000, 135_000))
            high = max(int(low + (LOST_LOAD - low) * max(urgency, 0.55) ** 3), int(low * 1.05))
            lowest = int(most * 0.8) if urgency == 1 else 0
            order: BuyOrder | SellOrder = BuyOrder(
                min_wh=lowest,
                max_wh=most,
                price_high_ucoin_per_kwh=high,
                price_low_ucoin_per_kwh=low,
                **common,
            )
        else:
            order = SellOrder(
                max_wh=most,
                ask_ucoin_per_kwh=int(car.cost_usd_per_kwh * 1_000_000),
                slope_ucoin_per_kwh2=0 if row["role"] == "pv" else 10_000,
                **common,
            )
        orders.append((order, car))
    return sorted(orders, key=lambda each: each[0].order_id)


def _by_id(orders: list[tuple[BuyOrder | SellOrder, Car]]) -> list[tuple[bytes, Car]]:
    return [(order.order_id, car) for order, car in orders]


def _round(
    rng: np.random.Generator,
    rows: dict[str, list[Row]],
    book: Book,
    cars: dict[bytes, Car],
    start_s: int,
    void: bool,
    main: list[int],
) -> None:
    book_orders: list[BuyOrder | SellOrder] = [*book.buys, *book.sells]
    rows["orders"] += [_order_row(each, cars[each.order_id], start_s) for each in book_orders]
    fixed = _round_row(book, start_s)
    if void:
        rows["rounds"].append(fixed | {"status": "void"})
        return
    cleared = cleared_book(book)
    outcome, pricing = cleared.outcome, cleared.pricing
    awards = award(book, outcome, pricing)
    by_member = book.mechanism == Mechanism.WELFARE_PAIRS
    clearing = Clearing(
        price_ucoin_per_kwh=outcome.price_ucoin_per_kwh,
        buyer_price_ucoin_per_kwh=pricing.buyer_price,
        bought_wh=sum(outcome.bought_wh),
        sold_wh=sum(outcome.sold_wh),
        import_wh=outcome.import_wh,
        export_wh=outcome.export_wh,
        supplier_held_ucoin=0,
        sellers_dropped=False,
        proposer=b"",
        gap_ucoin=0,
        traded_ucoin=0,
    )
    readings = _readings(rng, rows, awards, cars, start_s)
    pool = settle(
        awards, readings, book.prices, clearing, book.import_limit_wh, book.export_limit_wh
    )
    for each, given in zip(pool.settled, awards, strict=True):
        _book_award(rows, each, given, cars[each.order_id], start_s)
    loss = int(rng.integers(-2, 4))
    net = pool.import_wh - pool.export_wh + loss
    rows["readings"].append(_reading_row("", start_s, len(rows["rounds"]), main, net))
    main[0] += max(net, 0)
    main[1] += max(-net, 0)
    money = _money(book, pool, net)
    rows["rounds"].append(
        fixed
        | money
        | {
            "status": "settled",
            "cleared_by": "aggregator" if by_member else "ledger",
            "gap_ucoin": cleared.gap_ucoin,
            "traded_ucoin": cleared.traded_ucoin,
            "price_ucoin_per_kwh": outcome.price_ucoin_per_kwh,
            "buyer_price_ucoin_per_kwh": pricing.buyer_price,
            "bought_wh": pool.bought_wh,
            "sold_wh": pool.sold_wh,
            "import_wh": pool.import_wh,
            "export_wh": pool.export_wh,
            "unserved_wh": pool.unserved_wh,
            "site_loss_wh": loss,
            "pv_wh": sum(
                each.metered_wh for each in pool.settled if cars[each.order_id].row["role"] == "pv"
            ),
        }
    )


def _money(book: Book, pool: Pool, main_net_wh: int) -> Row:
    """What moved: the supplier is due the main meter, the operator bears the difference."""
    retail = book.prices.retail_ucoin_per_kwh
    paid, received, penalty = (
        sum(getattr(each, f"{what}_ucoin") for each in pool.settled)
        for what in ("paid", "received", "penalty")
    )
    fees = (pool.sold_wh - pool.export_wh) * book.prices.local_fee_ucoin_per_kwh // 1000
    pooled = (pool.import_wh * retail - pool.export_wh * FEED_IN) // 1000
    supplier = main_net_wh * (retail if main_net_wh > 0 else FEED_IN) // 1000
    return {
        "paid_ucoin": paid,
        "received_ucoin": received,
        "penalty_ucoin": penalty,
        "supplier_ucoin": supplier,
        "operator_ucoin": pooled - supplier,
        "fees_ucoin": fees,
        "pot_ucoin": paid + penalty - received - pooled - fees,
    }


def _round_row(book: Book, start_s: int) -> Row:
    return dict.fromkeys(DAY_TABLES["rounds"], 0) | {
        "slot_start_s": start_s,
        "mechanism": book.mechanism.name.lower().replace("_", "-"),
        "cleared_by": None,
        "gap_ucoin": None,
        "iterations": None,
        "traded_ucoin": None,
        "price_ucoin_per_kwh": None,
        "buyer_price_ucoin_per_kwh": None,
        "retail_ucoin_per_kwh": book.prices.retail_ucoin_per_kwh,
        "feed_in_ucoin_per_kwh": FEED_IN,
        "fee_ucoin_per_kwh": book.prices.local_fee_ucoin_per_kwh,
        "lost_load_ucoin_per_kwh": LOST_LOAD,
        "import_limit_wh": book.import_limit_wh,
        "export_limit_wh": book.export_limit_wh,
        "orders": len(book.buys) + len(book.sells),
    }


def _order_row(order: BuyOrder | SellOrder, car: Car, start_s: int) -> Row:
    row = dict.fromkeys(DAY_TABLES["orders"]) | {
        "slot_start_s": start_s,
        "order_id": order.order_id.hex(),
        "car": car.row["session_id"],
        "port": order.port,
        "side": "buy" if isinstance(order, BuyOrder) else "sell",
    }
    return {key: getattr(order, key, None) if row[key] is None else row[key] for key in row}


def _readings(
    rng: np.random.Generator,
    rows: dict[str, list[Row]],
    awards: list[Award],
    cars: dict[bytes, Car],
    start_s: int,
) -> dict[str, MeterReading]:
    readings = {}
    for each in awards:
        chance = rng.random()
        share = rng.uniform(0.3, 0.95) if chance < 0.03 else 1.0
        net = int(each.energy_wh * share) * (1 if each.side == Side.BUY else -1)
        car = cars[each.order_id]
        row = _reading_row(each.port, start_s, len(rows["rounds"]), car.registers, net)
        rows["readings"].append(row)
        car.registers[0] += max(net, 0)
        car.registers[1] += max(-net, 0)
        kept = {key: row[key] for key in row if key not in ("slot_start_s", "port", "meter")}
        readings[each.port] = MeterReading(
            meter=bytes.fromhex(row["meter"]), start_s=start_s, end_s=start_s + SLOT_S, **kept
        )
    return readings


def _reading_row(port: str, start_s: int, sequence: int, registers: list[int], net: int) -> Row:
    return {
        "slot_start_s": start_s,
        "port": port,
        "meter": hashlib.sha256(f"meter {port}".encode()).hexdigest(),
        "sequence": sequence,
        "import_start_wh": registers[0],
        "import_end_wh": registers[0] + max(net, 0),
        "export_start_wh": registers[1],
        "export_end_wh": registers[1] + max(-net, 0),
    }


def _book_award(
    rows: dict[str, list[Row]], settled: SettledAward, given: Award, car: Car, start_s: int
) -> None:
    buys = settled.side == Side.BUY
    car.row["charged_wh" if buys else "sold_wh"] += settled.metered_wh
    money = {
        key: getattr(settled, key) for key in ("paid_ucoin", "received_ucoin", "penalty_ucoin")
    }
    for key, value in money.items():
        car.row[key] += value
    rows["awards"].append(
        {
            "slot_start_s": start_s,
            "order_id": settled.order_id.hex(),
            "car": car.row["session_id"],
            "port": settled.port,
            "side": "buy" if buys else "sell",
            "energy_wh": given.energy_wh,
            "price_ucoin_per_kwh": given.price_ucoin_per_kwh,
            "metered_wh": settled.metered_wh,
            "excused_wh": settled.excused_wh,
            "flags": settled.flags,
            **money,
        }
    )


def _settle_cars(cars: list[Car], rng: np.random.Generator) -> None:
    for car in cars:
        row = car.row
        if row["role"] == "buyer":
            row["unmet_wh"] = row["need_wh"] - row["charged_wh"]
            row["plug_charged_wh"] = int(row["need_wh"] * rng.uniform(0.75, 1))
            unmet = row["need_wh"] - row["plug_charged_wh"]
            row["plug_cost_ucoin"] = row["plug_charged_wh"] * 150 + unmet * 500
        row["own_cost_ucoin"] = int(row["sold_wh"] * 1000 * car.cost_usd_per_kwh)
        row["market_cost_ucoin"] = (
            row["paid_ucoin"]
            + row["penalty_ucoin"]
            + row["unmet_wh"] * LOST_LOAD // 1000
            - row["received_ucoin"]
            + row["own_cost_ucoin"]
        )


def frame(table: str, rows: list[Row]) -> pl.DataFrame:
    """A day's table, its types kept where it has no rows."""
    columns = DAY_TABLES[table]
    schema = {name: getattr(pl, kind) for name, (kind, _) in columns.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")
