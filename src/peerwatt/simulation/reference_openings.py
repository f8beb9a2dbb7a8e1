"""How the reference opens wallets in disputes: what it has against it, and what it then writes.

Knows the messages and the reference's rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from peerwatt.records import transactions as tx
from peerwatt.records.market import Dispute, Opening
from peerwatt.records.members import Role
from peerwatt.records.receipts import Reason
from peerwatt.simulation.reference_rows import Rows, may

MOST_OPENINGS = 2
Objections = Iterator[Reason]


def to_request(rows: Rows, message: tx.RequestOpening) -> Objections:
    """Against asking whose wallet it is."""
    dispute: Dispute | None = rows.get("disputes", message.order_id)
    if dispute is None:
        yield Reason.UNKNOWN_DISPUTE
        return
    regulates = may(rows, message.signer, Role.REGULATOR)
    if not regulates and message.signer != dispute.owner and message.signer != dispute.operator:
        yield Reason.NOT_PERMITTED
    if dispute.resolved:
        yield Reason.ALREADY_RESOLVED
    if len(dispute.openings) == MOST_OPENINGS:
        yield Reason.TOO_MANY
    wallet = _wallet(rows, dispute, message)
    if not wallet:
        yield Reason.UNKNOWN_ORDER
    elif wallet in [each.wallet for each in dispute.openings]:
        yield Reason.ALREADY_EXISTS


def _wallet(rows: Rows, dispute: Dispute, message: tx.RequestOpening) -> bytes:
    """Who placed the order that is named; of the disputed one that is always known."""
    owners = {key: row.owner for key, row in rows.shelf("settlements", dispute.round_id).items()}
    owners[message.order_id] = dispute.owner
    wallet: bytes = owners.get(message.whose_order_id, b"")
    return wallet


def to_consent(rows: Rows, message: tx.ConsentOpening) -> Objections:
    """Against consenting to what was asked."""
    if not may(rows, message.signer, Role.REGISTRATION_AUTHORITY):
        yield Reason.NOT_PERMITTED
    dispute: Dispute | None = rows.get("disputes", message.order_id)
    if dispute is None:
        yield Reason.UNKNOWN_DISPUTE
        return
    if dispute.resolved:
        yield Reason.ALREADY_RESOLVED
    asked = [each for each in dispute.openings if each.wallet == message.wallet]
    if not asked:
        yield Reason.UNKNOWN_OPENING
    for each in asked:
        if each.authority != b"":
            yield Reason.ALREADY_RESOLVED
        if each.requester == message.signer:
            yield Reason.ONE_PARTY


def write_opening(rows: Rows, message: tx.RequestOpening | tx.ConsentOpening) -> None:
    """What was asked stands in its dispute, and so does the consent."""
    dispute: Dispute = rows.get("disputes", message.order_id)
    listed = {each.wallet: each for each in dispute.openings}
    if isinstance(message, tx.RequestOpening):
        wallet = _wallet(rows, dispute, message)
        asked = Opening(
            wallet=wallet, requester=message.signer, statement_hash=message.statement_hash
        )
    else:
        wallet = message.wallet
        asked = replace(listed[wallet], authority=message.signer, commitment=message.commitment)
    listed[wallet] = asked
    rows.put("disputes", message.order_id, replace(dispute, openings=tuple(listed.values())))
