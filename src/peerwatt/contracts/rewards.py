"""Rewards out of a funded account: for most energy sold at a hub, and for proposing a block.

Knows state and records. Nothing is paid that nobody funded, and a reward is paid in full or not at
all. What counts is metered energy of settled rounds, in the epoch in which they settle.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, move
from peerwatt.contracts.members import runs
from peerwatt.contracts.state import (
    ACCOUNTS,
    CONTRIBUTIONS,
    MEMBERS,
    REWARD_TERMS,
    REWARDS,
    TERMS_KEY,
    Contribution,
    Refusal,
    State,
)
from peerwatt.records.members import Account
from peerwatt.records.receipts import BlockContext, Event, Reason
from peerwatt.records.transactions import FundRewards

KEY_BYTES = 32


def fund_rewards(state: State, context: BlockContext, message: FundRewards) -> Refusal | None:
    """A member's free coins go to the reward account."""
    if state.get(MEMBERS, message.signer) is None:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if message.amount_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "amount_ucoin")
    # --- checked; from here on only writes ---
    if state.get(ACCOUNTS, REWARDS) is None:
        state.put(ACCOUNTS, REWARDS, Account())
    move(state, message.signer, REWARDS, message.amount_ucoin)
    return None


def count_contribution(state: State, site: str, wallet: bytes, sold_wh: int) -> None:
    """Energy that a wallet sold at a site, by its meter, counts for the epoch that runs now."""
    if sold_wh == 0 or state.get(REWARD_TERMS, TERMS_KEY) is None:
        return
    key = site.encode() + b"/" + wallet
    known = state.get(CONTRIBUTIONS, key)
    before_wh = 0 if known is None else known.sold_wh
    state.put(CONTRIBUTIONS, key, Contribution(sold_wh=before_wh + sold_wh))


def pay_rewards(state: State, context: BlockContext, accepted: bool) -> tuple[Event, ...]:
    """Pay whoever sold most at each site in an epoch that is over, and who proposed this block if
    something in it was `accepted`."""
    terms = state.get(REWARD_TERMS, TERMS_KEY)
    if terms is None:
        return ()
    events = []
    over_s = context.market_time_s - terms.end_s
    if over_s >= 0:
        next_s = terms.end_s + (over_s // terms.epoch_s + 1) * terms.epoch_s
        state.put(REWARD_TERMS, TERMS_KEY, replace(terms, end_s=next_s))
        for key in _winners(state):
            if _pay(state, key[-KEY_BYTES:], terms.contribution_ucoin):
                events.append(Event(kind="contribution_rewarded", key=key))
    for key, member in state.items(MEMBERS):
        proposed = context.proposer == key or runs(member, context.proposer)
        if accepted and proposed and _pay(state, key, terms.proposer_ucoin):
            events.append(Event(kind="proposer_rewarded", key=key))
    return tuple(events)


def _winners(state: State) -> list[bytes]:
    """By site the contribution that is largest, of equals the smaller key's; all count anew."""
    best: dict[bytes, tuple[bytes, int]] = {}
    for key, each in state.items(CONTRIBUTIONS):
        state.delete(CONTRIBUTIONS, key)
        site = key[:-KEY_BYTES]
        if site not in best or each.sold_wh > best[site][1]:
            best[site] = (key, each.sold_wh)
    return [key for key, _ in best.values()]


def _pay(state: State, to: bytes, amount_ucoin: int) -> bool:
    """A reward, in full or not at all."""
    fund = state.get(ACCOUNTS, REWARDS)
    if fund is None or amount_ucoin == 0 or fund.free_ucoin < amount_ucoin:
        return False
    move(state, REWARDS, to, amount_ucoin)
    return True
