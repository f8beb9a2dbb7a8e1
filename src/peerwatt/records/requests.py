"""What a car tells a hub beside the ledger: that a wallet is in use here, and what it asks for.

Knows units, the codec and signatures. Neither stands on a ledger: both are for this hub alone.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record, encode
from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import MAX_ENERGY_WH, ChainId, Key, Name, TimeS

REQUEST_DOMAIN = "energy-request"
IN_USE_DOMAIN = "wallet-in-use"


class WalletInUse(Record):
    """A wallet's owner shows a hub that the wallet is its own, and in use here from now on."""

    chain_id: ChainId
    wallet: Key
    site: Name
    at_s: TimeS


class EnergyRequest(Record):
    """A charging car asks a hub for energy: how much, and from when until when it expects to be
    served."""

    chain_id: ChainId
    wallet: Key
    site: Name
    at_s: TimeS
    amount_wh: Annotated[int, Meta(ge=1, le=MAX_ENERGY_WH)]
    from_s: TimeS
    until_s: TimeS


Said = WalletInUse | EnergyRequest


def sign_said(said: Said, key: SigningKey) -> bytes:
    """The signature under what is said."""
    return key.sign(_domain(said), said.chain_id, encode(said))


def is_said(said: Said, signature: bytes) -> bool:
    """Whether the wallet that it names signed it."""
    return verify(said.wallet, _domain(said), said.chain_id, encode(said), signature)


def _domain(said: Said) -> str:
    return REQUEST_DOMAIN if isinstance(said, EnergyRequest) else IN_USE_DOMAIN
