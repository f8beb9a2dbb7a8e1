"""PETCON's security claims (J. Kang et al., IEEE TII 13(6), 2017, section VI.A), 1 to 3, tried on
the code that runs: what holds, and where it stops. docs/petcon-security.md says it in words.

"Coins" are the paper's energy coins, "members" its aggregators (LAGs), "wallets" its addresses.
"""

from __future__ import annotations

import json
from itertools import combinations, islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from msgspec.structs import replace
from nacl.pwhash import argon2id
from small_hub import (
    END_S,
    SETTLE_LAG_S,
    Answer,
    SmallHub,
    end_s,
    key,
    public,
    round_id,
)
from traded_hub import receipt, traded

from peerwatt.hosts.cometbft.commits import COMMITS, Signatures, engine_genesis
from peerwatt.mechanisms.auction_rounds import auction_turns
from peerwatt.mechanisms.privacy import reveal_buyers, reveal_values
from peerwatt.records import auction
from peerwatt.records import transactions as tx
from peerwatt.records.bundles import Verdict, is_sound, verify_bundle
from peerwatt.records.codec import Record, decode
from peerwatt.records.market import RoundStatus
from peerwatt.records.receipts import Reason
from peerwatt.registry.register import Book, Register, request_addresses
from peerwatt.sdk import keystore
from peerwatt.studies.petcon.setting import draw

RECORDED = Path(__file__).parents[1] / "differential" / "recorded_chain"
HEADERS = 30


# --- 1) no single trusted third party


def test_1_a_trade_settles_though_the_operator_falls_silent() -> None:
    """Nobody opens, clears, reports or settles any more; time alone ends the round."""
    hub = SmallHub().site().drivers("ann", "bob").open()
    hub.buy("ann")
    hub.sell("bob")
    hub.block(at=end_s(0) + SETTLE_LAG_S)
    while hub.round().status < RoundStatus.SETTLED:
        hub.block()
    assert all(hub.account(name).held_ucoin == 0 for name in ("ann", "bob", "supplier"))


@pytest.fixture(scope="module")
def votes() -> list[dict[str, Any]]:
    lines = (RECORDED / COMMITS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:HEADERS]]


def without(line: dict[str, Any], silent: tuple[int, ...]) -> dict[str, Any]:
    """The same header, but these validators did not vote."""
    none = {
        "block_id_flag": 1,
        "validator_address": "",
        "timestamp": "0001-01-01T00:00:00Z",
        "signature": None,
    }
    given = line["commit"]["signatures"]
    kept = [none if at in silent else each for at, each in enumerate(given)]
    return line | {"commit": line["commit"] | {"signatures": kept}}


@pytest.mark.parametrize("silent", [(at,) for at in range(4)])
def test_1_any_one_of_four_members_may_fail(
    votes: list[dict[str, Any]], silent: tuple[int, ...]
) -> None:
    start = engine_genesis(RECORDED)
    signatures = Signatures(start.chain_id, start.validators)
    for line in votes:
        if sum(each["block_id_flag"] == 2 for each in line["commit"]["signatures"]) == 4:
            signatures.follow(without(line, silent))
        else:
            signatures.follow(line)
    assert signatures.height == HEADERS


@pytest.mark.parametrize("silent", list(combinations(range(4), 2)))
def test_1_and_two_of_four_decide_nothing(
    votes: list[dict[str, Any]], silent: tuple[int, ...]
) -> None:
    start = engine_genesis(RECORDED)
    signatures = Signatures(start.chain_id, start.validators)
    with pytest.raises(ValueError, match="not more than two thirds"):
        signatures.follow(without(votes[0], silent))


def test_1_no_member_speaks_for_the_others(votes: list[dict[str, Any]]) -> None:
    """A header that the others did not vote for, however little it differs."""
    start = engine_genesis(RECORDED)
    for name in ("app_hash", "data_hash", "last_results_hash"):
        header = votes[0]["header"]
        lie = votes[0] | {"header": header | {name: "00" * 32}}
        with pytest.raises(ValueError, match="the votes are for another header"):
            Signatures(start.chain_id, start.validators).follow(lie)


