"""Gathers vectors from a small hub: every case runs on the embedded host too, and must agree."""

from __future__ import annotations

from typing import Any

from small_hub import Answer, SmallHub
from vector import Rows, Vector, record_block

from peerwatt.records.codec import encode
from peerwatt.records.receipts import Reason


class Book:
    """The vectors of one file, in the order in which they were made."""

    def __init__(self) -> None:
        self.vectors: list[Vector] = []

    def accepted(
        self, hub: SmallHub, kind: type[Any], by: str, *, note: str = "", cosigner: str = "",
        **fields: Any,
    ) -> bytes:  # fmt: skip
        """A message that is accepted; its id."""
        return self.accepted_bytes(hub, kind, hub.sign(kind, by, cosigner=cosigner, **fields), note)

    def accepted_bytes(
        self, hub: SmallHub, kind: type[Any], transaction: bytes, note: str = ""
    ) -> bytes:
        vector = self._record(hub, kind, "OK", note, (transaction,))
        assert vector.receipts == [(Reason.OK, "")], vector.name
        return hub.done(transaction)

    def refused(
        self, hub: SmallHub, kind: type[Any], by: str, reason: Reason, field: str, *,
        note: str = "", cosigner: str = "", **fields: Any,
    ) -> None:  # fmt: skip
        """A message that is refused for this reason, naming this field."""
        transaction = hub.sign(kind, by, cosigner=cosigner, **fields)
        self.refused_bytes(hub, kind, transaction, reason, field, note)

    def refused_bytes(
        self, hub: SmallHub, kind: type[Any], transaction: bytes, reason: Reason, field: str,
        note: str = "",
    ) -> None:  # fmt: skip
        vector = self._record(hub, kind, reason.name, note or field, (transaction,))
        assert vector.receipts == [(reason, field)], (vector.name, vector.receipts)
        assert hub.rejected(transaction) == Answer(reason, field), vector.name

    def block(
        self, hub: SmallHub, note: str, *transactions: bytes, at: int, events: list[str]
    ) -> None:
        """A block at a time, which begins with a tick where ticks move the clock."""
        moves = hub.moves(at)
        vector = self._record(hub, None, "", note, (*moves, *transactions), at=at)
        assert [kind for kind, _ in vector.events] == events, (note, vector.events)
        hub.now_s = at
        answers = hub.block(*moves, *transactions)
        assert answers == [Answer(Reason(each), field) for each, field in vector.receipts]
        assert hub.events() == events

    def _record(
        self, hub: SmallHub, kind: type[Any] | None, what: str, note: str,
        transactions: tuple[bytes, ...], at: int | None = None,
    ) -> Vector:  # fmt: skip
        parts = (kind.__name__ if kind else "block", what, note)
        name = " ".join(part for part in parts if part)
        assert name not in [vector.name for vector in self.vectors], name
        time_s = hub.now_s if at is None else at
        self.vectors.append(record_block(name, rows_of(hub), time_s, transactions))
        return self.vectors[-1]


def rows_of(hub: SmallHub) -> Rows:
    """Every record of a hub's chain, encoded."""
    return {(table, scope, at): encode(record) for table, scope, at, record in hub.state()}
