"""Two chains compared in what they came to: awards, receipts and balances.

Knows the records and reads chains that were executed again. Keys, heights, proofs and the order of
messages are left out: whoever acted is named by role, or by port and turn, and rounds by their
slot, so that one day on two chains can be compared. It comes to exactly the same on both only
where they have one id and seed: ties between equal orders fall by the orders' ids, and these
follow from the chain's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec.structs import asdict

from peerwatt.contracts.state import POT, REWARDS, chain_of
from peerwatt.hosts.replica import Replica
from peerwatt.records.codec import CodecError, decode
from peerwatt.records.market import Award, SettledAward
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import CheckIn, Message, parse

CLOCK, THE_POT, NOBODY = "clock", "the pot", "a stranger"
THE_REWARDS = "the reward account"
UNPLUGGED = "a wallet that never checked in"
IDENTITY = ("order_id", "owner", "port", "side")
Rows = dict[str, dict[str, Any]]
"""What stands under a name, field by field."""


class Part(NamedTuple):
    """One part of the comparison: how many rows each side has, and every difference in words."""

    name: str
    ours: int
    theirs: int
    differences: list[str]


def compare(ours: Replica, theirs: Replica) -> list[Part]:
    """Awards, receipts and balances of two chains, each with what differs."""
    whos = _names_of(ours), _names_of(theirs)
    parts = []
    for name, rows_of in (("awards", _awards), ("receipts", _receipts), ("balances", _balances)):
        left, right = (rows_of(chain, who) for chain, who in zip((ours, theirs), whos, strict=True))
        parts.append(Part(name, len(left), len(right), list(_differences(left, right))))
    return parts


def _differences(ours: Rows, theirs: Rows) -> Iterator[str]:
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            yield f"{name}: only in the first ({_show(ours[name])})"
        elif name not in ours:
            yield f"{name}: only in the second ({_show(theirs[name])})"
        elif ours[name] != theirs[name]:
            pairs = ((field, here, theirs[name].get(field)) for field, here in ours[name].items())
            yield f"{name}: " + ", ".join(f"{f} {a} and {b}" for f, a, b in pairs if a != b)


def _show(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value)


def _messages(chain: Replica) -> Iterator[tuple[Message | None, int, str]]:
    """Every transaction's message (none if it cannot be read), with its receipt of record."""
    for height in range(1, chain.height + 1):
        transactions = chain.block(height).transactions
        for data, receipt in zip(transactions, chain.receipts(height), strict=True):
            try:
                message: Message | None = parse(data)[1]
            except CodecError:
                message = None
            yield message, receipt.reason, receipt.field


def _names_of(chain: Replica) -> dict[bytes, str]:
    """Who acted: members by name, wallets by the port that they came to first, and which of those
    who came there."""
    names = {POT: THE_POT, REWARDS: THE_REWARDS, chain_of(chain.state).tick_key: CLOCK}
    names |= {key: member.name for key, member in chain.items("members")}
    turns: Counter[str] = Counter()
    for message, reason, _ in _messages(chain):
        if isinstance(message, CheckIn) and reason == Reason.OK and message.wallet not in names:
            turns[message.port] += 1
            names[message.wallet] = f"{message.port} #{turns[message.port]}"
    return names


def _awards(chain: Replica, who: Mapping[bytes, str]) -> Rows:
    rows = []
    for key, market_round in chain.items("rounds"):
        settled = {k: decode(v, SettledAward) for k, v in chain.sealed("settlements", key)}
        slot = f"{datetime.fromtimestamp(market_round.slot_start_s, UTC):%Y-%m-%d %H:%M} UTC"
        for order_id, data in chain.sealed("awards", key):
            award = decode(data, Award)
            name = f"{slot}, {who.get(award.owner, NOBODY)} {award.side.name.lower()}s"
            fields = _fields(award) | _fields(settled.get(order_id))
            rows.append((name, {"port": award.port} | fields))
    return _numbered(rows)


def _fields(record: Award | SettledAward | None) -> dict[str, Any]:
    """What a record says beside whose it is."""
    if record is None:
        return {"metered_wh": "unsettled"}
    fields = asdict(record)
    return {name: value for name, value in fields.items() if name not in IDENTITY}


def _receipts(chain: Replica, who: Mapping[bytes, str]) -> Rows:
    """How often each answer was given to each signer's messages of a kind."""
    counted: Counter[str] = Counter()
    for message, reason, field in _messages(chain):
        kind = "unreadable" if message is None else type(message).__name__
        signer = NOBODY if message is None else who.get(message.signer, UNPLUGGED)
        answer = Reason(reason).name + (f" ({field})" if field else "")
        counted[f"{kind} of {signer}: {answer}"] += 1
    return {name: {"times": times} for name, times in counted.items()}


def _balances(chain: Replica, who: Mapping[bytes, str]) -> Rows:
    rows = []
    for key, account in chain.items("accounts"):
        coins = {"free_ucoin": account.free_ucoin, "held_ucoin": account.held_ucoin}
        rows.append((who.get(key, UNPLUGGED), coins))
    return _numbered(rows)


def _numbered(rows: list[tuple[str, dict[str, Any]]]) -> Rows:
    """Rows of one name apart, in an order that does not depend on keys."""
    rows.sort(key=lambda row: (row[0], sorted((n, str(v)) for n, v in row[1].items())))
    seen: Counter[str] = Counter()
    found = {}
    for name, fields in rows:
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = fields
    return found
