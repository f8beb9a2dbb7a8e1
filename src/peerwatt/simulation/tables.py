"""What a chain holds of a day, as tables: rounds, orders, awards, readings, receipts, refusals.

Knows the records and reads a chain; the names of cars come from whoever ran the day. Every
number is the ledger's own whole unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from peerwatt.hosts.replica import Replica
from peerwatt.records.codec import CodecError, decode
from peerwatt.records.market import (
    Award,
    BuyOrder,
    Clearing,
    Mechanism,
    Order,
    Round,
    SettledAward,
    SettlementTotals,
)
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.transactions import ProposeAuction, ReviseOrder, parse
from peerwatt.simulation.cast import ROOF

if TYPE_CHECKING:
    import polars as pl

Row = dict[str, Any]

TOTALS = (
    *("bought_wh", "sold_wh", "import_wh", "export_wh", "unserved_wh", "site_loss_wh"),
    *("paid_ucoin", "received_ucoin", "penalty_ucoin", "supplier_ucoin", "operator_ucoin"),
    "pot_ucoin",
)
CLEARED = ("cleared_by", "gap_ucoin", "iterations", "traded_ucoin")
LEDGER_ITSELF, GRID_ALONE = "ledger", "grid alone"
"""Who cleared a round that no member proved; the second without its sellers."""
PRICES = ("price", "buyer_price", "retail", "feed_in", "fee", "lost_load")
ORDER: tuple[str, ...] = ("min_wh", "max_wh", "price_high_ucoin_per_kwh", "price_low_ucoin_per_kwh")
ORDER += ("ask_ucoin_per_kwh", "slope_ucoin_per_kwh2")
SETTLED = ("metered_wh", "excused_wh", "paid_ucoin", "received_ucoin", "penalty_ucoin", "flags")
REGISTERS = ("import_start_wh", "import_end_wh", "export_start_wh", "export_end_wh")
WHOSE = ("slot_start_s", "order_id", "car", "port", "side")
REFUSAL = ("reason", "reason_name", "field")
COLUMNS: dict[str, tuple[str, ...]] = {
    "rounds": (
        *("slot_start_s", "status", "mechanism", *CLEARED),
        *(f"{name}_ucoin_per_kwh" for name in PRICES),
        *("import_limit_wh", "export_limit_wh", "orders", *TOTALS, "fees_ucoin", "flags", "pv_wh"),
    ),
    "orders": (*WHOSE, *ORDER),
    "awards": (*WHOSE, "energy_wh", "price_ucoin_per_kwh", *SETTLED),
    "readings": ("slot_start_s", "port", "meter", "sequence", *REGISTERS),
    "receipts": ("height", "index", "transaction_id", "message", "signer", *REFUSAL),
    "refused": ("where", "height", "message", *REFUSAL, "words"),
    "cars": (
        *("session_id", "port", "role", "oracle"),
        *("arrival_s", "departure_s", "planned_departure_s"),
        *("need_wh", "for_sale_wh", "charged_wh", "sold_wh", "unmet_wh"),
        *("paid_ucoin", "received_ucoin", "penalty_ucoin", "own_cost_ucoin"),
        *("plug_charged_wh", "plug_cost_ucoin", "market_cost_ucoin"),
    ),
}
TEXT = (
    *(
        "status",
        "mechanism",
        "cleared_by",
        "order_id",
        "car",
        "port",
        "side",
        "meter",
        "transaction_id",
    ),
    *("message", "signer", "reason_name", "field", "where", "words", "session_id", "role"),
)


def chain_tables(chain: Replica, cars: Mapping[bytes, str], site: str) -> dict[str, pl.DataFrame]:
    """Every table that the chain alone gives; `cars` names the owners of wallets."""
    return site_tables(chain, cars, site) | {"receipts": receipts_table(chain)}


def receipts_table(chain: Replica) -> pl.DataFrame:
    """Every message on the chain, whoever's, with the ledger's answer."""
    return frame("receipts", list(_receipts(chain)))


def site_tables(chain: Replica, cars: Mapping[bytes, str], site: str) -> dict[str, pl.DataFrame]:
    """What the chain holds of one site's rounds; `cars` names the owners of wallets."""
    rounds = [(key, each) for key, each in chain.items("rounds") if each.site == site]
    ends = auction_ends(chain)
    rows: dict[str, list[Row]] = {
        "rounds": [],
        "orders": [],
        "awards": [],
        "readings": [],
    }
    for key, each in rounds:
        slot = {"slot_start_s": each.slot_start_s}
        for _, data in chain.sealed("orders", key):
            rows["orders"].append(slot | _order(decode(data, Order), cars))  # type: ignore[arg-type]
        settled = {k: decode(v, SettledAward) for k, v in chain.sealed("settlements", key)}
        roof = [each.metered_wh for each in settled.values() if each.port == ROOF]
        rows["rounds"].append(_round(chain, each, sum(roof), ends))
        for order_id, data in chain.sealed("awards", key):
            award = decode(data, Award)
            rows["awards"].append(slot | _award(award, settled.get(order_id), cars))
        for port, data in chain.sealed("readings", key):
            rows["readings"].append(slot | _reading(port, decode(data, SignedReading)))
    return {name: frame(name, content) for name, content in rows.items()}