def test_1_one_process_alone_can_rewrite_and_a_witness_shows_it() -> None:
    """Where one operator makes all blocks, the claim needs a second signature."""
    true, rewritten = traded(), SmallHub().site().drivers("ann", "bob").open()
    rewritten.buy("ann", max_wh=1_000)
    rewritten.sell("bob", max_wh=1_000)
    rewritten.report({"": 0, "p1": 1_000, "p2": -1_000})
    rewritten.block()
    true.host.witness(key("grid"))
    lie = receipt(rewritten)
    alone = verify_bundle(lie)
    assert is_sound(alone), "nothing in it contradicts itself"
    assert [each.verdict for each in alone].count(Verdict.NOT_SHOWN) == 1
    assert is_sound(verify_bundle(receipt(true), witness=public("grid")))
    assert not is_sound(verify_bundle(lie, witness=public("grid")))
    assert not is_sound(verify_bundle(lie, trusted_head=true.host.head_id))


# --- 2) privacy


def test_2_no_message_has_room_for_who_somebody_is() -> None:
    """All text on the ledger is names of places, tariffs, chains and member organisations, and the
    tags of a trade, short words that its parties choose."""
    allowed = {"chain_id", "site", "port", "tariff", "feeder", "feeders", "name", "tags"}
    texts = {name for kind in get_args(tx.Message) for name in _text_fields(kind, set())}
    assert texts <= allowed


def _text_fields(kind: Any, seen: set[Any]) -> set[str]:
    """The fields of a record, and of the records in it, that hold text."""
    if kind in seen:
        return set()
    seen.add(kind)
    found = set()
    for name, hint in get_type_hints(kind).items():
        for part in (hint, *get_args(hint)):
            if part is str:
                found.add(name)
            if isinstance(part, type) and issubclass(part, Record):
                found |= _text_fields(part, seen)
    return found


def test_2_bids_say_prices_and_nothing_of_what_is_behind_them() -> None:
    """Nothing of PETCON's eq. 1 and 2: charge, willingness, minimum, cost factors."""
    private = ("soc", "state_of_charge", "capacity", "willing", "utility", "cost", "need", "depart")
    kinds = [kind for kind in vars(auction).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, Record) and kind is not Record]
    kinds += [tx.PlaceBuyOrder, tx.PlaceSellOrder]
    assert len(kinds) > 4
    for kind in kinds:
        for name in kind.__struct_fields__:
            assert not any(word in name for word in private), f"{kind.__name__}.{name}"


def test_2_wallets_of_one_certificate_have_nothing_in_common() -> None:
    """What opens two of them on the ledger are two keys and two signatures that share no byte run
    which two strangers' would not share."""
    book = Book(
        chain_id="sim-small-hub", authority=public("authority"), name="office", secret=bytes(32)
    )
    register, driver = Register(key("authority"), book), key("driver/ann")
    certificate = register.certify(
        subject="8ABC123", public_key=driver.public, from_s=0, until_s=2**31
    )
    wallets = [key(f"ann/{at}") for at in range(2)]
    request = request_addresses(certificate, driver, wallets, book.chain_id)
    tokens = dict(zip(request.wallets, register.give_tokens(request, 10), strict=True))
    hub, opened = SmallHub(), []
    for at, wallet in enumerate(wallets):
        data = hub.sign(
            tx.OpenWallet,
            f"ann/{at}",
            authority=public("authority"),
            token=tokens[wallet.public],
        )
        hub.done(data)
        opened.append(tx.decode_message(decode(data, tx.Transaction).message))
    first, second = opened
    same = [n for n in first.__struct_fields__ if getattr(first, n) == getattr(second, n)]
    assert same == ["chain_id", "nonce", "valid_until_s", "authority"]
    assert hub.account("ann/0") == hub.account("ann/1")


