"""How a day's cars come by fresh wallets: certified, and given tokens for all of them at once.

Knows the registration authority and the day's cars. Whose they are stays in the authority's
register, which in a simulated day nobody keeps: the same seed makes it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from peerwatt.records.codec import digest
from peerwatt.records.signing import SigningKey
from peerwatt.registry.register import Book, Register, request_addresses
from peerwatt.simulation.cast import Visit
from peerwatt.simulation.consortium import Keyring

VALID_S = 365 * 86_400


def tokens_of(
    visits: Sequence[Visit], authority: SigningKey, keys: Keyring, now_s: int
) -> dict[bytes, bytes]:
    """A token for every wallet of these cars, by the wallet's key."""
    register = Register(
        authority,
        Book(
            chain_id=keys.chain_id,
            authority=authority.public,
            name="registration-authority",
            secret=digest(keys.key("register").seed),
        ),
    )
    tokens: dict[bytes, bytes] = {}
    for visit in visits:
        driver = keys.key(f"driver/{visit.name}")
        certificate = register.certify(
            subject=visit.name, public_key=driver.public, from_s=now_s, until_s=now_s + VALID_S
        )
        wallets = [wallet.key for wallet in visit.wallets]
        request = request_addresses(certificate, driver, wallets, keys.chain_id)
        tokens |= zip(request.wallets, register.give_tokens(request, now_s), strict=True)
    return tokens
