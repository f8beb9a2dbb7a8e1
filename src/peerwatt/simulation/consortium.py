"""The parties of a simulated hub and the messages with which a day's chain begins.

Knows the records, the day and the site. Every key is derived from the seed, the label and the
chain id, which starts with `sim-`; no production chain takes such keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from peerwatt.records.codec import digest, encode
from peerwatt.records.members import Genesis, Member, Role
from peerwatt.records.signing import SIMULATION_PREFIX, SigningKey, derive_key
from peerwatt.simulation.config import DayConfig
from peerwatt.units import UCOIN_PER_COIN

CLOCK = "clock"
OPERATOR = "aggregator"
ROLES = {
    OPERATOR: Role.AGGREGATOR,
    "grid-operator": Role.GRID_OPERATOR,
    "issuer": Role.ISSUER,
    "registration-authority": Role.REGISTRATION_AUTHORITY,
    "regulator": Role.REGULATOR,
    "supplier": Role.SUPPLIER,
}
MINT_CAP_UCOIN = 1_000_000_000 * UCOIN_PER_COIN
MAX_ORDERS = 10_000
MAX_WORK = 20_000
EQUIVOCATION_PENALTY_UCOIN = 100 * UCOIN_PER_COIN


@dataclass(frozen=True, slots=True)
class Keyring:
    """Derives every key of one simulated chain."""

    seed: int
    chain_id: str

    def key(self, label: str) -> SigningKey:
        """The key of a party, wallet or meter."""
        return derive_key(self.seed, label, self.chain_id)

    def wallet(self, session_id: str) -> SigningKey:
        """The wallet of the car that a charging session stands for."""
        return self.key(f"wallet/{session_id}")

    def meter(self, port: str) -> SigningKey:
        """The meter at a port; the empty port is the site's main meter."""
        return self.key(f"meter/{port}")

    def deposit(self, label: str) -> bytes:
        """The reference of the deposit behind somebody's first coins."""
        return digest(f"deposit/{label}".encode())


@dataclass(frozen=True, slots=True)
class HubKeyring(Keyring):
    """The keys of one hub among several: its operator, wallets and meters are its own, all other
    members everybody's."""

    hub: str
    member: str
    """The name of the operator among the members."""
    main_meter: str

    def key(self, label: str) -> SigningKey:
        """The key of a party, wallet or meter, as this hub knows them."""
        if label == OPERATOR:
            label = self.member
        elif label == "meter/":
            label += self.main_meter
        elif label.startswith(("meter/", "wallet/")):
            label += f"@{self.hub}"
        # Not super(): a dataclass with slots is made anew, and its methods know the first one.
        return Keyring.key(self, label)

    def deposit(self, label: str) -> bytes:
        """A reference of its own, whatever the others' cars are called."""
        return Keyring.deposit(self, f"{self.hub}/{label}")


def chain_id_of(config: DayConfig) -> str:
    """A name for the chain of this very configuration: other assumptions, other keys."""
    fingerprint = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:8]
    return f"{SIMULATION_PREFIX}{config.site}-{config.date}-{fingerprint}"


def genesis_of(
    keys: Keyring, start_s: int, dispute_window_s: int, operators: Sequence[str] = ()
) -> bytes:
    """The first state: six members with one role each, more `operators` of hubs if there are some,
    and a clock that ticks."""
    roles = ROLES | dict.fromkeys(operators, Role.AGGREGATOR)
    members = [
        Member(key=keys.key(name).public, name=name, roles=int(role))
        for name, role in roles.items()
    ]
    return encode(
        Genesis(
            chain_id=keys.chain_id,
            tick_key=keys.key(CLOCK).public,
            start_s=start_s,
            rules_version=1,
            members=tuple(sorted(members, key=lambda member: member.key)),
            mint_epoch_s=86_400,
            mint_cap_ucoin=MINT_CAP_UCOIN,
            max_orders=MAX_ORDERS,
            max_work=MAX_WORK,
            dispute_window_s=dispute_window_s,
            equivocation_penalty_ucoin=EQUIVOCATION_PENALTY_UCOIN,
        )
    )
