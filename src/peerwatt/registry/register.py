"""The register: which wallets belong to which certificate, and the three things done with it.

Knows certificates, the ledger's records and a chain as a reader sees it. Wallets are given tokens
against a certificate, a certificate is revoked, and a wallet's owner is disclosed to whoever has
asked for it on the ledger, in a dispute that is open; for no other reason and to nobody else.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace
from nacl.exceptions import CryptoError
from nacl.public import SealedBox
from nacl.signing import SigningKey as NaClSigningKey
from nacl.signing import VerifyKey

from peerwatt.hosts.host import View
from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.market import Dispute, Opening
from peerwatt.records.signing import SigningKey, verify
from peerwatt.records.transactions import WALLET_DOMAIN
from peerwatt.registry.certificates import Certificate, check, issue
from peerwatt.units import ChainId, Hash, Key, Signature

ADDRESSES_DOMAIN = "addresses"
MAX_WALLETS = 10_000
"""Of one certificate, over its life."""


class RegisterError(ValueError):
    """What the authority will not do: one line that names the field and the reason."""


class AddressRequest(Record):
    """A driver asks for tokens for a set of wallets, keys ascending. Its certificate's key and each
    wallet's sign the whole set (domain "addresses"), so that nobody claims another's wallet."""

    certificate: bytes
    wallets: tuple[Key, ...]
    signature: Signature
    proofs: tuple[Signature, ...]


class Entry(Record):
    """A certificate, the wallets that it was given tokens for, and whether it is revoked."""

    certificate: bytes
    wallets: tuple[Key, ...] = ()
    revoked: bool = False


class Book(Record):
    """All that the authority must remember, and must not tell. `secret` keeps commitments apart."""

    chain_id: ChainId
    authority: Key
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    secret: Hash
    entries: tuple[Entry, ...] = ()


class Disclosure(Record):
    """Whose wallet it is, as the asker is told; with `salt` the commitment can be checked."""

    wallet: Key
    certificate: bytes
    salt: Hash

    @property
    def commitment(self) -> bytes:
        """What goes on the ledger in its place."""
        return digest(encode(self))


class Register:
    """The authority at work on its book; whoever holds it keeps `book` safe."""

    def __init__(self, key: SigningKey, book: Book) -> None:
        """Raises RegisterError where the book is another authority's."""
        if key.public != book.authority:
            raise RegisterError("authority: the register is another's")
        self._key = key
        self.book = book

    def certify(self, *, subject: str, public_key: bytes, from_s: int, until_s: int) -> bytes:
        """A certificate (DER) for a driver whose papers have been seen; CertificateError if not."""
        certificate = issue(
            self._key,
            self.book.name,
            serial=len(self.book.entries) + 1,
            subject=subject,
            public_key=public_key,
            from_s=from_s,
            until_s=until_s,
        )
        entries = (*self.book.entries, Entry(certificate=certificate))
        self.book = replace(self.book, entries=entries)
        return certificate

    def give_tokens(self, request: AddressRequest, now_s: int) -> tuple[bytes, ...]:
        """Tokens for the wallets of a request, in their order; whose they are is remembered first.

        Raises:
            CertificateError: the certificate is not this authority's.
            RegisterError: it is revoked or out of its time, or the wallets will not do.
        """
        certificate = check(request.certificate, self.book.authority)
        at = certificate.serial - 1
        known = self.book.entries[at : at + 1] if at >= 0 else ()
        if not known or known[0].certificate != request.certificate:
            raise RegisterError(f"certificate: number {certificate.serial} is not in the register")
        [entry] = known
        if entry.revoked:
            raise RegisterError(f"certificate: number {certificate.serial} is revoked")
        if not certificate.from_s <= now_s <= certificate.until_s:
            raise RegisterError(f"certificate: number {certificate.serial} is out of its time")
        self._check_wallets(request, certificate, entry)
        wallets = tuple(sorted((*entry.wallets, *request.wallets)))
        self._put(at, replace(entry, wallets=wallets))
        return tuple(
            self._key.sign(WALLET_DOMAIN, self.book.chain_id, wallet) for wallet in request.wallets
        )

    def _check_wallets(
        self, request: AddressRequest, certificate: Certificate, entry: Entry
    ) -> None:
        wallets, chain_id = request.wallets, self.book.chain_id
        if not wallets or len(wallets) + len(entry.wallets) > MAX_WALLETS:
            raise RegisterError(f"wallets: must be 1 to {MAX_WALLETS} for a certificate")
        if any(first >= second for first, second in pairwise(wallets)):
            raise RegisterError("wallets: must ascend")
        taken = {wallet for each in self.book.entries for wallet in each.wallets}
        if not taken.isdisjoint(wallets):
            raise RegisterError("wallets: one of them has a token already")
        data = encode(wallets)
        signed = [(certificate.public_key, request.signature)]
        if len(request.proofs) != len(wallets):
            raise RegisterError("proofs: must be one for each wallet")
        signed += zip(wallets, request.proofs, strict=True)
        for key, signature in signed:
            if not verify(key, ADDRESSES_DOMAIN, chain_id, data, signature):
                raise RegisterError(f"signature: is not that of {key.hex()}")

    def revoke(self, serial: int) -> None:
        """No more wallets for this certificate. Wallets that are open stay open: what their owner
        has is the owner's."""
        if not 1 <= serial <= len(self.book.entries):
            raise RegisterError(f"serial: there is no certificate number {serial}")
        self._put(serial - 1, replace(self.book.entries[serial - 1], revoked=True))

    @property
    def revoked(self) -> tuple[int, ...]:
        """The numbers of the certificates that are revoked."""
        return tuple(at for at, each in enumerate(self.book.entries, 1) if each.revoked)

    def disclose(self, view: View, order_id: bytes, wallet: bytes) -> tuple[Disclosure, bytes]:
        """Whose a wallet is, sealed for the one who asked for it on the ledger, and the disclosure
        itself, whose commitment the authority's consent takes to the ledger.

        Raises:
            RegisterError: nobody has asked, the dispute is over, the asker is this authority, or
                the wallet is none of its own.
        """
        asked = _asked(view, order_id, wallet)
        if asked.requester == self.book.authority:
            raise RegisterError("requester: is this authority; it takes two")
        found = [each for each in self.book.entries if wallet in each.wallets]
        if not found:
            raise RegisterError("wallet: has no token of this authority")
        disclosure = Disclosure(
            wallet=wallet,
            certificate=found[0].certificate,
            salt=digest(self.book.secret + order_id + wallet),
        )
        asker = VerifyKey(asked.requester).to_curve25519_public_key()
        return disclosure, bytes(SealedBox(asker).encrypt(encode(disclosure)))

    def _put(self, at: int, entry: Entry) -> None:
        entries = (*self.book.entries[:at], entry, *self.book.entries[at + 1 :])
        self.book = replace(self.book, entries=entries)


