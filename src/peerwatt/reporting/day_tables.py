"""The tables of a hub day: their columns, what each holds, and a check that they are all there.

Knows names, types and units. Knows no rules. A column may hold nothing where there is nothing to
say: no price in a void round, no metered energy of an award that was not settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

INT, STR, BOOL = "Int64", "String", "Boolean"
Columns = dict[str, tuple[str, str]]

ROUNDS: Columns = {
    "slot_start_s": (INT, "when the slot starts that is traded, unix seconds"),
    "status": (STR, "where the round ended, such as settled or void"),
    "mechanism": (STR, "how it was cleared, such as welfare or iterative-auction"),
    "cleared_by": (STR, "ledger, the member that proved it, or grid alone; none if void"),
    "gap_ucoin": (INT, "welfare that it may have left on the table, at most; none if void"),
    "iterations": (INT, "steps of the last run of its auction; none where there was none"),
    "traded_ucoin": (INT, "worth of the bought energy at the buyers' prices; none if void"),
    "price_ucoin_per_kwh": (INT, "clearing price, in pairs that of the connection; none if void"),
    "buyer_price_ucoin_per_kwh": (INT, "what buyers pay, in pairs the dearest; none if void"),
    "retail_ucoin_per_kwh": (INT, "what the grid's energy costs"),
    "feed_in_ucoin_per_kwh": (INT, "what the grid pays"),
    "fee_ucoin_per_kwh": (INT, "network, platform and levy on energy traded at the site"),
    "lost_load_ucoin_per_kwh": (INT, "worth of energy that cannot wait; caps every price"),
    "import_limit_wh": (INT, "most that the connection draws in the slot"),
    "export_limit_wh": (INT, "most that it feeds in"),
    "orders": (INT, "orders in the book"),
    "bought_wh": (INT, "metered energy of the buyers' awards"),
    "sold_wh": (INT, "metered energy of the sellers' awards, rooftop included"),
    "import_wh": (INT, "what the pool drew from the grid"),
    "export_wh": (INT, "what it fed in"),
    "unserved_wh": (INT, "awarded, and excused as the connection was full"),
    "site_loss_wh": (INT, "main meter's net flow less the pool's; can be negative"),
    "paid_ucoin": (INT, "by buyers for energy"),
    "received_ucoin": (INT, "by sellers for energy"),
    "penalty_ucoin": (INT, "by those that fell short"),
    "supplier_ucoin": (INT, "to the supplier, net"),
    "operator_ucoin": (INT, "to the site's operator; negative: it bore a loss"),
    "fees_ucoin": (INT, "network, platform and levy"),
    "pot_ucoin": (INT, "kept by the market's pot"),
    "flags": (INT, "bits of records.market.Flag"),
    "pv_wh": (INT, "part of sold_wh that came from the roof"),
}

ORDERS: Columns = {
    "slot_start_s": (INT, "the round"),
    "order_id": (STR, "hex"),
    "car": (STR, "session id, or pv"),
    "port": (STR, "the plug"),
    "side": (STR, "buy or sell"),
    "min_wh": (INT, "cannot wait; none for a seller"),
    "max_wh": (INT, "most that is wanted or offered"),
    "price_high_ucoin_per_kwh": (INT, "marginal value just above the minimum; buyers"),
    "price_low_ucoin_per_kwh": (INT, "marginal value at the maximum; buyers"),
    "ask_ucoin_per_kwh": (INT, "marginal cost at nothing sold; sellers"),
    "slope_ucoin_per_kwh2": (INT, "its rise with each kWh sold in the round; sellers"),
}

AWARDS: Columns = {
    "slot_start_s": (INT, "the round"),
    "order_id": (STR, "hex"),
    "car": (STR, "session id, or pv"),
    "port": (STR, "the plug"),
    "side": (STR, "buy or sell"),
    "energy_wh": (INT, "awarded"),
    "price_ucoin_per_kwh": (INT, "that the owner pays or is paid"),
    "metered_wh": (INT, "delivered towards the award"),
    "excused_wh": (INT, "missing without fault"),
    "paid_ucoin": (INT, "for energy"),
    "received_ucoin": (INT, "for energy"),
    "penalty_ucoin": (INT, "for a shortfall"),
    "flags": (INT, "bits of records.market.Flag"),
}

READINGS: Columns = {
    "slot_start_s": (INT, "the round"),
    "port": (STR, "the plug; empty: the site's main meter"),
    "meter": (STR, "public key, hex"),
    "sequence": (INT, "counts the meter's readings"),
    "import_start_wh": (INT, "register towards the device at the slot's start"),
    "import_end_wh": (INT, "and at its end"),
    "export_start_wh": (INT, "register from the device at the slot's start"),
    "export_end_wh": (INT, "and at its end"),
}

RECEIPTS: Columns = {
    "height": (INT, "of the block"),
    "index": (INT, "of the message in its block"),
    "transaction_id": (STR, "hex"),
    "message": (STR, "kind of message"),
    "signer": (STR, "public key, hex"),
    "reason": (INT, "number of records.receipts.Reason; 0 = accepted"),
    "reason_name": (STR, "its name"),
    "field": (STR, "what was wrong; empty when accepted"),
}

CARS: Columns = {
    "session_id": (STR, "of the real charging session, or pv"),
    "port": (STR, "the plug"),
    "role": (STR, "buyer, seller or pv"),
    "oracle": (BOOL, "whether the stated departure is a copy of the true one"),
    "arrival_s": (INT, "unix seconds"),
    "departure_s": (INT, "unix seconds, the true one"),
    "planned_departure_s": (INT, "unix seconds, on which the agent planned"),
    "need_wh": (INT, "wanted over the stay"),
    "for_sale_wh": (INT, "offered over the stay"),
    "charged_wh": (INT, "taken over the stay"),
    "sold_wh": (INT, "given over the stay"),
    "unmet_wh": (INT, "needed and not taken"),
    "paid_ucoin": (INT, "for energy"),
    "received_ucoin": (INT, "for energy"),
    "penalty_ucoin": (INT, "for shortfalls"),
    "own_cost_ucoin": (INT, "a seller's refill and wear of what it sold"),
    "plug_charged_wh": (INT, "what plug-and-charge would have brought"),
    "plug_cost_ucoin": (INT, "its cost then, what is unmet at lost load included"),
    "market_cost_ucoin": (INT, "paid + penalty + unmet at lost load - received + own cost"),
}

REFUSED: Columns = {
    "where": (STR, "admission, or block: on record"),
    "height": (INT, "of the block; none at admission"),
    "message": (STR, "kind of message"),
    "reason": (INT, "number of records.receipts.Reason"),
    "reason_name": (STR, "its name"),
    "field": (STR, "what was wrong"),
    "words": (STR, "what that means, in words"),
}

DAY_TABLES: dict[str, Columns] = {
    "rounds": ROUNDS,
    "orders": ORDERS,
    "awards": AWARDS,
    "readings": READINGS,
    "receipts": RECEIPTS,
    "cars": CARS,
    "refused": REFUSED,
}


class TablesError(ValueError):
    """A day's tables that lack something: one line that names the table and the column."""


def conform(tables: Mapping[str, polars.DataFrame]) -> dict[str, polars.DataFrame]:
    """The day's tables with their columns in order and of their types, whatever else is there.

    Raises TablesError for the first table or column that is missing or holds something else.
    """
    import polars as pl

    conformed = {}
    for table, columns in DAY_TABLES.items():
        if table not in tables:
            raise TablesError(f"{table}: missing")
        schema = tables[table].schema
        for name, (kind, _) in columns.items():
            if name not in schema:
                raise TablesError(f"{table}: column {name} is missing")
            found = schema[name]
            if found not in (getattr(pl, kind), pl.Null) and not (
                found.is_integer() and kind == INT
            ):
                raise TablesError(f"{table}: column {name} must be {kind}, is {found}")
        casts = [pl.col(name).cast(getattr(pl, kind)) for name, (kind, _) in columns.items()]
        conformed[table] = tables[table].select(casts)
    return conformed