def mechanism_name(mechanism: Mechanism) -> str:
    """As people write it: `welfare-pairs`."""
    return mechanism.name.lower().replace("_", "-")


def cleared_by(chain: Replica, clearing: Clearing) -> str:
    """Who cleared a round: the ledger, the member that proved it, or nobody but the grid."""
    if clearing.sellers_dropped:
        return GRID_ALONE
    if not clearing.proposer:
        return LEDGER_ITSELF
    member = chain.get("members", clearing.proposer)
    return clearing.proposer.hex() if member is None else str(member.name)


def auction_ends(chain: Replica) -> dict[bytes, ProposeAuction]:
    """How auctions ended, by the hash by which a round names the proposal that won."""
    if not any(each.mechanism == Mechanism.ITERATIVE_AUCTION for _, each in chain.items("rounds")):
        return {}
    ends = {}
    for height in range(1, chain.height + 1):
        for data in chain.block(height).transactions:
            try:
                transaction, message = parse(data)
            except CodecError:
                continue
            if isinstance(message, ProposeAuction):
                ends[transaction.message_id] = message
    return ends


def revised_limits(chain: Replica) -> dict[bytes, int]:
    """The limits that losers signed for the second of two rounds, by order."""
    limits = {}
    for height in range(1, chain.height + 1):
        for data, receipt in zip(
            chain.block(height).transactions, chain.receipts(height), strict=True
        ):
            if receipt.ok:
                _, message = parse(data)
                if isinstance(message, ReviseOrder):
                    limits[message.order_id] = message.limit_ucoin_per_kwh
    return limits


def _round(chain: Replica, each: Round, pv_wh: int, ends: Mapping[bytes, ProposeAuction]) -> Row:
    prices, clearing = each.prices, each.clearing
    end = None if each.proposed is None else ends.get(each.proposed.prices_hash)
    totals = each.totals if each.totals is not None else SettlementTotals()
    return {
        "slot_start_s": each.slot_start_s,
        "status": each.status.name.lower(),
        "mechanism": mechanism_name(each.mechanism),
        "cleared_by": cleared_by(chain, clearing) if clearing else None,
        "gap_ucoin": clearing.gap_ucoin if clearing else None,
        "iterations": None if end is None else end.iteration + 1,
        "traded_ucoin": clearing.traded_ucoin if clearing else None,
        "price_ucoin_per_kwh": clearing.price_ucoin_per_kwh if clearing else None,
        "buyer_price_ucoin_per_kwh": clearing.buyer_price_ucoin_per_kwh if clearing else None,
        "retail_ucoin_per_kwh": prices.retail_ucoin_per_kwh,
        "feed_in_ucoin_per_kwh": prices.feed_in_ucoin_per_kwh,
        "fee_ucoin_per_kwh": prices.local_fee_ucoin_per_kwh,
        "lost_load_ucoin_per_kwh": prices.lost_load_ucoin_per_kwh,
        "import_limit_wh": each.import_limit_wh,
        "export_limit_wh": each.export_limit_wh,
        "orders": each.order_count,
        **{name: getattr(totals, name) for name in TOTALS},
        "fees_ucoin": totals.network_fee_ucoin + totals.platform_fee_ucoin + totals.levy_ucoin,
        "flags": totals.flags,
        "pv_wh": pv_wh,
    }


