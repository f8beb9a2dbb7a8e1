"""The consortium: more than two thirds of the members of the moment."""

from __future__ import annotations

import pytest
from small_hub import MEMBERS, OK, SmallHub, genesis, public

from peerwatt.contracts.state import ACCOUNTS, PROPOSALS
from peerwatt.contracts.state import MEMBERS as TABLE
from peerwatt.records import transactions as tx
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason

NEW = Member(key=public("new"), name="new", roles=Role.SUPPLIER)
NAMES = sorted(MEMBERS, key=public)


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5)])
def test_more_than_two_thirds_carry_a_change(members: int, needed: int) -> None:
    hub = SmallHub(members=genesis().members[:members])
    proposal = hub.do(tx.ProposeChange, NAMES[0], change=tx.AddMember(member=NEW))
    for voted in range(1, needed):
        assert hub.get(TABLE, NEW.key) is None
        hub.do(tx.Vote, NAMES[voted], proposal_id=proposal)
    assert hub.get(TABLE, NEW.key) == NEW
    assert hub.get(ACCOUNTS, NEW.key) is not None
    record = hub.get(PROPOSALS, proposal)
    assert record.done
    assert record.voters == tuple(sorted(public(name) for name in NAMES[:needed]))


def test_who_has_left_counts_no_more_in_any_vote() -> None:
    """Of four who voted for a newcomer one leaves: three of five are too few, four will do."""
    hub = SmallHub()
    add = hub.do(tx.ProposeChange, "operator", change=tx.AddMember(member=NEW))
    for name in ("grid", "issuer", "authority"):
        hub.do(tx.Vote, name, proposal_id=add)
    remove = hub.do(tx.ProposeChange, "operator", change=tx.RemoveMember(key=public("grid")))
    for name in ("issuer", "authority", "supplier", "regulator"):
        hub.do(tx.Vote, name, proposal_id=remove)
    assert hub.get(TABLE, public("grid")) is None
    assert not hub.get(PROPOSALS, add).done
    hub.do(tx.Vote, "supplier", proposal_id=add)
    assert hub.get(TABLE, NEW.key) == NEW


def test_new_roles_replace_old_ones_and_coins_stay() -> None:
    hub = SmallHub().site()
    coins = hub.free("operator")
    change = tx.AddMember(member=Member(key=public("operator"), name="o", roles=Role.ISSUER))
    proposal = hub.do(tx.ProposeChange, "grid", change=change)
    for name in ("issuer", "authority", "supplier", "regulator"):
        hub.do(tx.Vote, name, proposal_id=proposal)
    assert (hub.free("operator"), hub.get(TABLE, public("operator")).name) == (coins, "o")
    assert hub.refused(tx.OpenRound, "operator") == (Reason.NOT_PERMITTED, "signer")
    assert hub.refused(tx.RegisterPort, "operator", port="p9", meter=public("m")) == (
        Reason.NOT_PERMITTED,
        "signer",
    )


def test_who_has_left_keeps_its_coins_and_may_take_them_away() -> None:
    hub = SmallHub().site()
    proposal = hub.do(tx.ProposeChange, "grid", change=tx.RemoveMember(key=public("supplier")))
    for name in ("issuer", "authority", "operator", "regulator"):
        hub.do(tx.Vote, name, proposal_id=proposal)
    publish = hub.sign(tx.PublishTariff, "supplier", cosigner="grid", tariff="second")
    assert hub.rejected(publish) == (Reason.NOT_PERMITTED, "signer")
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier"))
    assert hub.free("supplier") == 0


def test_votes_in_one_block_count_one_by_one() -> None:
    hub = SmallHub()
    proposal = hub.do(tx.ProposeChange, "operator", change=tx.AddMember(member=NEW))
    voters = ("grid", "issuer", "authority", "supplier", "regulator")
    answers = hub.block(*(hub.sign(tx.Vote, name, proposal_id=proposal) for name in voters))
    assert answers == [OK] * 4 + [(Reason.ALREADY_RESOLVED, "proposal_id")]
