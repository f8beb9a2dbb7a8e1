"""A seller signs a record once two receipts prove the payment, and nothing but that."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace
from recording import ENERGY_WH, awards, settled
from small_hub import OK, SITE, SmallHub, answer, end_s, key, public, round_id

from peerwatt.agents.trade import Heads, NotSigned, Sale, assembled, countersigned, written
from peerwatt.records.bundles import ReceiptBundle
from peerwatt.records.codec import decode, encode
from peerwatt.records.market import NO_HASH, SettledAward
from peerwatt.records.sealing import open_body, seal_body
from peerwatt.records.trades import TradeBody, TradeKind
from peerwatt.records.transactions import RecordTrade, Tick

ENTROPY = bytes(64)


@cache
def hub() -> SmallHub:
    made = settled()
    made.block()
    return made


def receipts() -> tuple[ReceiptBundle, ReceiptBundle]:
    bought, sold = awards(hub())
    host = hub().host
    first, second = (host.receipt("settlements", round_id(), each) for each in (bought, sold))
    return first, second


def rows() -> tuple[SettledAward, SettledAward]:
    first, second = (decode(each.entry.item or b"", SettledAward) for each in receipts())
    return first, second


def message(**changed: Any) -> RecordTrade:
    bought, sold = rows()
    sale = Sale(
        round_id=round_id(),
        market_round=hub().round(),
        bought=bought,
        sold=sold,
        from_seller_wh=ENERGY_WH,
    )
    made = written(
        sale,
        Heads(buyer=NO_HASH, seller=NO_HASH),
        chain_id=hub().chain_id,
        nonce=hub().account("ann").nonce,
        now_s=end_s(0),
        valid_until_s=hub().now_s + 900,
        kind=TradeKind.CAR,
        tags=("v2v", "day"),
        readers=[public("operator")],
        entropy=ENTROPY,
    )
    return replace(made, **changed)


def sign(
    made: RecordTrade | bytes, *, by: str = "bob", head: bytes = NO_HASH, **changed: Any
) -> bytes:
    purchase, sale = receipts()
    data = made if isinstance(made, bytes) else encode(made)
    named = {"purchase": purchase, "sale": sale, "proposer": public("operator")} | changed
    return countersigned(data, key(by), head, **named)


def refused(made: RecordTrade | bytes, **changed: Any) -> str:
    with pytest.raises(NotSigned) as error:
        sign(made, **changed)
    return str(error.value)


def body(**changed: Any) -> bytes:
    """Another body, sealed to both traders."""
    said = replace(open_body(message().body, key("bob")), **changed)
    return seal_body(said, [public("ann"), public("bob")], ENTROPY)


def test_a_paid_trade_is_signed_and_the_ledger_takes_it() -> None:
    made = message()
    assert made.tags == ("day", "v2v")
    transaction = assembled(made, key("ann"), sign(made))
    copy = settled()
    assert copy.chain_id == hub().chain_id
    assert answer(copy.host.submit(transaction)) == OK
    assert copy.block() == [OK]


@pytest.mark.parametrize("name", ["ann", "bob", "operator"])
def test_traders_and_readers_can_read_what_was_traded(name: str) -> None:
    bought, sold = rows()
    assert open_body(message().body, key(name)) == TradeBody(
        site=SITE,
        slot_start_s=hub().round().slot_start_s,
        order_id=bought.order_id,
        sale_id=sold.order_id,
        bought_wh=ENERGY_WH,
        paid_ucoin=bought.paid_ucoin,
        from_seller_wh=ENERGY_WH,
    )


def test_somebody_elses_sale() -> None:
    assert refused(message(), by="cat") == "seller: is not this wallet"
    assert refused(message(seller=public("cat")), by="cat") == "sale_id: is no sale of this wallet"


def test_somebody_elses_purchase() -> None:
    made = message(signer=public("cat"))
    assert refused(made) == "order_id: is no purchase of who records it"


def test_bytes_that_are_no_record() -> None:
    assert refused(b"\xc1").startswith("message: ")
    tick = Tick(chain_id="x", signer=public("ann"), nonce=0, valid_until_s=0, time_s=0)
    assert refused(encode(tick)) == "seller: is not this wallet"


def test_a_receipt_of_something_else() -> None:
    purchase, sale = receipts()
    made = message()
    assert refused(made, purchase=sale) == "purchase: is a receipt of something else"
    assert refused(made, sale=purchase) == "sale: is a receipt of something else"
    order = hub().host.receipt("awards", round_id(), made.order_id)
    assert refused(made, purchase=order) == "purchase: is a receipt of something else"


def test_a_payment_that_is_not_proved() -> None:
    purchase, _ = receipts()
    bought, _ = rows()
    more = replace(bought, paid_ucoin=bought.paid_ucoin + 1)
    forged = replace(purchase, entry=replace(purchase.entry, item=encode(more)))
    line = "purchase: the receipt does not hold, so nothing shows the payment"
    assert refused(message(), purchase=forged) == line
    assert refused(message(), proposer=public("ann")) == line
    none = replace(purchase, entry=replace(purchase.entry, item=None))
    assert refused(message(), purchase=none) == line


def test_a_history_that_is_not_the_sellers() -> None:
    line = "seller_history: is not this wallet's newest record"
    assert refused(message(), head=bytes([1]) * 32) == line
    assert refused(message(seller_history=bytes([1]) * 32)) == line


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"bought_wh": 1}, "body: says other than the ledger of what was bought and paid"),
        ({"paid_ucoin": 1}, "body: says other than the ledger of what was bought and paid"),
        ({"order_id": bytes(32)}, "body: is of another trade"),
        ({"sale_id": bytes(32)}, "body: is of another trade"),
        ({"from_seller_wh": 0}, "body: from_seller_wh: is not what this sale can have given"),
        ({"from_seller_wh": 2_001}, "body: from_seller_wh: is not what this sale can have given"),
    ],
)
def test_a_body_that_says_something_else(changed: dict[str, Any], line: str) -> None:
    assert refused(message(body=body(**changed))) == line


def test_a_body_that_the_seller_cannot_read() -> None:
    sealed = seal_body(open_body(message().body, key("ann")), [public("ann")], ENTROPY)
    assert refused(message(body=sealed)) == "body: is not sealed to this key"
    assert refused(message(body=b"plain text")).startswith("body: ")


def test_a_signature_cannot_be_moved_to_another_record() -> None:
    made = message()
    other = replace(made, tags=())
    transaction = assembled(other, key("ann"), sign(made))
    assert answer(settled().host.submit(transaction)) != OK
