"""Who is on the ledger: members and their roles, wallets' tokens, sites, ports, meters.

Knows units and the codec.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record
from peerwatt.units import (
    MAX_COUNT,
    MAX_TIME_S,
    ChainId,
    Count,
    Key,
    Name,
    NameOrNone,
    PowerW,
    SlotS,
    TimeS,
    Ucoin,
)


class Role(IntFlag):
    """What a member may do; a member holds any set of roles."""

    AGGREGATOR = 1
    GRID_OPERATOR = 2
    REGULATOR = 4
    REGISTRATION_AUTHORITY = 8
    SUPPLIER = 16
    ISSUER = 32


Roles = Annotated[int, Meta(ge=0, le=63)]


class Member(Record):
    """An organisation of the consortium: its key, name and roles (bits of `Role`), and the key of
    its validator, with which an engine's blocks are signed; empty if it runs none."""

    key: Key
    name: Name
    roles: Roles
    validator: Annotated[bytes, Meta(max_length=32)] = b""


class Genesis(Record):
    """What a chain starts from; its hash is the id before the first block.

    `tick_key` empty: market time is block time. Otherwise that key submits ticks.
    """

    chain_id: ChainId
    tick_key: bytes
    start_s: TimeS
    rules_version: Count
    members: tuple[Member, ...]
    mint_epoch_s: Annotated[int, Meta(ge=1, le=MAX_TIME_S)]
    mint_cap_ucoin: Ucoin
    max_orders: Annotated[int, Meta(ge=1, le=100_000)]
    max_work: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    dispute_window_s: Annotated[int, Meta(ge=0, le=366 * 86_400)]
    equivocation_penalty_ucoin: Ucoin = 0


class Account(Record):
    """Coins and message counter of one key; `held_ucoin` backs open orders and disputes."""

    nonce: Count = 0
    free_ucoin: Ucoin = 0
    held_ucoin: Ucoin = 0
    wallet: bool = False


class Equivocation(Record):
    """A member's validator signed two blocks of one height, as the block that records this proves;
    what it paid, as far as its free coins went."""

    fine_ucoin: Ucoin


class Site(Record):
    """A hub: who runs it, who supplies it, who limits it, its main meter, how long its slots are
    and its feeders, by name. Slots start at multiples of their length, so they never overlap."""

    operator: Key
    supplier: Key
    grid_operator: Key
    main_meter: Key
    import_limit_w: PowerW
    export_limit_w: PowerW
    slot_s: SlotS
    feeders: tuple[Name, ...] = ()


class Port(Record):
    """A metered connection at a site: charger, generator or storage, behind a feeder or directly at
    the site's bus. `wallet` is who is plugged in, empty when nobody is."""

    meter: Key
    charge_limit_w: PowerW
    discharge_limit_w: PowerW
    wallet: bytes = b""
    feeder: NameOrNone = ""


class Meter(Record):
    """Where a registered meter sits; an empty port means the site's main meter."""

    site: Name
    port: str
