"""Whole units, their bounds, and the only rounding of money.

Knows numbers alone. Energy is whole watt-hours, power whole watts, money whole
micro-coin (1 coin = 1,000,000 ucoin), time whole unix seconds. Only the prices by which a
clearing is proved are finer: pico-coin per kWh (1 ucoin = 1,000,000 pcoin).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

UCOIN_PER_COIN = 1_000_000
PCOIN_PER_UCOIN = 1_000_000
WH_PER_KWH = 1_000
S_PER_H = 3_600
PPM = 1_000_000

MAX_ENERGY_WH = 10**12
MAX_POWER_W = 10**9
MAX_PRICE_UCOIN_PER_KWH = 10**9
MAX_UCOIN = 10**16
MAX_TIME_S = 10**11
MAX_COUNT = 2**53
UNLIMITED_W = MAX_POWER_W

EnergyWh = Annotated[int, Meta(ge=0, le=MAX_ENERGY_WH)]
PowerW = Annotated[int, Meta(ge=0, le=MAX_POWER_W)]
PriceUcoinPerKwh = Annotated[int, Meta(ge=0, le=MAX_PRICE_UCOIN_PER_KWH)]
PricePcoinPerKwh = Annotated[int, Meta(ge=0, le=MAX_PRICE_UCOIN_PER_KWH * PCOIN_PER_UCOIN)]
PriceDifferencePcoinPerKwh = Annotated[
    int,
    Meta(
        ge=-MAX_PRICE_UCOIN_PER_KWH * PCOIN_PER_UCOIN, le=MAX_PRICE_UCOIN_PER_KWH * PCOIN_PER_UCOIN
    ),
]
SlopeUcoinPerKwh2 = Annotated[int, Meta(ge=0, le=MAX_PRICE_UCOIN_PER_KWH)]
Ucoin = Annotated[int, Meta(ge=0, le=MAX_UCOIN)]
TimeS = Annotated[int, Meta(ge=0, le=MAX_TIME_S)]
SlotS = Annotated[int, Meta(ge=60, le=86_400)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
TotalWh = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,47}\Z")]
NameOrNone = Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,47})?\Z")]
ChainId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,47}\Z")]


def cost_ceil_ucoin(energy_wh: int, price_ucoin_per_kwh: int) -> int:
    """What a buyer pays: energy x price, rounded up."""
    return -(-energy_wh * price_ucoin_per_kwh // WH_PER_KWH)


def cost_floor_ucoin(energy_wh: int, price_ucoin_per_kwh: int) -> int:
    """What a seller gets: energy x price, rounded down."""
    return energy_wh * price_ucoin_per_kwh // WH_PER_KWH


def energy_floor_wh(power_w: int, duration_s: int) -> int:
    """The whole Wh that a power allows in a time, rounded down."""
    return power_w * duration_s // S_PER_H
