"""Sealed orders: what is said before the gate, what is shown after it, and how the two are bound.

Knows units, the codec and the header of messages. Agents and the ledger share `commitment_of`.
"""

from __future__ import annotations

from peerwatt.records.auction import RoundId
from peerwatt.records.codec import Record, digest, encode
from peerwatt.records.message_header import Header
from peerwatt.units import (
    UCOIN_PER_COIN,
    EnergyWh,
    Hash,
    Key,
    Name,
    PriceUcoinPerKwh,
    SlopeUcoinPerKwh2,
    Ucoin,
)

DEPOSITS_UCOIN = tuple(UCOIN_PER_COIN * 4**rung for rung in range(10))
"""The public ladder: a deposit says no more of an order than its rung."""


class BuyTerms(Record, tag=1):
    """What a wish for energy says of energy and prices, named as in `PlaceBuyOrder`."""

    min_wh: EnergyWh
    max_wh: EnergyWh
    price_high_ucoin_per_kwh: PriceUcoinPerKwh
    price_low_ucoin_per_kwh: PriceUcoinPerKwh
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


class SellTerms(Record, tag=2):
    """What an offer says of energy and prices, named as in `PlaceSellOrder`."""

    max_wh: EnergyWh
    ask_ucoin_per_kwh: PriceUcoinPerKwh
    slope_ucoin_per_kwh2: SlopeUcoinPerKwh2
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


Terms = BuyTerms | SellTerms


class SealedOrder(Record):
    """An order of which the ledger knows no more than a commitment and a deposit."""

    order_id: Hash
    owner: Key
    port: Name
    deposit_ucoin: Ucoin
    commitment: Hash


class SealOrder(Header, tag=29):
    """A driver commits to an order before the gate, with a deposit from the public ladder."""

    round_id: RoundId
    port: Name
    deposit_ucoin: Ucoin
    commitment: Hash


class RevealOrder(Header, tag=30):
    """Between the gate and `reveal_by_s` the owner of a sealed order shows what it says."""

    round_id: RoundId
    order_id: Hash
    terms: Terms
    salt: Hash


def commitment_of(
    chain_id: str, owner: bytes, round_id: bytes, port: str, terms: Terms, salt: bytes
) -> bytes:
    """The hash that binds an owner to these terms in this round at this port."""
    domain = f"peerwatt/sealed-order/{chain_id}\n".encode()
    return digest(domain + encode((owner, round_id, port, terms, salt)))


def least_deposit_ucoin(held_ucoin: int) -> int | None:
    """The lowest rung that covers what an order holds, if one does."""
    return next((rung for rung in DEPOSITS_UCOIN if rung >= held_ucoin), None)
