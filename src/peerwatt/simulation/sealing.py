"""Sealed orders of a day: agents commit to them before the gate and show them after it.

Knows visits, agents and the messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peerwatt.agents.sealing import salt_of, seal_fields
from peerwatt.hosts.host import View
from peerwatt.records.market import Round
from peerwatt.records.receipts import Receipt
from peerwatt.records.sealed import SealedOrder, Terms
from peerwatt.records.transactions import RevealOrder, SealOrder
from peerwatt.simulation.cast import Visit


class Sealing:
    """What agents keep to themselves of the orders of the round at hand.

    Args:
        chain_id: the chain's name, which is part of what is committed to.
        view: the ledger, as anybody sees it.
        note: hears of every message and its receipt.
    """

    def __init__(self, chain_id: str, view: View, note: Callable[[str, Receipt], None]) -> None:
        self._chain_id, self._view, self._note = chain_id, view, note
        self._kept: dict[bytes, tuple[Visit, Terms]] = {}
        """Whose each is and what it says, by commitment."""

    def seal(self, visit: Visit, round_id: bytes, terms: Terms, valid_until_s: int) -> None:
        """An order of which the ledger learns no more than port and deposit before the gate."""
        market_round: Round = self._view.get("rounds", round_id)
        fields: dict[str, Any] = seal_fields(
            terms,
            market_round.mechanism,
            market_round.prices,
            visit.signer.key,
            (self._chain_id, round_id, visit.port),
        )
        self._kept[fields["commitment"]] = visit, terms
        fields |= {"round_id": round_id, "port": visit.port}
        self._note("SealOrder", visit.signer.send(SealOrder, valid_until_s=valid_until_s, **fields))

    def reveal(self, round_id: bytes, valid_until_s: int) -> None:
        """Everybody shows what the ledger holds of it; then nothing is left to keep."""
        rows: list[tuple[bytes, SealedOrder]] = self._view.items("sealed_orders", round_id)
        for order_id, sealed in rows:
            visit, terms = self._kept[sealed.commitment]
            receipt = visit.signer.send(
                RevealOrder,
                valid_until_s=valid_until_s,
                round_id=round_id,
                order_id=order_id,
                terms=terms,
                salt=salt_of(visit.signer.key, self._chain_id, round_id, sealed.port),
            )
            self._note("RevealOrder", receipt)
        self._kept.clear()
