"""The parties of a simulated hub and the messages with which a day's chain begins.

Knows the records, the day and the site. Every key is derived from the seed, the label and the
chain id, which starts with `sim-`; no production chain takes such keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from peerwatt.records.codec import encode
from peerwatt.records.members import Genesis, Member, Role
from peerwatt.records.signing import SIMULATION_PREFIX, SigningKey, derive_key
from peerwatt.simulation.config import DayConfig
from peerwatt.units import UCOIN_PER_COIN

CLOCK = "clock"
ROLES = {
    "aggregator": Role.AGGREGATOR,
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


def chain_id_of(config: DayConfig) -> str:
    """A name for the chain of this very configuration: other assumptions, other keys."""
    fingerprint = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:8]
    return f"{SIMULATION_PREFIX}{config.site}-{config.date}-{fingerprint}"


def genesis_of(keys: Keyring, start_s: int, dispute_window_s: int) -> bytes:
    """The first state: six members with one role each, and a clock that ticks."""
    members = [
        Member(key=keys.key(name).public, name=name, roles=int(role))
        for name, role in ROLES.items()
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
