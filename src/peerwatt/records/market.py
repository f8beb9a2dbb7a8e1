"""What a round is made of: tariffs, limits, orders, awards, settlements and the round itself.

Knows units and the codec. Prices are ucoin per kWh; a slope is ucoin per kWh for
each kWh sold in the round.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record, digest
from peerwatt.units import (
    Count,
    EnergyWh,
    Hash,
    Key,
    Name,
    NameOrNone,
    PowerW,
    PriceDifferencePcoinPerKwh,
    PriceUcoinPerKwh,
    SlopeUcoinPerKwh2,
    TimeS,
    TotalWh,
    Ucoin,
)

NO_HASH = bytes(32)


class Mechanism(IntEnum):
    """How a round's book is cleared: the first two by the ledger itself, pairs and
    `WELFARE_PROPOSED` by prices that prove it, one an order or one a feeder, the fifth by the
    bids with which an auction outside the ledger ended. From `PAY_AS_BID` on the ledger holds a
    double auction among cars itself, and the grid serves the rest; `V2V` is one of two rounds."""

    WELFARE = 1
    UNIFORM = 2
    WELFARE_PAIRS = 3
    WELFARE_PROPOSED = 4
    ITERATIVE_AUCTION = 5
    PAY_AS_BID = 6
    K_PRICE = 7
    MCAFEE = 8
    MCAFEE_PAPER = 9
    HUANG = 10
    SBBA = 11
    MUDA = 12
    V2V = 13

    @property
    def priced(self) -> bool:
        """Whether members have to propose prices that prove a clearing."""
        return self in (Mechanism.WELFARE_PAIRS, Mechanism.WELFARE_PROPOSED)

    @property
    def proposed(self) -> bool:
        """Whether members have to propose a clearing with its proof."""
        return self.priced or self == Mechanism.ITERATIVE_AUCTION

    @property
    def among_cars(self) -> bool:
        """Whether cars trade with one another alone, and each with the grid for the rest."""
        return self >= Mechanism.PAY_AS_BID

    @property
    def states_limits(self) -> bool:
        """Whether an order says no more than one price for its energy."""
        return (self.among_cars and self != Mechanism.V2V) or self == Mechanism.ITERATIVE_AUCTION


class PriceRule(IntEnum):
    """Who pays which price: all the clearing price, or grid energy passed through at retail and
    sellers paid the midpoint of their ask and the clearing price."""

    MARGINAL = 1
    MIDPOINT = 2


class Side(IntEnum):
    """Which side of the market an order is on."""

    BUY = 1
    SELL = 2


class RoundStatus(IntEnum):
    """Where a round stands in its life."""

    OPEN = 1
    CLOSED = 2
    PROPOSED = 3
    CLEARED = 4
    DELIVERED = 5
    SETTLED = 6
    ENDED = 7
    VOID = 8


class TariffStep(Record):
    """Energy prices from a time on: what the supplier sells at and buys at."""

    from_s: TimeS
    retail_ucoin_per_kwh: PriceUcoinPerKwh
    feed_in_ucoin_per_kwh: PriceUcoinPerKwh


class Tariff(Record):
    """A supplier's published prices, for sites of the grid operator that signed its fees. The three
    fees fall on energy traded between cars and are part of the merit order; `lost_load` caps
    every price; who proposes a clearing that proves nothing pays `failed_clearing_penalty`."""

    supplier: Key
    grid_operator: Key
    price_rule: PriceRule
    steps: tuple[TariffStep, ...]
    end_s: TimeS
    network_fee_ucoin_per_kwh: PriceUcoinPerKwh
    platform_fee_ucoin_per_kwh: PriceUcoinPerKwh
    levy_ucoin_per_kwh: PriceUcoinPerKwh
    lost_load_ucoin_per_kwh: PriceUcoinPerKwh
    shortfall_penalty_ucoin_per_kwh: PriceUcoinPerKwh
    failed_clearing_penalty_ucoin: Ucoin


class FeederLimit(Record):
    """What the grid operator lets the ports of a feeder draw and feed in together, net."""

    feeder: Name
    import_limit_w: PowerW
    export_limit_w: PowerW


class SlotLimit(Record):
    """What the grid operator lets a site draw and feed in during the slot that starts then, and
    of its feeders those that it limits, by name."""

    slot_start_s: TimeS
    import_limit_w: PowerW
    export_limit_w: PowerW
    feeders: tuple[FeederLimit, ...] = ()


class FeederRoom(Record):
    """The net energy that a limited feeder may draw or feed in during a round's slot."""

    feeder: Name
    import_limit_wh: EnergyWh
    export_limit_wh: EnergyWh


