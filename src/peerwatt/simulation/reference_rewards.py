"""How the reference counts contributions and pays rewards.

Knows the records and the reference's rows.
"""

from __future__ import annotations

from hashlib import sha256

from peerwatt.contracts.state import Contribution, RewardTerms
from peerwatt.records.market import SettledAward, Side
from peerwatt.records.receipts import Event
from peerwatt.records.transactions import SetRewards
from peerwatt.simulation.reference_rows import REWARDS, Rows, move


def start_anew(rows: Rows, change: SetRewards) -> None:
    """New terms: the first epoch begins, and nothing has been sold in it."""
    now_s: int = rows.get("chain", b"chain").market_time_s
    terms = RewardTerms(
        end_s=now_s + change.epoch_s,
        epoch_s=change.epoch_s,
        contribution_ucoin=change.contribution_ucoin,
        proposer_ucoin=change.proposer_ucoin,
    )
    rows.put("reward_terms", b"terms", terms)
    rows.clear("contributions", b"")


def contribute(rows: Rows, site: str, row: SettledAward) -> None:
    """What a seller's meter saw counts, where rewards are paid."""
    if row.side == Side.SELL and row.metered_wh > 0 and rows.shelf("reward_terms"):
        key = b"/".join([site.encode(), row.owner])
        known = rows.shelf("contributions").get(key, Contribution(sold_wh=0))
        rows.put("contributions", key, Contribution(sold_wh=known.sold_wh + row.metered_wh))


def pay(rows: Rows, proposer: bytes, accepted: bool) -> tuple[Event, ...]:
    """The end of an epoch, and the block's proposer."""
    terms: RewardTerms | None = rows.get("reward_terms", b"terms")
    if terms is None:
        return ()
    paid = []
    now_s = rows.get("chain", b"chain").market_time_s
    end_s = terms.end_s
    if end_s <= now_s:
        end_s += -(-(now_s + 1 - end_s) // terms.epoch_s) * terms.epoch_s
        moved = RewardTerms(
            end_s=end_s,
            epoch_s=terms.epoch_s,
            contribution_ucoin=terms.contribution_ucoin,
            proposer_ucoin=terms.proposer_ucoin,
        )
        rows.put("reward_terms", b"terms", moved)
        sold = {key: each.sold_wh for key, each in rows.shelf("contributions").items()}
        rows.clear("contributions", b"")
        for site in sorted({key[:-32] for key in sold}):
            here = [key for key in sold if key[:-32] == site]
            first = min(here, key=lambda key: (-sold[key], key))
            if _give(rows, first[-32:], terms.contribution_ucoin):
                paid.append(Event(kind="contribution_rewarded", key=first))
    for key, member in sorted(rows.shelf("members").items()):
        names = [key]
        if member.validator:
            names.append(sha256(member.validator).digest()[:20])
        his = proposer in names or proposer[:20] in names
        if accepted and his and _give(rows, key, terms.proposer_ucoin):
            paid.append(Event(kind="proposer_rewarded", key=key))
    return tuple(paid)


def _give(rows: Rows, to: bytes, amount_ucoin: int) -> bool:
    has = rows.shelf("accounts").get(REWARDS)
    if not amount_ucoin or has is None or has.free_ucoin < amount_ucoin:
        return False
    move(rows, REWARDS, -amount_ucoin)
    move(rows, to, amount_ucoin)
    return True
