"""Members' validators: who may run one, and what signing two blocks of one height costs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from small_hub import MEMBERS, SmallHub, genesis, public

from peerwatt.contracts import ledger
from peerwatt.contracts.state import ACCOUNTS, EQUIVOCATIONS, POT
from peerwatt.hosts.state import Committed, Overlay
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest, encode
from peerwatt.records.members import Account, Equivocation, Genesis, Member
from peerwatt.records.receipts import BlockContext, Reason

PENALTY = 5_000_000


def with_validators(*names: str) -> Genesis:
    """The small hub's members, some with a validator of their own."""
    first = genesis(equivocation_penalty_ucoin=PENALTY)
    members = [
        replace(each, validator=public(f"validator/{each.name}") if each.name in names else b"")
        for each in first.members
    ]
    return replace(first, members=tuple(members))


def hub_of(*names: str) -> SmallHub:
    return SmallHub(members=with_validators(*names).members)


def carried(hub: SmallHub, change: tx.Change) -> None:
    proposal = hub.do(tx.ProposeChange, "operator", change=change)
    for name in list(MEMBERS)[1:5]:
        hub.do(tx.Vote, name, proposal_id=proposal)


def refused(hub: SmallHub, change: tx.Change) -> None:
    answer = hub.refused(tx.ProposeChange, "operator", change=change)
    assert answer == (Reason.OUT_OF_RANGE, "change")


def test_members_vote_validators_in_and_out() -> None:
    hub = hub_of("operator")
    grid = Member(key=public("grid"), name="grid", roles=2, validator=public("validator/grid"))
    carried(hub, tx.AddMember(member=grid))
    assert hub.host.get("members", public("grid")) == grid
    carried(hub, tx.RemoveMember(key=public("grid")))
    assert hub.host.get("members", public("grid")) is None


def test_a_validator_is_one_members_and_one_remains() -> None:
    hub = hub_of("operator")
    twin = Member(key=public("grid"), name="grid", roles=2, validator=public("validator/operator"))
    refused(hub, tx.AddMember(member=twin))
    refused(hub, tx.AddMember(member=replace(twin, validator=b"short")))
    refused(hub, tx.AddMember(member=Member(key=public("operator"), name="operator", roles=1)))
    refused(hub, tx.RemoveMember(key=public("operator")))


@pytest.mark.parametrize(
    ("validators", "why"),
    [((b"v" * 32, b"v" * 32), "two of them have one validator"), ((b"v",), "empty or have 32")],
)
def test_a_genesis_names_each_validator_once(validators: tuple[bytes, ...], why: str) -> None:
    first = genesis()
    members = [
        replace(member, validator=validator)
        for member, validator in zip(first.members, validators, strict=False)
    ]
    members += first.members[len(validators) :]
    with pytest.raises(ValueError, match=f"members: .*{why}"):
        SmallHub(members=tuple(members))


@pytest.mark.parametrize(("coins", "fine"), [(9_000_000, PENALTY), (1_000, 1_000), (0, 0)])
def test_equivocation_is_fined_and_kept_on_record(coins: int, fine: int) -> None:
    state = Overlay(Committed(ledger.TABLES, [], []))
    ledger.init_chain(state, encode(with_validators("operator", "grid")))
    operator = public("operator")
    state.put(ACCOUNTS, operator, Account(free_ucoin=coins))
    address = digest(public("validator/operator"))[:20]
    context = BlockContext(
        height=7,
        market_time_s=genesis().start_s,
        previous_block_id=bytes(32),
        proposer=public("grid"),
        misbehavior=(address + bytes(12), bytes(32)),
    )
    result = ledger.apply_block(state, context, ())
    at = (7).to_bytes(8, "big") + operator
    assert [(event.kind, event.key) for event in result.events] == [("equivocated", at)]
    assert state.items(EQUIVOCATIONS) == [(at, Equivocation(fine_ucoin=fine))]
    assert state.get(ACCOUNTS, operator) == Account(free_ucoin=coins - fine)
    assert state.get(ACCOUNTS, POT) == Account(free_ucoin=fine)
