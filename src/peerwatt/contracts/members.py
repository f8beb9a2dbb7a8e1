"""The consortium: who is a member with which roles, and changes by vote.

Knows state and records. A change is carried out once more than two thirds of the
members of that moment have voted for it.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from peerwatt.contracts.state import (
    ACCOUNTS,
    CONTRIBUTIONS,
    MEMBERS,
    POT,
    PROPOSALS,
    REWARD_TERMS,
    TERMS_KEY,
    Proposal,
    Refusal,
    RewardTerms,
    State,
    chain_of,
    put_chain,
)
from peerwatt.records.codec import digest
from peerwatt.records.members import Account, Member, Role
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import (
    AddMember,
    Change,
    ProposeChange,
    RemoveMember,
    SetRewards,
    UpgradeRules,
    Vote,
)


def has_role(state: State, key: bytes, role: Role) -> bool:
    """Whether the key is a member's that holds the role."""
    member = state.get(MEMBERS, key)
    return member is not None and bool(member.roles & role)


def runs(member: Member, validator: bytes) -> bool:
    """Whether a member runs this validator, which an engine names by the first 20 bytes of its
    key's hash."""
    return bool(member.validator) and digest(member.validator)[:20] == validator[:20]


def propose_change(
    state: State, context: BlockContext, message: ProposeChange, message_id: bytes
) -> Refusal | None:
    """A member's proposal, which is its vote too."""
    if state.get(MEMBERS, message.signer) is None:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    refusal = _check_change(state, context, message.change)
    if refusal is not None:
        return refusal
    # --- checked; from here on only writes ---
    proposal = Proposal(change=message.change, voters=(message.signer,), done=False)
    _count(state, message_id, proposal)
    return None


def vote(state: State, context: BlockContext, message: Vote) -> Refusal | None:
    """A member's vote for a proposal, as long as the proposal can still be carried out."""
    proposal = state.get(PROPOSALS, message.proposal_id)
    if state.get(MEMBERS, message.signer) is None:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if proposal is None:
        return Refusal(Reason.UNKNOWN_PROPOSAL, "proposal_id")
    if proposal.done:
        return Refusal(Reason.ALREADY_RESOLVED, "proposal_id")
    if message.signer in proposal.voters:
        return Refusal(Reason.ALREADY_VOTED, "signer")
    if _check_change(state, context, proposal.change) is not None:
        return Refusal(Reason.TOO_LATE, "proposal_id")
    # --- checked; from here on only writes ---
    voters = tuple(sorted((*proposal.voters, message.signer)))
    _count(state, message.proposal_id, replace(proposal, voters=voters))
    return None


def _check_change(state: State, context: BlockContext, change: Change) -> Refusal | None:
    match change:
        case AddMember():
            account = state.get(ACCOUNTS, change.member.key)
            if change.member.key == POT or (account is not None and account.wallet):
                return Refusal(Reason.ALREADY_EXISTS, "change")
            if not _may_validate(state, change.member):
                return Refusal(Reason.OUT_OF_RANGE, "change")
        case RemoveMember():
            if state.get(MEMBERS, change.key) is None:
                return Refusal(Reason.UNKNOWN_MEMBER, "change")
            if len(state.items(MEMBERS)) == 1 or _is_last_validator(state, change.key):
                return Refusal(Reason.OUT_OF_RANGE, "change")
        case UpgradeRules():
            if change.rules_version <= chain_of(state).rules_version:
                return Refusal(Reason.OUT_OF_RANGE, "change")
            if change.height <= context.height:
                return Refusal(Reason.TOO_LATE, "change")
        case SetRewards():
            pass
        case _:
            assert_never(change)
    return None


def _may_validate(state: State, member: Member) -> bool:
    """Whether a member's validator is a key, no other member's, and some validator remains."""
    if not member.validator:
        return not _is_last_validator(state, member.key)
    others = [each for key, each in state.items(MEMBERS) if key != member.key]
    taken = any(each.validator == member.validator for each in others)
    return len(member.validator) == 32 and not taken


def _is_last_validator(state: State, key: bytes) -> bool:
    """Whether a chain that validators keep going would stop without this member's."""
    running = [at for at, member in state.items(MEMBERS) if member.validator]
    return running == [key]


def _count(state: State, proposal_id: bytes, proposal: Proposal) -> None:
    members = [key for key, _ in state.items(MEMBERS)]
    in_favour = len([key for key in members if key in proposal.voters])
    done = 3 * in_favour > 2 * len(members)
    state.put(PROPOSALS, proposal_id, replace(proposal, done=done))
    if done:
        _carry_out(state, proposal.change)


def _carry_out(state: State, change: Change) -> None:
    match change:
        case AddMember():
            state.put(MEMBERS, change.member.key, change.member)
            if state.get(ACCOUNTS, change.member.key) is None:
                state.put(ACCOUNTS, change.member.key, Account())
        case RemoveMember():
            state.delete(MEMBERS, change.key)
        case UpgradeRules():
            put_chain(
                state,
                replace(
                    chain_of(state),
                    next_rules_version=change.rules_version,
                    next_rules_height=change.height,
                ),
            )
        case SetRewards():
            terms = RewardTerms(
                end_s=chain_of(state).market_time_s + change.epoch_s,
                epoch_s=change.epoch_s,
                contribution_ucoin=change.contribution_ucoin,
                proposer_ucoin=change.proposer_ucoin,
            )
            state.put(REWARD_TERMS, TERMS_KEY, terms)
            for contribution, _ in state.items(CONTRIBUTIONS):
                state.delete(CONTRIBUTIONS, contribution)
        case _:
            assert_never(change)
