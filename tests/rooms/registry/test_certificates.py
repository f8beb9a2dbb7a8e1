"""Certificates: what they say is what was signed; anything else is one clear line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from peerwatt.records.signing import SigningKey
from peerwatt.registry.certificates import CertificateError, check, issue, revocation_list

AUTHORITY, OTHER, DRIVER = (SigningKey(bytes([at]) * 32) for at in (1, 2, 3))
FROM_S, UNTIL_S = 1_700_000_000, 1_731_536_000


def certificate(by: SigningKey = AUTHORITY, subject: str = "8ABC123") -> bytes:
    return issue(
        by,
        "road office",
        serial=7,
        subject=subject,
        public_key=DRIVER.public,
        from_s=FROM_S,
        until_s=UNTIL_S,
    )


def test_what_it_says() -> None:
    found = check(certificate(), AUTHORITY.public)
    assert found == (7, "8ABC123", DRIVER.public, FROM_S, UNTIL_S)
    assert certificate() == certificate(), "the same words give the same bytes"


def test_another_authoritys_is_refused() -> None:
    with pytest.raises(CertificateError, match="not signed by this authority"):
        check(certificate(OTHER), AUTHORITY.public)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_changed_byte_is_refused_wherever_it_is() -> None:
    data = certificate()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(CertificateError):
            check(changed, AUTHORITY.public)


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x80", bytes(5_000)])
def test_what_is_none_is_said_in_one_line(data: bytes) -> None:
    with pytest.raises(CertificateError, match=r"^certificate: [^\n]*$"):
        check(data, AUTHORITY.public)


@pytest.mark.parametrize("subject", ["", "x" * 65])
def test_a_name_that_x509_does_not_take(subject: str) -> None:
    with pytest.raises(CertificateError, match=r"^certificate: "):
        certificate(subject=subject)


def test_the_list_of_revoked_ones_is_signed() -> None:
    data = revocation_list(AUTHORITY, "road office", serials=[7, 9], now_s=FROM_S)
    listed = x509.load_der_x509_crl(data)
    assert {each.serial_number for each in listed} == {7, 9}
    key = x509.load_der_x509_certificate(certificate(AUTHORITY)).public_key()
    assert not listed.is_signature_valid(key)  # type: ignore[arg-type]
    own = issue(
        AUTHORITY, "road office", serial=1, subject="road office",
        public_key=AUTHORITY.public, from_s=FROM_S, until_s=UNTIL_S,
    )  # fmt: skip
    assert listed.is_signature_valid(x509.load_der_x509_certificate(own).public_key())  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "car.der"
    path.write_bytes(certificate())
    said = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "8ABC123" in said
    assert "ED25519" in said.upper()
