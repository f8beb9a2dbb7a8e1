"""Certificates of drivers and the list of revoked ones: X.509 (RFC 5280) over Ed25519 (RFC 8410).

Knows the `cryptography` package and keys. They are signed with the authority's own ledger key, so
that whoever knows the consortium's members needs no other root; what the ledger signs begins with
`peerwatt/`, a certificate with an ASN.1 tag, so neither passes for the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from peerwatt.records.signing import SigningKey

MAX_CERTIFICATE_BYTES = 4_096
LIST_VALID_S = 7 * 86_400
BEFORE_SIGNATURE = bytes.fromhex("300506032b6570034100")
"""What stands between the signed part and the signature, which does not cover it."""


class CertificateError(ValueError):
    """A certificate that cannot be made or does not hold: one line that says why."""


class Certificate(NamedTuple):
    """What a certificate says: who drives (such as a licence plate), with which key, from when
    until when (unix seconds)."""

    serial: int
    subject: str
    public_key: bytes
    from_s: int
    until_s: int


def issue(
    authority: SigningKey,
    authority_name: str,
    *,
    serial: int,
    subject: str,
    public_key: bytes,
    from_s: int,
    until_s: int,
) -> bytes:
    """A certificate (DER) that binds a driver's key to what the driver is registered by.

    Raises:
        CertificateError: a name, a time or the key will not do.
    """
    try:
        builder = (
            x509.CertificateBuilder()
            .issuer_name(_name(authority_name))
            .subject_name(_name(subject))
            .serial_number(serial)
            .public_key(Ed25519PublicKey.from_public_bytes(public_key))
            .not_valid_before(_time(from_s))
            .not_valid_after(_time(until_s))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        made = builder.sign(Ed25519PrivateKey.from_private_bytes(authority.seed), None)
    except (ValueError, TypeError, OverflowError) as error:
        raise CertificateError(f"certificate: {error}") from None
    return made.public_bytes(Encoding.DER)


def check(data: bytes, authority: bytes) -> Certificate:
    """What a certificate says, if this authority's key signed it.

    Raises:
        CertificateError: it is no such certificate.
    """
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise CertificateError(f"certificate: has more than {MAX_CERTIFICATE_BYTES} bytes")
    try:
        parsed = x509.load_der_x509_certificate(data)
        Ed25519PublicKey.from_public_bytes(authority).verify(
            parsed.signature, parsed.tbs_certificate_bytes
        )
        key = parsed.public_key()
        [subject] = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except InvalidSignature:
        raise CertificateError("certificate: is not signed by this authority") from None
    except Exception as error:  # what a parser raises on a stranger's bytes
        raise CertificateError(f"certificate: cannot be read ({error})") from None
    if not data.endswith(BEFORE_SIGNATURE + parsed.signature):
        raise CertificateError("certificate: is not in its one form")
    if not isinstance(key, Ed25519PublicKey):
        raise CertificateError("certificate: its key is not an Ed25519 key")
    return Certificate(
        serial=parsed.serial_number,
        subject=str(subject.value),
        public_key=key.public_bytes(Encoding.Raw, PublicFormat.Raw),
        from_s=int(parsed.not_valid_before_utc.timestamp()),
        until_s=int(parsed.not_valid_after_utc.timestamp()),
    )


def revocation_list(
    authority: SigningKey, authority_name: str, *, serials: Iterable[int], now_s: int
) -> bytes:
    """The signed list (DER) of certificates that are revoked, good for a week."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(authority_name))
        .last_update(_time(now_s))
        .next_update(_time(now_s + LIST_VALID_S))
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(_time(now_s)).build())
    made = builder.sign(Ed25519PrivateKey.from_private_bytes(authority.seed), None)
    return made.public_bytes(Encoding.DER)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _time(unix_s: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC)
