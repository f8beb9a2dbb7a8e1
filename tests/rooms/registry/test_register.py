"""The authority: tokens against certificates, revocation, and names told in disputes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from nacl.pwhash import argon2id
from small_hub import OK, SmallHub, key, public

from peerwatt.contracts.state import DISPUTES
from peerwatt.records import transactions as tx
from peerwatt.records.market import Dispute
from peerwatt.records.signing import SigningKey
from peerwatt.registry import register_file
from peerwatt.registry.certificates import CertificateError
from peerwatt.registry.register import (
    MAX_WALLETS,
    AddressRequest,
    Book,
    Register,
    RegisterError,
    read_disclosure,
    request_addresses,
)
from peerwatt.sdk.keystore import KeystoreError

NOW_S = 1_700_000_200
YEAR_S = 365 * 86_400
CARS = ("ann", "bob", "cat", "dan")
FAST = {"opslimit": argon2id.OPSLIMIT_MIN, "memlimit": argon2id.MEMLIMIT_MIN}


def driver(name: str) -> SigningKey:
    """The key in a driver's certificate, which is none of its wallets'."""
    return key(f"driver/{name}")


def book(chain_id: str = "sim-small-hub") -> Book:
    return Book(
        chain_id=chain_id, authority=public("authority"), name="road office", secret=bytes(32)
    )


@pytest.fixture
def register() -> Register:
    return Register(key("authority"), book())


def certified(register: Register, name: str) -> bytes:
    return register.certify(
        subject=f"plate {name}", public_key=driver(name).public,
        from_s=NOW_S - 100, until_s=NOW_S + YEAR_S,
    )  # fmt: skip


def asked(register: Register, name: str, *wallets: str) -> AddressRequest:
    """A driver's request for its wallets, with a certificate of its own."""
    certificate = certified(register, name)
    keys = [key(wallet) for wallet in wallets]
    return request_addresses(certificate, driver(name), keys, register.book.chain_id)


# --- tokens


def test_the_ledger_takes_the_tokens_of_every_wallet(register: Register) -> None:
    request = asked(register, "ann", *(f"ann/{at}" for at in range(20)))
    tokens = dict(zip(request.wallets, register.give_tokens(request, NOW_S), strict=True))
    assert list(request.wallets) == sorted(request.wallets)
    hub = SmallHub()
    for at in range(20):
        token = tokens[public(f"ann/{at}")]
        hub.do(tx.OpenWallet, f"ann/{at}", authority=public("authority"), token=token)
    mapped = register.book.entries[0].wallets
    assert mapped == request.wallets


def test_later_wallets_come_to_the_same_certificate(register: Register) -> None:
    first = asked(register, "ann", "w1", "w2")
    register.give_tokens(first, NOW_S)
    more = request_addresses(first.certificate, driver("ann"), [key("w3")], "sim-small-hub")
    register.give_tokens(more, NOW_S)
    assert set(register.book.entries[0].wallets) == {public(f"w{at}") for at in (1, 2, 3)}


def spoilt(request: AddressRequest, how: str) -> AddressRequest:
    twice = (request.wallets[0],) * 2
    changes: dict[str, dict[str, Any]] = {
        "none": {"wallets": (), "proofs": ()},
        "descending": {"wallets": request.wallets[::-1]},
        "twice": {"wallets": twice},
        "another's signature": {"signature": driver("eve").sign("addresses", "x", b"")},
        "another's wallet": {"proofs": (request.proofs[0], request.proofs[0])},
        "a proof short": {"proofs": request.proofs[:1]},
        "a wallet more": {"wallets": tuple(sorted((*request.wallets, public("eve"))))},
    }
    return replace(request, **changes[how])


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("none", "wallets: must be 1 to"),
        ("descending", "wallets: must ascend"),
        ("twice", "wallets: must ascend"),
        ("another's signature", "signature: is not"),
        ("another's wallet", "signature: is not"),
        ("a proof short", "proofs: must be one for each"),
        ("a wallet more", "proofs: must be one for each"),
    ],
)
def test_a_request_that_will_not_do(register: Register, how: str, line: str) -> None:
    request = spoilt(asked(register, "ann", "w1", "w2"), how)
    before = register.book
    with pytest.raises(RegisterError, match=line):
        register.give_tokens(request, NOW_S)
    assert register.book == before