def _order(order: Order, cars: Mapping[bytes, str]) -> Row:
    buys = isinstance(order, BuyOrder)
    return {
        "order_id": order.order_id.hex(),
        "car": cars.get(order.owner, order.owner.hex()),
        "port": order.port,
        "side": "buy" if buys else "sell",
        **{name: getattr(order, name, None) for name in ORDER},
    }


def _award(award: Award, settled: SettledAward | None, cars: Mapping[bytes, str]) -> Row:
    return {
        "order_id": award.order_id.hex(),
        "car": cars.get(award.owner, award.owner.hex()),
        "port": award.port,
        "side": award.side.name.lower(),
        "energy_wh": award.energy_wh,
        "price_ucoin_per_kwh": award.price_ucoin_per_kwh,
        **{name: getattr(settled, name, None) for name in SETTLED},
    }


def _reading(port: bytes, signed: SignedReading) -> Row:
    reading = signed.reading
    return {
        "port": port.decode(),
        "meter": reading.meter.hex(),
        "sequence": reading.sequence,
        **{name: getattr(reading, name) for name in REGISTERS},
    }


def _receipts(chain: Replica) -> Iterator[Row]:
    for height in range(1, chain.height + 1):
        transactions = chain.block(height).transactions
        for index, (data, receipt) in enumerate(
            zip(transactions, chain.receipts(height), strict=True)
        ):
            kind, signer = kind_and_signer(data)
            yield {
                "height": height,
                "index": index,
                "transaction_id": receipt.transaction_id.hex(),
                "message": kind,
                "signer": signer,
                "reason": receipt.reason,
                "reason_name": Reason(receipt.reason).name,
                "field": receipt.field,
            }


def kind_and_signer(transaction: bytes) -> tuple[str, str]:
    """The kind of message that a transaction carries and who signed it, as far as can be told."""
    try:
        message = parse(transaction)[1]
    except CodecError:
        return "unreadable", ""
    return type(message).__name__, message.signer.hex()


def refused_rows(admission: Iterable[tuple[str, Receipt]], receipts: pl.DataFrame) -> list[Row]:
    """Everything that was turned away, at admission or in a block, with the reason in words."""
    rows = [_refused("admission", None, kind, r.reason, r.field) for kind, r in admission]
    in_blocks = receipts.filter(receipts["reason"] != 0).iter_rows(named=True)
    return rows + [
        _refused("block", row["height"], row["message"], row["reason"], row["field"])
        for row in in_blocks
    ]


def _refused(where: str, height: int | None, message: str, reason: int, field: str) -> Row:
    return {
        "where": where,
        "height": height,
        "message": message,
        "reason": reason,
        "reason_name": Reason(reason).name,
        "field": field,
        "words": Reason(reason).words,
    }


def frame(name: str, rows: list[Row]) -> pl.DataFrame:
    """A table with all its columns and types even where it has no rows."""
    import polars as pl

    schema = {
        column: pl.Boolean if column == "oracle" else pl.String if column in TEXT else pl.Int64
        for column in COLUMNS[name]
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
