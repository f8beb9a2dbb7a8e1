"""The ledger beside its reference: every answer, every row, every hash and every proof, compared.

Knows hosts as readers do, and the reference. What the two do not say alike is a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from msgspec.structs import asdict, replace

from peerwatt.contracts.state import PriceList
from peerwatt.hosts.replica import Replica
from peerwatt.records.market import ProposedClearing, Round
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.simulation.failures import require
from peerwatt.simulation.reference import ENDED, Reference
from peerwatt.simulation.reference_rows import BY_ROUND, HASHED, INDEXES, Rows

WHOLE = tuple(name for name in (*HASHED, *INDEXES) if name != "rounds")


class Differential:
    """A reference that lives through what a host lives through."""

    def __init__(self, genesis: bytes) -> None:
        self._reference = Reference(genesis)
        self._waiting: Reference | None = None
        self._known: dict[bytes, None] = {}
        self.before = self._reference.rows

    @property
    def rows(self) -> Rows:
        """What the state has to be."""
        return self._reference.rows

    def submitted(self, data: bytes, receipt: Receipt) -> None:
        """Admission has answered: as a block would, were this the next message in it."""
        if sha256(data).digest() in self._known:
            require(receipt.ok, "admission", "what waits is refused when it comes again")
            return
        waiting = self._waiting
        if waiting is None:
            waiting = self._reference.copy()
            waiting.begin((data,))
        against = waiting.take(data, Reason(receipt.reason), waiting=True)
        _agree("admission", against, receipt)
        if receipt.ok:
            self._waiting = waiting
            self._known[receipt.transaction_id] = None

    def forget(self) -> None:
        """Nothing waits any more."""
        self._waiting = None
        self._known.clear()

    def after_block(self, host: Replica) -> None:
        """Live through the newest block, and compare the state after it."""
        self.forget()
        reference, block = self._reference, host.block(host.height)
        transactions = block.transactions
        self.before = reference.rows.copy()
        reference.begin(transactions, block.signed_header.header.block_time_s)
        result = host.result(host.height)
        for data, receipt in zip(transactions, result.receipts, strict=True):
            _agree("answers", reference.take(data, Reason(receipt.reason)), receipt)
        proposer = block.signed_header.header.context.proposer
        events = reference.end(proposer, any(each.ok for each in result.receipts))
        require(events == result.events, "rounds", f"moved {result.events}, not {events}")
        self._take_figures(host)
        live = [key for key, each in self.rows.shelf("rounds").items() if each.status not in ENDED]
        self._compare(host, [*live, *(event.key for event in events)])

    def _take_figures(self, host: Replica) -> None:
        """Figures of proofs may differ by 1 ucoin: integers and fractions are cut elsewhere. Of two
        proposals that differ by no more either may then be the best."""
        for round_id, mine in list(self.rows.shelf("rounds").items()):
            theirs = host.get("rounds", round_id)
            if mine != theirs and theirs is not None:
                clearing = _near(mine.clearing, theirs.clearing)
                close = replace(mine, proposed=self._best(round_id, mine, theirs))
                self.rows.put("rounds", round_id, replace(close, clearing=clearing))

    def _best(self, round_id: bytes, mine: Round, theirs: Round) -> ProposedClearing | None:
        """The other's best proposal where it is one, and as good as mine."""
        one, other = mine.proposed, theirs.proposed
        if one is None or other is None or abs(one.gap_ucoin - other.gap_ucoin) > 1:
            return one
        listed: PriceList | None = self.rows.get("prices", other.proposer, round_id)
        if listed is None or listed.next_part < listed.parts:
            return one
        return other if listed.prices_hash == other.prices_hash else one

    def _compare(self, host: Replica, round_ids: Iterable[bytes]) -> None:
        for table in WHOLE:
            _same(table, self.rows.shelf(table), dict(host.items(table)))
        for round_id in round_ids:
            expected = {round_id: self.rows.get("rounds", round_id)}
            _same("rounds", expected, {round_id: host.get("rounds", round_id)})
            for table in BY_ROUND:
                _same(table, self.rows.shelf(table, round_id), dict(host.items(table, round_id)))

    def whole(self, host: Replica) -> None:
        """Compare all that there is, and its hash."""
        rounds = dict(host.items("rounds"))
        _same("rounds", self.rows.shelf("rounds"), rounds)
        self._compare(host, rounds)
        require(host.app_hash == self.rows.app_hash(), "app hash", "is not that of the rows")


def _agree(checker: str, against: list[Reason], receipt: Receipt) -> None:
    """Accepted if nothing is against it; refused for something that is."""
    given = Reason(receipt.reason).name
    if not against:
        require(receipt.ok, checker, f"refused ({given}, {receipt.field}), must be accepted")
        return
    due = ", ".join(reason.name for reason in against)
    require(not receipt.ok, checker, f"accepted, must be refused ({due})")
    require(receipt.reason in against, checker, f"refused by {given}, must be by {due}")


def _near(mine: Any, theirs: Any) -> Any:
    """Mine with the other's figures where they are as good as the same."""
    if mine is None or theirs is None:
        return mine
    figures = [name for name in ("gap_ucoin", "traded_ucoin") if hasattr(mine, name)]
    pairs = {name: (getattr(mine, name), getattr(theirs, name)) for name in figures}
    return replace(mine, **{name: b for name, (a, b) in pairs.items() if abs(a - b) <= 1})


def _same(table: str, expected: Mapping[bytes, Any], found: Mapping[bytes, Any]) -> None:
    if expected == found:
        return
    for key in [*expected, *found]:
        due, is_there = expected.get(key), found.get(key)
        if due != is_there:
            what = "is not there" if is_there is None else "must not be there"
            if due is not None and is_there is not None:
                what = _difference(due, is_there)
            require(False, f"row of {table}", f"{key.hex()} {what}")


def _difference(due: Any, found: Any) -> str:
    """The first field that differs."""
    if type(due) is not type(found):
        return f"is a {type(found).__name__}, must be a {type(due).__name__}"
    for name, value in asdict(due).items():
        other = getattr(found, name)
        if value != other:
            inner = hasattr(value, "__struct_fields__") and hasattr(other, "__struct_fields__")
            return f"{name}: " + (_difference(value, other) if inner else f"{other}, not {value}")
    return "differs"
