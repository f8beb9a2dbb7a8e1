"""Sealed orders: the same market as open ones, and what is held, freed and lost on the way."""

from __future__ import annotations

from random import Random

import pytest
from small_hub import (
    CHAIN_ID,
    FIRST_SLOT_S,
    GATE_LEAD_S,
    PORTS,
    SmallHub,
    genesis,
    public,
    round_id,
)

from peerwatt.contracts.state import ACCOUNTS, POT
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import Mechanism
from peerwatt.records.receipts import Reason
from peerwatt.records.sealed import (
    DEPOSITS_UCOIN,
    BuyTerms,
    SellTerms,
    Terms,
    commitment_of,
    least_deposit_ucoin,
)
from peerwatt.simulation.reference import Reference

GATE_S = FIRST_SLOT_S - GATE_LEAD_S
REVEAL_BY_S = GATE_S + 15
SALT = digest(b"salt")


def opened(**fields: object) -> SmallHub:
    return SmallHub().site().drivers(*PORTS).open(**fields)


def seal(hub: SmallHub, name: str, terms: Terms, deposit_ucoin: int = DEPOSITS_UCOIN[2]) -> bytes:
    bound = commitment_of(CHAIN_ID, public(name), round_id(), PORTS[name], terms, SALT)
    return hub.do(
        tx.SealOrder, name, port=PORTS[name], deposit_ucoin=deposit_ucoin, commitment=bound
    )


def drawn(seed: int) -> dict[str, Terms]:
    draw = Random(seed)
    first, second = draw.sample(range(250_000, 300_000), 2)  # hashes of ids break ties
    return {
        "ann": BuyTerms(
            min_wh=500,
            max_wh=draw.randrange(500, 2_500),
            price_high_ucoin_per_kwh=first,
            price_low_ucoin_per_kwh=first,
        ),
        "bob": SellTerms(
            max_wh=draw.randrange(1, 2_500),
            ask_ucoin_per_kwh=draw.randrange(80_000, 200_000),
            slope_ucoin_per_kwh2=0,
        ),
        "cat": BuyTerms(
            min_wh=0,
            max_wh=draw.randrange(1, 2_500),
            price_high_ucoin_per_kwh=second,
            price_low_ucoin_per_kwh=second,
        ),
    }


@pytest.mark.parametrize("mechanism", [Mechanism.WELFARE, Mechanism.UNIFORM, Mechanism.K_PRICE])
@pytest.mark.parametrize("seed", range(5))
def test_sealed_orders_are_awarded_what_open_ones_are(mechanism: Mechanism, seed: int) -> None:
    terms = drawn(seed)
    plain = opened(mechanism=mechanism)
    for name, said in terms.items():
        fields = {each: getattr(said, each) for each in said.__struct_fields__}
        (plain.buy if isinstance(said, BuyTerms) else plain.sell)(name, **fields)
    plain.block(at=REVEAL_BY_S)
    hub = opened(mechanism=mechanism, reveal_by_s=REVEAL_BY_S)
    ids = {name: seal(hub, name, said) for name, said in terms.items()}
    hub.block(at=GATE_S)
    book_hash = hub.round().book_hash
    for name, order_id in ids.items():
        hub.do(tx.RevealOrder, name, order_id=order_id, terms=terms[name], salt=SALT)
    assert hub.round().book_hash == book_hash
    hub.block(at=REVEAL_BY_S)

    def got(of: SmallHub) -> dict[str, tuple[int, int, int]]:
        return {
            port: (each.energy_wh, each.price_ucoin_per_kwh, each.held_ucoin)
            for port, each in of.rows("awards").items()
        }

    assert got(hub) == got(plain) != {}
    assert [hub.free(name) for name in PORTS] == [plain.free(name) for name in PORTS]


def test_who_shows_nothing_loses_a_tenth_and_has_no_order() -> None:
    hub = opened(reveal_by_s=REVEAL_BY_S)
    terms, before = drawn(1), hub.free("ann")
    seal(hub, "ann", terms["ann"])
    bob = seal(hub, "cat", terms["cat"])
    deposit = DEPOSITS_UCOIN[2]
    assert hub.free("ann") == before - deposit
    hub.block(at=GATE_S)
    hub.do(tx.RevealOrder, "cat", order_id=bob, terms=terms["cat"], salt=SALT)
    hub.block(at=REVEAL_BY_S)
    assert hub.events() == ["withheld", "cleared"]
    assert hub.round().order_count == 1
    assert hub.free("ann") == before - deposit // 10
    assert hub.get(ACCOUNTS, POT).free_ucoin == deposit // 10


def test_who_is_checked_out_can_show_its_order() -> None:
    hub = opened(reveal_by_s=REVEAL_BY_S)
    terms = drawn(2)["ann"]
    order_id = seal(hub, "ann", terms)
    hub.do(tx.CheckOut, "operator", port="p1")
    hub.block(at=GATE_S)
    wrong = {"order_id": order_id, "terms": terms, "salt": digest(b"another")}
    assert hub.refused(tx.RevealOrder, "ann", **wrong) == (Reason.WRONG_COMMITMENT, "terms")
    hub.do(tx.RevealOrder, "ann", order_id=order_id, terms=terms, salt=SALT)
    hub.block(at=REVEAL_BY_S)
    assert set(hub.rows("awards")) == {"p1"}


def test_a_commitment_binds_all_that_it_names() -> None:
    terms = drawn(3)
    usual = (CHAIN_ID, public("ann"), round_id(), "p1", terms["ann"], SALT)
    others = ("other", public("bob"), round_id(1), "p2", terms["cat"], digest(b"pepper"))
    hashes = {commitment_of(*usual)} | {
        commitment_of(*usual[:at], other, *usual[at + 1 :]) for at, other in enumerate(others)
    }
    assert len(hashes) == 1 + len(others)
    assert least_deposit_ucoin(DEPOSITS_UCOIN[0] + 1) == DEPOSITS_UCOIN[1]
    assert least_deposit_ucoin(DEPOSITS_UCOIN[-1] + 1) is None


def test_the_second_ledger_comes_to_the_same_rows() -> None:
    hub = opened(reveal_by_s=REVEAL_BY_S)
    terms = drawn(4)
    ids = {name: seal(hub, name, said) for name, said in terms.items()}
    hub.do(tx.CancelOrder, "cat", order_id=ids.pop("cat"))
    hub.block(at=GATE_S)
    shown = {"order_id": ids["bob"], "terms": terms["bob"]}
    assert hub.refused(tx.RevealOrder, "bob", salt=digest(b"wrong"), **shown)
    hub.do(tx.RevealOrder, "bob", salt=SALT, **shown)
    hub.block(at=REVEAL_BY_S)
    second = Reference(encode(genesis()))
    for height in range(1, hub.host.height + 1):
        block = hub.host.block(height)
        second.begin(block.transactions)
        receipts = hub.host.receipts(height)
        for data, receipt in zip(block.transactions, receipts, strict=True):
            given = Reason(receipt.reason)
            against = second.take(data, given)
            assert given in (against or [Reason.OK])
        second.end(public("operator"), any(receipt.ok for receipt in receipts))
    assert hub.round().order_count == 1
    for table, scope, at, record in hub.state():
        assert second.rows.get(table, at, scope) == record, (table, at)
