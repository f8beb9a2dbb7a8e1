"""The messages by which members change the consortium, open a wallet's owner and fund rewards.

Knows units, the header of messages and members.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record
from peerwatt.records.members import Member
from peerwatt.records.message_header import Header
from peerwatt.units import Count, Hash, Key, Ucoin


class AddMember(Record, tag=1):
    """A change of the consortium: a member comes in, or its name and roles change."""

    member: Member


class RemoveMember(Record, tag=2):
    """A change of the consortium: a member leaves."""

    key: Key


class UpgradeRules(Record, tag=3):
    """A change of the rules: `rules_version` is in force from `height` on."""

    rules_version: Count
    height: Count


class SetRewards(Record, tag=4):
    """A change of what the reward account pays, from now on: at the end of each epoch to the wallet
    that sold most at a hub, by its meter, and to the member that proposed a block. Zeros: nothing.
    Epochs are counted from now."""

    epoch_s: Annotated[int, Meta(ge=60, le=366 * 86_400)]
    contribution_ucoin: Ucoin
    proposer_ucoin: Ucoin


Change = AddMember | RemoveMember | UpgradeRules | SetRewards


class ProposeChange(Header, tag=2):
    """A member proposes a change of members or rules, and votes for it."""

    change: Change


class Vote(Header, tag=3):
    """A member votes for a proposed change; over two thirds of the members carry it out."""

    proposal_id: Hash


class RequestOpening(Header, tag=26):
    """In an open dispute (named by its order), a regulator or one of the dispute's parties asks
    whose wallet placed an order that was settled in the disputed round."""

    order_id: Hash
    whose_order_id: Hash
    statement_hash: Hash


class ConsentOpening(Header, tag=27):
    """A registration authority consents to a recorded request, and commits to the certificate that
    it discloses to the asker; nobody else learns from the commitment whose it is."""

    order_id: Hash
    wallet: Key
    commitment: Hash


class FundRewards(Header, tag=28):
    """A member gives coins of its own to the reward account."""

    amount_ucoin: Ucoin