def test_2_but_two_turns_of_bids_give_away_what_is_behind_them() -> None:
    """Of the paper's own market, by nothing but energies and bids; of who stood at a limit in both
    turns less is learned."""
    market = draw(1)
    turns = list(islice(auction_turns(market.buyers, market.sellers, theta=None), 3))[1:]
    heard = [reveal_values(t.payments, t.allocation.kwh, t.next_payments).value for t in turns]
    energies = np.array([turn.allocation.kwh.sum(axis=1) for turn in turns])
    found = reveal_buyers(np.array(heard), energies, efficiency=0.8)
    known = ~np.isnan(found.weight)
    assert known.mean() > 0.3
    np.testing.assert_allclose(found.weight[known], market.buyers.weight[known], rtol=1e-6)
    minima = market.buyers.minimum_kwh[known]
    np.testing.assert_allclose(found.minimum_kwh[known], minima, rtol=1e-6)


# --- 3) wallets


def spending(hub: SmallHub, by: str) -> list[bytes]:
    """Every message with which a wallet's coins move or are bound, in the name of ann, its next
    nonce and all, but signed by somebody else."""
    at = {"round_id": round_id(3), "port": "p1"}
    made = [
        (tx.Transfer, {"to": public(by), "amount_ucoin": 1}),
        (tx.Withdraw, {"amount_ucoin": 1}),
        (tx.PlaceBuyOrder, at),
        (tx.PlaceSellOrder, at),
    ]
    usual = {"chain_id": hub.chain_id, "signer": public("ann"), "valid_until_s": END_S}
    found = []
    for kind, fields in made:
        data = hub.sign(kind, "ann", **fields)
        message = tx.decode_message(decode(data, tx.Transaction).message)
        message = replace(message, nonce=hub.account("ann").nonce, **usual)
        found += [tx.sign_message(message, key(by)), tx.sign_message(message, key(by), key(by))]
    return found


def test_3_without_its_key_nobody_spends_from_a_wallet() -> None:
    hub = traded().open(3)
    before = hub.account("ann")
    for thief in ("bob", "operator", "authority", "issuer", "eve"):
        for stolen in spending(hub, thief):
            assert hub.rejected(stolen) == Answer(Reason.BAD_SIGNATURE, "signature")
    assert hub.account("ann") == before


def test_3_without_a_token_a_key_is_no_wallet() -> None:
    hub = traded()
    mine = hub.sign(tx.Transfer, "eve", to=public("eve"), amount_ucoin=0)
    assert hub.rejected(mine) == Answer(Reason.UNKNOWN_SIGNER, "signer")
    forged = hub.sign(
        tx.OpenWallet,
        "eve",
        authority=public("authority"),
        token=key("eve").sign(tx.WALLET_DOMAIN, hub.chain_id, public("eve")),
    )
    assert hub.rejected(forged) == Answer(Reason.BAD_COSIGNATURE, "token")


def test_3_a_signature_for_one_chain_opens_nothing_on_another() -> None:
    """Ann has the same key on both."""
    hub, other = traded(), SmallHub(chain_id="sim-other-hub").site().drivers("ann", "bob")
    elsewhere = other.sign(tx.Transfer, "ann", to=public("bob"), nonce=hub.account("ann").nonce)
    assert hub.rejected(elsewhere) == Answer(Reason.WRONG_CHAIN, "chain_id")


def test_3_a_stolen_key_file_is_not_a_key(tmp_path: Path) -> None:
    path = tmp_path / "wallet.key"
    cheap = {"opslimit": argon2id.OPSLIMIT_MIN, "memlimit": argon2id.MEMLIMIT_MIN}
    made = keystore.create(path, "a good pass-phrase", **cheap)
    data = path.read_bytes()
    assert made.seed not in data
    assert made.seed.hex().encode() not in data
    with pytest.raises(keystore.WrongPassphraseError):
        keystore.load(path, "a good guess")
    assert keystore.load(path, "a good pass-phrase").seed == made.seed
