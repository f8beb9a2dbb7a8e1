"""A trade is recorded: the buyer writes it down, the seller signs once it has seen the payment.

Knows the records, receipts and sealed bodies. The seller believes neither buyer nor hub: it signs
what two receipts prove, the purchase's and its own sale's, and what the body says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peerwatt.records.bundles import ReceiptBundle, is_sound, verify_bundle
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.market import Round, SettledAward, Side
from peerwatt.records.sealing import SealError, open_body, seal_body
from peerwatt.records.signing import SigningKey
from peerwatt.records.trades import TradeBody, TradeKind
from peerwatt.records.transactions import (
    COSIGN_DOMAIN,
    TRANSACTION_DOMAIN,
    RecordTrade,
    Transaction,
    decode_message,
)

SETTLEMENTS = "settlements"


class NotSigned(ValueError):  # noqa: N818
    """A record that a seller does not sign: one line that names the field and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """What a record is written from: the two settlements, and what went between them."""

    round_id: bytes
    market_round: Round
    bought: SettledAward
    sold: SettledAward
    from_seller_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The newest records of both wallets."""

    buyer: bytes
    seller: bytes


def written(
    sale: Sale,
    heads: Heads,
    *,
    chain_id: str,
    nonce: int,
    now_s: int,
    valid_until_s: int,
    kind: TradeKind,
    tags: Sequence[str],
    readers: Sequence[bytes],
    entropy: bytes,
) -> RecordTrade:
    """The buyer's record of a purchase, its body sealed to the readers and to both traders."""
    body = TradeBody(
        site=sale.market_round.site,
        slot_start_s=sale.market_round.slot_start_s,
        order_id=sale.bought.order_id,
        sale_id=sale.sold.order_id,
        bought_wh=sale.bought.metered_wh,
        paid_ucoin=sale.bought.paid_ucoin,
        from_seller_wh=sale.from_seller_wh,
    )
    return RecordTrade(
        chain_id=chain_id,
        signer=sale.bought.owner,
        nonce=nonce,
        valid_until_s=valid_until_s,
        round_id=sale.round_id,
        order_id=sale.bought.order_id,
        sale_id=sale.sold.order_id,
        seller=sale.sold.owner,
        trade_kind=kind,
        tags=tuple(sorted(tags)),
        history=heads.buyer,
        seller_history=heads.seller,
        time_s=now_s,
        body=seal_body(body, [*readers, sale.bought.owner, sale.sold.owner], entropy),
    )


def countersigned(
    data: bytes,
    key: SigningKey,
    head: bytes,
    *,
    purchase: ReceiptBundle,
    sale: ReceiptBundle,
    proposer: bytes,
) -> bytes:
    """The seller's signature of a record's message, once the payment is proved.

    Args:
        data: the message's bytes, from the buyer.
        key: the seller's.
        head: the hash of the newest record that the seller knows of.
        purchase, sale: receipts of both settlements, from anybody.
        proposer: who signs the chain's headers.

    Raises:
        NotSigned: it says other than what is proved, or is not about this seller's sale.
    """
    try:
        message = decode_message(data)
    except CodecError as error:
        raise NotSigned(f"message: {error}") from None
    if not isinstance(message, RecordTrade) or message.seller != key.public:
        raise NotSigned("seller: is not this wallet")
    bought = _proved("purchase", purchase, message.round_id, message.order_id, proposer)
    sold = _proved("sale", sale, message.round_id, message.sale_id, proposer)
    if bought.side != Side.BUY or bought.owner != message.signer:
        raise NotSigned("order_id: is no purchase of who records it")
    if sold.side != Side.SELL or sold.owner != key.public:
        raise NotSigned("sale_id: is no sale of this wallet")
    if message.seller_history != head:
        raise NotSigned("seller_history: is not this wallet's newest record")
    _check_body(message, bought, sold, key)
    return key.sign(COSIGN_DOMAIN, message.chain_id, data)


def _proved(
    name: str, bundle: ReceiptBundle, round_id: bytes, order_id: bytes, proposer: bytes
) -> SettledAward:
    """What a receipt proves of this order's settlement."""
    entry = bundle.entry
    if (entry.tree, entry.scope, entry.key) != (SETTLEMENTS, round_id, order_id):
        raise NotSigned(f"{name}: is a receipt of something else")
    if entry.item is None or not is_sound(verify_bundle(bundle, proposer=proposer)):
        raise NotSigned(f"{name}: the receipt does not hold, so nothing shows the payment")
    try:
        return decode(entry.item, SettledAward)
    except CodecError as error:
        raise NotSigned(f"{name}: {error}") from None


def _check_body(
    message: RecordTrade, bought: SettledAward, sold: SettledAward, key: SigningKey
) -> None:
    """The body says what was settled, and gives the seller no more than it sold."""
    try:
        body = open_body(message.body, key)
    except SealError as error:
        raise NotSigned(str(error)) from None
    if (body.order_id, body.sale_id) != (message.order_id, message.sale_id):
        raise NotSigned("body: is of another trade")
    if (body.bought_wh, body.paid_ucoin) != (bought.metered_wh, bought.paid_ucoin):
        raise NotSigned("body: says other than the ledger of what was bought and paid")
    if not 0 < body.from_seller_wh <= min(bought.metered_wh, sold.metered_wh):
        raise NotSigned("body: from_seller_wh: is not what this sale can have given")


def assembled(message: RecordTrade, key: SigningKey, cosignature: bytes) -> bytes:
    """The transaction that the buyer sends, with the seller's signature in it."""
    data, seller = encode(message), message.seller
    signature = key.sign(TRANSACTION_DOMAIN, message.chain_id, data + seller + cosignature)
    return encode(
        Transaction(message=data, signature=signature, cosigner=seller, cosignature=cosignature)
    )