def test_nobody_gets_a_token_for_a_wallet_twice(register: Register) -> None:
    register.give_tokens(asked(register, "ann", "w1"), NOW_S)
    with pytest.raises(RegisterError, match="has a token already"):
        register.give_tokens(asked(register, "bob", "w1"), NOW_S)


def test_a_certificate_of_another_chain_or_time_or_register(register: Register) -> None:
    request = asked(register, "ann", "w1")
    for now_s in (NOW_S - 101, NOW_S + YEAR_S + 1):
        with pytest.raises(RegisterError, match="out of its time"):
            register.give_tokens(request, now_s)
    with pytest.raises(RegisterError, match="signature: is not"):
        Register(key("authority"), replace(register.book, chain_id="other")).give_tokens(
            request, NOW_S
        )
    with pytest.raises(RegisterError, match="is not in the register"):
        Register(key("authority"), book()).give_tokens(request, NOW_S)
    foreign = Register(key("grid"), replace(book(), authority=public("grid")))
    with pytest.raises(CertificateError, match="not signed by this authority"):
        register.give_tokens(asked(foreign, "ann", "w1"), NOW_S)
    with pytest.raises(RegisterError, match="authority: the register is another's"):
        Register(key("grid"), book())


def test_a_certificate_has_so_many_wallets(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_WALLETS == 10_000
    monkeypatch.setattr("peerwatt.registry.register.MAX_WALLETS", 2)
    with pytest.raises(RegisterError, match="must be 1 to 2"):
        register.give_tokens(asked(register, "ann", "w1", "w2", "w3"), NOW_S)


def test_a_revoked_certificate_gets_no_more(register: Register) -> None:
    request = asked(register, "ann", "w1")
    for serial in (0, 2):
        with pytest.raises(RegisterError, match=f"no certificate number {serial}"):
            register.revoke(serial)
    register.revoke(1)
    assert register.revoked == (1,)
    with pytest.raises(RegisterError, match="number 1 is revoked"):
        register.give_tokens(request, NOW_S)


# --- openings


@pytest.fixture
def disputed(register: Register) -> tuple[SmallHub, dict[str, bytes]]:
    """Four cars of this register traded; ann disputes. Each car's order."""
    for name in CARS:
        register.give_tokens(asked(register, name, name), NOW_S)
    hub = SmallHub().site().drivers(*CARS).open()
    orders = {"ann": hub.buy("ann"), "bob": hub.sell("bob"), "cat": hub.buy("cat")}
    hub.gate()
    hub.report({"": 2_000, "p1": 2_000, "p2": -2_000, "p3": 2_000})
    hub.do(tx.OpenDispute, "ann", order_id=orders["ann"])
    return hub, orders


def test_a_wallet_is_told_to_who_asked_on_record(
    register: Register, disputed: tuple[SmallHub, dict[str, bytes]]
) -> None:
    hub, orders = disputed
    at, bob = orders["ann"], public("bob")
    hub.do(tx.RequestOpening, "regulator", order_id=at, whose_order_id=orders["bob"])
    disclosure, sealed = register.disclose(hub.host, at, bob)
    consent = {"order_id": at, "wallet": bob, "commitment": disclosure.commitment}
    hub.do(tx.ConsentOpening, "authority", **consent)
    dispute: Dispute = hub.get(DISPUTES, at)
    [opening] = dispute.openings
    told, certificate = read_disclosure(sealed, key("regulator"), opening)
    assert (told.wallet, certificate.subject) == (bob, "plate bob")
    assert register.disclose(hub.host, at, bob)[0] == disclosure, "told again, told the same"
    with pytest.raises(RegisterError, match="sealed: is not for this key"):
        read_disclosure(sealed, key("operator"), opening)
    other = register.book.entries[0].certificate
    lie = replace(disclosure, certificate=other)
    assert lie.commitment != disclosure.commitment
    with pytest.raises(RegisterError, match="commitment: the ledger has another"):
        read_disclosure(sealed, key("regulator"), replace(opening, commitment=lie.commitment))


def test_what_stands_on_the_ledger_tells_nobody(
    register: Register, disputed: tuple[SmallHub, dict[str, bytes]]
) -> None:
    """Whoever guesses the certificate cannot tell whether it fits, nor join two openings."""
    hub, orders = disputed
    at = orders["ann"]
    hub.do(tx.RequestOpening, "regulator", order_id=at, whose_order_id=orders["bob"])
    disclosure, _ = register.disclose(hub.host, at, public("bob"))
    guess = replace(disclosure, salt=bytes(32))
    assert guess.commitment != disclosure.commitment
    ledger = b"".join(data for block in range(1, hub.host.height + 1)
                      for data in hub.host.block(block).transactions)  # fmt: skip
    assert b"plate" not in ledger


def test_nothing_is_told_without_a_recorded_request(
    register: Register, disputed: tuple[SmallHub, dict[str, bytes]]
) -> None:
    hub, orders = disputed
    at, bob = orders["ann"], public("bob")
    with pytest.raises(RegisterError, match="order_id: there is no such dispute"):
        register.disclose(hub.host, orders["bob"], bob)
    with pytest.raises(RegisterError, match="wallet: nobody has asked"):
        register.disclose(hub.host, at, bob)
    ask = hub.sign(tx.RequestOpening, "cat", order_id=at, whose_order_id=orders["bob"])
    assert hub.rejected(ask) != OK, "cat is no party of it"
    with pytest.raises(RegisterError, match="wallet: nobody has asked"):
        register.disclose(hub.host, at, bob)
    hub.do(tx.RequestOpening, "operator", order_id=at, whose_order_id=orders["bob"])
    other = Register(key("authority"), book())
    with pytest.raises(RegisterError, match="wallet: has no token of this authority"):
        other.disclose(hub.host, at, bob)
    hub.do(tx.ResolveDispute, "regulator", order_id=at, credit_ucoin=0)
    with pytest.raises(RegisterError, match="order_id: the dispute is over"):
        register.disclose(hub.host, at, bob)


def test_an_authority_does_not_answer_itself(
    disputed: tuple[SmallHub, dict[str, bytes]],
) -> None:
    hub, orders = disputed
    at = orders["ann"]
    own = Register(key("operator"), replace(book(), authority=public("operator")))
    own.give_tokens(asked(own, "bob", "bob"), NOW_S)
    hub.do(tx.RequestOpening, "operator", order_id=at, whose_order_id=orders["bob"])
    with pytest.raises(RegisterError, match="requester: is this authority"):
        own.disclose(hub.host, at, public("bob"))


# --- the file


def test_the_register_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "drivers.register"
    made = register_file.create(path, "secret", key("authority"), "sim-x", "road office", **FAST)
    made.register.give_tokens(asked(made.register, "ann", "w1", "w2"), NOW_S)
    made.save()
    data = path.read_bytes()
    for clear in (b"plate", public("w1"), public("w1").hex().encode()):
        assert clear not in data
    again = register_file.load(path, "secret", key("authority"))
    assert again.register.book == made.register.book
    again.register.revoke(1)
    again.save()
    assert register_file.load(path, "secret", key("authority")).register.revoked == (1,)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_will_not_do(tmp_path: Path) -> None:
    path = tmp_path / "drivers.register"
    register_file.create(path, "secret", key("authority"), "sim-x", "road office", **FAST)
    with pytest.raises(KeystoreError, match="exists already"):
        register_file.create(path, "secret", key("authority"), "sim-x", "road office", **FAST)
    with pytest.raises(KeystoreError, match="wrong pass-phrase, or damaged"):
        register_file.load(path, "other", key("authority"))
    with pytest.raises(RegisterError, match="is another's"):
        register_file.load(path, "secret", key("grid"))
    text = path.read_text()
    for changed, line in (
        (text.replace("register/1", "register/2"), "this software knows"),
        (text.replace("salt", "pepper"), "no register"),
        (text[:-20], "no register"),
        (text.replace('book": "', 'book": "00'), "wrong pass-phrase, or damaged"),
    ):
        path.write_text(changed)
        with pytest.raises(KeystoreError, match=line):
            register_file.load(path, "secret", key("authority"))
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(KeystoreError, match="others may open it"):
        register_file.load(path, "secret", key("authority"))