def _asked(view: View, order_id: bytes, wallet: bytes) -> Opening:
    """The request that stands on the ledger for this wallet, in a dispute that is open."""
    dispute: Dispute | None = view.get("disputes", order_id)
    if dispute is None:
        raise RegisterError("order_id: there is no such dispute on the ledger")
    if dispute.resolved:
        raise RegisterError("order_id: the dispute is over")
    for opening in dispute.openings:
        if opening.wallet == wallet:
            return opening
    raise RegisterError("wallet: nobody has asked for it on the ledger")


def read_disclosure(
    sealed: bytes, asker: SigningKey, opening: Opening
) -> tuple[Disclosure, Certificate]:
    """What the asker was told, checked against the consent that stands on the ledger.

    Raises:
        RegisterError: it is sealed for another, or is not what was committed to.
        CertificateError: the certificate is not the consenting authority's.
    """
    try:
        data = SealedBox(NaClSigningKey(asker.seed).to_curve25519_private_key()).decrypt(sealed)
        disclosure = decode(data, Disclosure)
    except CryptoError:
        raise RegisterError("sealed: is not for this key") from None
    except CodecError as error:
        raise RegisterError(f"sealed: {error}") from None
    if disclosure.wallet != opening.wallet or disclosure.commitment != opening.commitment:
        raise RegisterError("commitment: the ledger has another")
    return disclosure, check(disclosure.certificate, opening.authority)


def request_addresses(
    certificate: bytes, driver: SigningKey, wallets: list[SigningKey], chain_id: str
) -> AddressRequest:
    """A driver's request for tokens for these wallets."""
    ascending = sorted(wallets, key=lambda wallet: wallet.public)
    keys = tuple(wallet.public for wallet in ascending)
    data = encode(keys)
    return AddressRequest(
        certificate=certificate,
        wallets=keys,
        signature=driver.sign(ADDRESSES_DOMAIN, chain_id, data),
        proofs=tuple(wallet.sign(ADDRESSES_DOMAIN, chain_id, data) for wallet in ascending),
    )
