"""Whose wallet is it? Asked by one party in an open dispute, answered by another, both on record.

Knows state and records. The answer itself never comes here: the registration authority shows the
certificate to the asker alone, and commits to it.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.members import has_role
from peerwatt.contracts.state import DISPUTES, SETTLEMENTS, Refusal, State
from peerwatt.records.market import Dispute, Opening
from peerwatt.records.members import Role
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import ConsentOpening, RequestOpening

MAX_OPENINGS = 2
"""A dispute is about one settlement: its owner and one other may be asked for, no whole round."""


def request_opening(state: State, context: BlockContext, message: RequestOpening) -> Refusal | None:
    """A regulator or a party of an open dispute asks for the owner of a wallet in its round."""
    dispute = state.get(DISPUTES, message.order_id)
    if dispute is None:
        return Refusal(Reason.UNKNOWN_DISPUTE, "order_id")
    parties = (dispute.owner, dispute.operator)
    if message.signer not in parties and not has_role(state, message.signer, Role.REGULATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if dispute.resolved:
        return Refusal(Reason.ALREADY_RESOLVED, "order_id")
    wallet = _owner(state, dispute, message)
    if wallet is None:
        return Refusal(Reason.UNKNOWN_ORDER, "whose_order_id")
    if any(each.wallet == wallet for each in dispute.openings):
        return Refusal(Reason.ALREADY_EXISTS, "whose_order_id")
    if len(dispute.openings) >= MAX_OPENINGS:
        return Refusal(Reason.TOO_MANY, "order_id")
    # --- checked; from here on only writes ---
    opening = Opening(
        wallet=wallet, requester=message.signer, statement_hash=message.statement_hash
    )
    asked = replace(dispute, openings=(*dispute.openings, opening))
    state.put(DISPUTES, message.order_id, asked)
    return None


def _owner(state: State, dispute: Dispute, message: RequestOpening) -> bytes | None:
    """The wallet of the disputed order, or of another that was settled in its round, as long as
    that round's settlements stand."""
    if message.whose_order_id == message.order_id:
        return dispute.owner
    settled = state.get(SETTLEMENTS, message.whose_order_id, dispute.round_id)
    return None if settled is None else settled.owner


def consent_opening(state: State, context: BlockContext, message: ConsentOpening) -> Refusal | None:
    """A registration authority, who is not the asker, consents as long as the dispute is open."""
    dispute = state.get(DISPUTES, message.order_id)
    if not has_role(state, message.signer, Role.REGISTRATION_AUTHORITY):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if dispute is None:
        return Refusal(Reason.UNKNOWN_DISPUTE, "order_id")
    if dispute.resolved:
        return Refusal(Reason.ALREADY_RESOLVED, "order_id")
    at = [each.wallet for each in dispute.openings]
    if message.wallet not in at:
        return Refusal(Reason.UNKNOWN_OPENING, "wallet")
    asked = dispute.openings[at.index(message.wallet)]
    if asked.authority:
        return Refusal(Reason.ALREADY_RESOLVED, "wallet")
    if asked.requester == message.signer:
        return Refusal(Reason.ONE_PARTY, "signer")
    # --- checked; from here on only writes ---
    opened = replace(asked, authority=message.signer, commitment=message.commitment)
    openings = tuple(opened if each is asked else each for each in dispute.openings)
    state.put(DISPUTES, message.order_id, replace(dispute, openings=openings))
    return None