class Prices(Record):
    """The price parts of one slot, fixed when its round opens."""

    price_rule: PriceRule
    retail_ucoin_per_kwh: PriceUcoinPerKwh
    feed_in_ucoin_per_kwh: PriceUcoinPerKwh
    network_fee_ucoin_per_kwh: PriceUcoinPerKwh
    platform_fee_ucoin_per_kwh: PriceUcoinPerKwh
    levy_ucoin_per_kwh: PriceUcoinPerKwh
    lost_load_ucoin_per_kwh: PriceUcoinPerKwh
    shortfall_penalty_ucoin_per_kwh: PriceUcoinPerKwh
    failed_clearing_penalty_ucoin: Ucoin

    @property
    def local_fee_ucoin_per_kwh(self) -> int:
        """What lies between the buyer's and the seller's price of energy traded at the site."""
        return (
            self.network_fee_ucoin_per_kwh
            + self.platform_fee_ucoin_per_kwh
            + self.levy_ucoin_per_kwh
        )


class BuyOrder(Record, tag=1):
    """Energy wanted in the slot: `min_wh` at up to lost load, the rest along a curve whose
    marginal value falls from `price_high` to `price_low`. `limit` is what it bids in a `V2V`
    round, where the curve says how much it wants."""

    order_id: Hash
    owner: Key
    port: Name
    min_wh: EnergyWh
    max_wh: EnergyWh
    price_high_ucoin_per_kwh: PriceUcoinPerKwh
    price_low_ucoin_per_kwh: PriceUcoinPerKwh
    held_ucoin: Ucoin
    feeder: NameOrNone = ""
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


class SellOrder(Record, tag=2):
    """Energy offered in the slot: marginal cost `ask` at nothing sold, rising by `slope`. `limit`
    is what it asks in a `V2V` round, where the cost says how much it offers."""

    order_id: Hash
    owner: Key
    port: Name
    max_wh: EnergyWh
    ask_ucoin_per_kwh: PriceUcoinPerKwh
    slope_ucoin_per_kwh2: SlopeUcoinPerKwh2
    held_ucoin: Ucoin
    feeder: NameOrNone = ""
    limit_ucoin_per_kwh: PriceUcoinPerKwh = 0


Order = BuyOrder | SellOrder


class Award(Record):
    """What an order got: energy, and the price per kWh that its owner pays or is paid."""

    order_id: Hash
    owner: Key
    port: Name
    side: Side
    energy_wh: EnergyWh
    price_ucoin_per_kwh: PriceUcoinPerKwh
    held_ucoin: Ucoin


class SettledAward(Record):
    """What became of an award: metered energy and the money that moved.

    `paid_ucoin` left the owner for energy, `received_ucoin` reached it, `penalty_ucoin` left it
    for a shortfall. `excused_wh` was not delivered because a seller was short and the
    connection full; `flags` are bits of `Flag`.
    """

    order_id: Hash
    owner: Key
    port: Name
    side: Side
    awarded_wh: EnergyWh
    metered_wh: EnergyWh
    excused_wh: EnergyWh
    paid_ucoin: Ucoin
    received_ucoin: Ucoin
    penalty_ucoin: Ucoin
    flags: Count


class Flag(IntEnum):
    """What was unusual about a settlement; bits of `flags`."""

    READING_MISSING = 1
    OVER_AWARD = 2
    MAIN_METER_MISSING = 4
    MAIN_METER_DISAGREES = 8
    OPERATOR_IN_ARREARS = 16
    SUPPLIER_IN_ARREARS = 32


class ProposedClearing(Record):
    """The best clearing proposed so far, by the hash of its prices or, of an auction, by that of
    the message that proposed it, which stands in a block; with its certified gap."""

    proposer: Key
    prices_hash: Hash
    gap_ucoin: Ucoin


