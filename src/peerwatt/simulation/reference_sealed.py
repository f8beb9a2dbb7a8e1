"""Sealed orders, as the reference ledger sees them.

Knows the messages and the reference's rows. A tenth of a deposit is lost with what is not shown.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec.structs import replace

from peerwatt.contracts.state import OrderAt
from peerwatt.records import transactions as tx
from peerwatt.records.codec import encode
from peerwatt.records.market import BuyOrder, Round, SellOrder
from peerwatt.records.receipts import Event, Reason
from peerwatt.records.sealed import BuyTerms, SealedOrder
from peerwatt.simulation.reference_orders import Objections, book, held_for, to_place, to_terms
from peerwatt.simulation.reference_rows import POT, Rows, move

LADDER = [10**6 << 2 * rung for rung in range(10)]


def to_seal(rows: Rows, message: tx.SealOrder, now_s: int) -> Objections:
    """Against an order that is committed to."""
    yield from to_place(rows, message, now_s)
    if message.deposit_ucoin not in LADDER:
        yield Reason.OUT_OF_RANGE
    if message.deposit_ucoin > rows.get("accounts", message.signer).free_ucoin:
        yield Reason.UNFUNDED


def to_reveal(rows: Rows, message: tx.RevealOrder, now_s: int) -> Objections:
    """Against an order that is shown."""
    market_round = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if market_round.reveal_by_s == 0:
        yield Reason.NOT_SEALED
    elif now_s >= market_round.reveal_by_s:
        yield Reason.TOO_LATE
    if now_s < market_round.gate_s:
        yield Reason.TOO_EARLY
    sealed = rows.get("sealed_orders", message.order_id, message.round_id)
    if sealed is None:
        yield Reason.UNKNOWN_ORDER
        return
    if sealed.owner != message.signer:
        yield Reason.NOT_PERMITTED
    said = (sealed.owner, message.round_id, sealed.port, message.terms, message.salt)
    domain = f"peerwatt/sealed-order/{message.chain_id}\n".encode()
    if sha256(domain + encode(said)).digest() != sealed.commitment:
        yield Reason.WRONG_COMMITMENT
    port = rows.get("ports", f"{market_round.site}/{sealed.port}".encode())
    yield from to_terms(message.terms, market_round, port)
    if held_for(message.terms, market_round) > sealed.deposit_ucoin:
        yield Reason.OVER_LIMIT


def seal(rows: Rows, message: tx.SealOrder, order_id: bytes) -> None:
    """The deposit is held, and the book takes in what is known."""
    sealed = SealedOrder(
        order_id=order_id,
        owner=message.signer,
        port=message.port,
        deposit_ucoin=message.deposit_ucoin,
        commitment=message.commitment,
    )
    move(rows, message.signer, -message.deposit_ucoin, held=True)
    rows.put("sealed_orders", order_id, sealed, message.round_id)
    rows.put("port_orders", message.port.encode(), OrderAt(order_id=order_id), message.round_id)
    rebook(rows, message.round_id, encode(sealed))


def rebook(rows: Rows, round_id: bytes, change: bytes) -> None:
    """The book has changed before the gate."""
    market_round, count = rows.get("rounds", round_id), len(book(rows, round_id))
    book_hash = sha256(market_round.book_hash + change).digest()
    rows.put("rounds", round_id, replace(market_round, order_count=count, book_hash=book_hash))


def reveal(rows: Rows, message: tx.RevealOrder) -> None:
    """What was sealed is an order."""
    market_round = rows.get("rounds", message.round_id)
    sealed = rows.get("sealed_orders", message.order_id, message.round_id)
    feeder = rows.get("ports", f"{market_round.site}/{sealed.port}".encode()).feeder
    terms, held = message.terms, held_for(message.terms, market_round)
    said = {name: getattr(terms, name) for name in terms.__struct_fields__}
    said |= {"order_id": sealed.order_id, "owner": sealed.owner, "port": sealed.port}
    kind = BuyOrder if isinstance(terms, BuyTerms) else SellOrder
    move(rows, sealed.owner, sealed.deposit_ucoin - held, held=True)
    rows.drop("sealed_orders", sealed.order_id, message.round_id)
    order = kind(held_ucoin=held, feeder=feeder, **said)
    rows.put("orders", sealed.order_id, order, message.round_id)


def forfeit(rows: Rows, round_id: bytes, market_round: Round) -> tuple[Round, list[Event]]:
    """What is not shown by now is gone, with a tenth of what was left for it."""
    withheld = sorted(rows.shelf("sealed_orders", round_id).items())
    for _, sealed in withheld:
        move(rows, sealed.owner, sealed.deposit_ucoin, held=True)
        move(rows, sealed.owner, -(sealed.deposit_ucoin // 10))
        move(rows, POT, sealed.deposit_ucoin // 10)
        rows.drop("port_orders", sealed.port.encode(), round_id)
    rows.clear("sealed_orders", round_id)
    left = replace(market_round, order_count=market_round.order_count - len(withheld))
    return left, [Event(kind="withheld", key=order_id) for order_id, _ in withheld]
