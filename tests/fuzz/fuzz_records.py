"""What parties send after a settlement: records of what they traded.

Knows the messages and the bench. Every decision comes from `Choices`.
"""

from __future__ import annotations

from typing import Any

from fuzz_bench import BY_NAME, NAMES, Bench
from fuzz_choices import Choices, pick
from fuzz_spoil import NONE, Move
from recording import FIRST_RECORD
from small_hub import public, round_id

from peerwatt.contracts.state import HISTORIES, SETTLEMENTS
from peerwatt.records.market import Side


def record_trade(bench: Bench, choices: Choices) -> Move:
    """A purchase and a sale of one round, as far as there are some, in both wallets' histories."""
    known = bench.rows(BY_NAME[SETTLEMENTS.name])
    buys = [row for row in known if row[2].side == Side.BUY]
    none = {"round_id": round_id(0), "order_id": NONE, "sale_id": NONE, "seller": public("bob")}
    fields: dict[str, Any] = FIRST_RECORD | none
    buyer, seller = "ann", "bob"
    if buys:
        round_at, order_id, bought = pick(choices, buys)
        sells = [row for row in known if row[0] == round_at and row[2].side == Side.SELL]
        fields |= {"round_id": round_at, "order_id": order_id}
        buyer = NAMES[bought.owner]
        if sells:
            _, sale_id, sold = pick(choices, sells)
            seller = NAMES[sold.owner]
            fields |= {"sale_id": sale_id, "seller": sold.owner}
    fields["time_s"] = pick(choices, (bench.now_s, bench.now_s - 1, bench.now_s + 1))
    for name, wallet in (("history", buyer), ("seller_history", seller)):
        known_history = bench.state.get(HISTORIES, public(wallet))
        fields[name] = bytes(32) if known_history is None else known_history.head
    return Move(buyer, fields, cosigner=seller)