class Clearing(Record):
    """The outcome of a cleared book: the price, and where the energy comes from and goes.

    `price` is that of the grid connection, limits included; `buyer_price` the most that a buyer
    pays. Of an auction among cars `price` is the dearest at which cars bought, retail where none
    did. `sellers_dropped`: the supplier could not stand behind the sellers' surplus, or nobody
    proved a clearing in time, so buyers were cleared against the grid alone. `proposer` is empty
    where the ledger cleared the book itself. No other clearing of the same book has a welfare
    higher by more than `gap`, reckoned before a proposal's energies are rounded to whole Wh;
    `traded` is what the energy is worth at the buyers' prices.
    `feeder_prices` is by how much energy is dearer on each limited feeder, in pcoin/kWh, in the
    round's order; below zero where the feeder is full of what it sends out.
    """

    price_ucoin_per_kwh: PriceUcoinPerKwh
    buyer_price_ucoin_per_kwh: PriceUcoinPerKwh
    bought_wh: TotalWh
    sold_wh: TotalWh
    import_wh: EnergyWh
    export_wh: EnergyWh
    supplier_held_ucoin: Ucoin
    sellers_dropped: bool
    proposer: Annotated[bytes, Meta(max_length=32)]
    gap_ucoin: Ucoin
    traded_ucoin: Ucoin
    feeder_prices: tuple[PriceDifferencePcoinPerKwh, ...] = ()


class FirstRound(Record):
    """What the first of two rounds came to: its prices, to which losers have to come in the second,
    and what was traded. Where no bid reached an ask, the middle of the best two."""

    buyer_price_ucoin_per_kwh: PriceUcoinPerKwh
    seller_price_ucoin_per_kwh: PriceUcoinPerKwh
    traded_wh: TotalWh


class SettlementTotals(Record):
    """Energy and money of a settled round. `site_loss_wh` and what the operator paid for it can be
    negative: the main meter then read less than the others together."""

    bought_wh: TotalWh = 0
    sold_wh: TotalWh = 0
    import_wh: TotalWh = 0
    export_wh: TotalWh = 0
    unserved_wh: TotalWh = 0
    site_loss_wh: int = 0
    paid_ucoin: Ucoin = 0
    received_ucoin: Ucoin = 0
    penalty_ucoin: Ucoin = 0
    supplier_ucoin: int = 0
    operator_ucoin: int = 0
    network_fee_ucoin: Ucoin = 0
    platform_fee_ucoin: Ucoin = 0
    levy_ucoin: Ucoin = 0
    pot_ucoin: Ucoin = 0
    flags: Count = 0


class Round(Record):
    """One market round of one site. `book_hash` runs over the book as it changes until the gate;
    `awaited_readings` is how many meters have yet to report; `feeders` are those that are limited,
    by name; `lot_wh` is the one size with which orders count, where the mechanism wants one; orders
    are sealed where there is a `reveal_by_s`; roots are zeros until their step is done."""

    site: Name
    tariff: Name
    mechanism: Mechanism
    status: RoundStatus
    gate_s: TimeS
    clear_by_s: TimeS
    slot_start_s: TimeS
    slot_end_s: TimeS
    settle_by_s: TimeS
    prices: Prices
    import_limit_wh: EnergyWh
    export_limit_wh: EnergyWh
    order_count: Count
    awaited_readings: Count
    book_hash: Hash
    orders_root: Hash
    prices_root: Hash
    awards_root: Hash
    readings_root: Hash
    settlements_root: Hash
    void_reason: Count
    proposed: ProposedClearing | None
    clearing: Clearing | None
    totals: SettlementTotals | None
    feeders: tuple[FeederRoom, ...] = ()
    lot_wh: EnergyWh = 0
    first: FirstRound | None = None
    reveal_by_s: TimeS = 0


class Opening(Record):
    """That somebody has asked in a dispute whose wallet this is; and, once a registration authority
    has consented, who did and its commitment to the certificate that the asker was shown."""

    wallet: Key
    requester: Key
    statement_hash: Hash
    authority: Annotated[bytes, Meta(max_length=32)] = b""
    commitment: Hash = NO_HASH


class Dispute(Record):
    """A driver's objection to a settlement; `frozen_ucoin` waits in the site operator's account.
    `openings` are of wallets whose owners were asked for, in the order of asking."""

    round_id: bytes
    owner: Key
    operator: Key
    frozen_ucoin: Ucoin
    statement_hash: Hash
    resolved: bool = False
    credit_ucoin: Ucoin = 0
    openings: tuple[Opening, ...] = ()


def prices_hash(prices: Sequence[int], feeder_prices: Sequence[int] = ()) -> bytes:
    """The hash by which a proposed clearing's prices are known, whole or in parts; how many there
    are of each kind follows from the round."""
    listed = [price.to_bytes(8, "big") for price in prices]
    listed += [price.to_bytes(8, "big", signed=True) for price in feeder_prices]
    return digest(b"".join(listed))


def round_key(site: str, slot_start_s: int) -> bytes:
    """A round's id: its slot's start, then its site; ids ascend with time."""
    return slot_start_s.to_bytes(8, "big") + site.encode()
