"""Orders that an agent seals, and can show later from what it keeps: its key and the terms.

Knows records. The salt is a signature of round and port that nobody else can make, so that an agent
which is started again finds it again.
"""

from __future__ import annotations

from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism, Prices
from peerwatt.records.sealed import (
    BuyTerms,
    SellTerms,
    Terms,
    commitment_of,
    least_deposit_ucoin,
)
from peerwatt.records.signing import SigningKey
from peerwatt.units import cost_ceil_ucoin

SALT_DOMAIN = "sealed-order-salt"


def terms_of(fields: dict[str, int]) -> Terms:
    """What the fields of an order say, as terms."""
    return BuyTerms(**fields) if "min_wh" in fields else SellTerms(**fields)


def held_ucoin(terms: Terms, mechanism: Mechanism, prices: Prices) -> int:
    """The most that an order with these terms can cost its owner."""
    if isinstance(terms, SellTerms):
        worst = prices.lost_load_ucoin_per_kwh + prices.shortfall_penalty_ucoin_per_kwh
        return cost_ceil_ucoin(terms.max_wh, worst)
    twice = mechanism == Mechanism.V2V
    most = prices.retail_ucoin_per_kwh if twice else terms.price_high_ucoin_per_kwh
    least = cost_ceil_ucoin(terms.min_wh, prices.lost_load_ucoin_per_kwh)
    return least + cost_ceil_ucoin(terms.max_wh - terms.min_wh, most)


def salt_of(key: SigningKey, chain_id: str, round_id: bytes, port: str) -> bytes:
    """The salt of an owner's order in a round at a port."""
    return digest(key.sign(SALT_DOMAIN, chain_id, round_id + port.encode()))


def seal_fields(
    terms: Terms,
    mechanism: Mechanism,
    prices: Prices,
    key: SigningKey,
    bound: tuple[str, bytes, str],
) -> dict[str, int | bytes]:
    """The deposit and the commitment of `SealOrder`; `bound` are chain, round and port.

    Raises:
        ValueError: no deposit of the ladder covers it.
    """
    deposit_ucoin = least_deposit_ucoin(held_ucoin(terms, mechanism, prices))
    if deposit_ucoin is None:
        raise ValueError("max_wh: no deposit covers what the order can cost")
    chain_id, round_id, port = bound
    salt = salt_of(key, chain_id, round_id, port)
    commitment = commitment_of(chain_id, key.public, round_id, port, terms, salt)
    return {"deposit_ucoin": deposit_ucoin, "commitment": commitment}
