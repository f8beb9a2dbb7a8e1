"""What a vector is, how it is written, and the state in memory that it is recorded from.

A vector is a block: the records before it that it looks at, its context and transactions; then
its receipts, its events and the records that it changed. Keys and values are the bytes that a
host keeps, in hexadecimal; beside each value stands the same record in words, for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from peerwatt.contracts import ledger
from peerwatt.contracts.state import TABLES, Table
from peerwatt.records.codec import CodecError, Record, decode, encode
from peerwatt.records.merkle import sealed_root
from peerwatt.records.receipts import BlockContext, BlockResult, Reason
from peerwatt.records.transactions import Transaction, decode_message

BY_NAME = {table.name: table for table in TABLES}
PROPOSER = bytes(32)
Slot = tuple[str, bytes, bytes]
Rows = dict[Slot, bytes]


class Vector(NamedTuple):
    """A block as bytes; in `changes` None stands for a record that is gone."""

    name: str
    height: int
    market_time_s: int
    transactions: tuple[bytes, ...]
    pre: Rows
    receipts: list[tuple[int, str]]
    events: list[tuple[str, bytes]]
    changes: dict[Slot, bytes | None]

    @property
    def message(self) -> str:
        """The kind of the last message, or "block" where there is no single one."""
        return self.name.split(" ")[0]


class MemoryState:
    """A state in a dictionary that remembers what was looked at; a `State` for contracts."""

    def __init__(self, rows: Rows) -> None:
        self.rows: dict[Slot, Any] = {
            slot: decode(value, BY_NAME[slot[0]].record) for slot, value in rows.items()
        }
        self.seen: set[Slot] = set()

    def get(self, table: Table[Any], key: bytes, scope: bytes = b"") -> Any:
        self.seen.add((table.name, scope, key))
        return self.rows.get((table.name, scope, key))

    def put(self, table: Table[Any], key: bytes, record: Any, scope: bytes = b"") -> None:
        self.rows[table.name, scope, key] = record

    def delete(self, table: Table[Any], key: bytes, scope: bytes = b"") -> None:
        self.seen.add((table.name, scope, key))
        self.rows.pop((table.name, scope, key), None)

    def items(self, table: Table[Any], scope: bytes = b"") -> list[tuple[bytes, Any]]:
        found = sorted(slot for slot in self.rows if slot[:2] == (table.name, scope))
        self.seen.update(found)
        return [(slot[2], self.rows[slot]) for slot in found]

    def seal(self, name: str, scope: bytes, items: Sequence[tuple[bytes, bytes]]) -> bytes:
        return sealed_root(items)

    def encoded(self) -> Rows:
        return {slot: encode(record) for slot, record in self.rows.items()}


def execute(
    rows: Rows, height: int, block_time_s: int, transactions: Sequence[bytes]
) -> tuple[MemoryState, BlockContext, BlockResult]:
    """Run a block on rows in memory."""
    state = MemoryState(rows)
    context = BlockContext(
        height=height,
        market_time_s=ledger.market_time_s(state, block_time_s, transactions),
        previous_block_id=bytes(32),
        proposer=PROPOSER,
    )
    return state, context, ledger.apply_block(state, context, transactions)


def record_block(name: str, rows: Rows, block_time_s: int, transactions: Sequence[bytes]) -> Vector:
    """The vector of a block: only what it looked at, and only what it changed."""
    state, context, result = execute(rows, 1, block_time_s, transactions)
    after = state.encoded()
    touched = state.seen | {slot for slot in after if rows.get(slot) != after[slot]}
    changed = [slot for slot in sorted(touched) if rows.get(slot) != after.get(slot)]
    return Vector(
        name=name,
        height=1,
        market_time_s=context.market_time_s,
        transactions=tuple(transactions),
        pre={slot: rows[slot] for slot in sorted(touched) if slot in rows},
        receipts=[(each.reason, each.field) for each in result.receipts],
        events=[(each.kind, each.key) for each in result.events],
        changes={slot: after.get(slot) for slot in changed},
    )


# --- writing and reading


def to_json(vectors: Iterable[Vector]) -> str:
    """Vectors as a document that people can read, a row a line, the same for the same vectors."""
    return "[" + ",\n".join(_lines(_document(vector)) for vector in vectors) + "]\n"


def _lines(document: dict[str, Any]) -> str:
    parts = []
    for name, value in sorted(document.items()):
        rows = [json.dumps(row, sort_keys=True) for row in value] if type(value) is list else []
        text = "[\n  " + ",\n  ".join(rows) + "]" if rows else json.dumps(value, sort_keys=True)
        parts.append(f'"{name}": {text}')
    return "{\n " + ",\n ".join(parts) + "}"


def from_json(text: str) -> list[Vector]:
    """The vectors of a document."""
    return [_vector(document) for document in json.loads(text)]


def _document(vector: Vector) -> dict[str, Any]:
    return {
        "name": vector.name,
        "context": {"height": vector.height, "market_time_s": vector.market_time_s},
        "pre": [_row(slot, value) for slot, value in vector.pre.items()],
        "transactions": [_transaction(each) for each in vector.transactions],
        "receipts": [
            {"reason": Reason(reason).name, "number": reason, "field": field}
            for reason, field in vector.receipts
        ],
        "events": [{"kind": kind, "key": key.hex()} for kind, key in vector.events],
        "post": [_row(slot, value) for slot, value in vector.changes.items()],
    }


def _row(slot: Slot, value: bytes | None) -> dict[str, Any]:
    table, scope, key = slot
    row: dict[str, Any] = {"table": table, "key": key.hex(), "value": None}
    if scope:
        row["scope"] = scope.hex()
    if value is not None:
        row["value"] = value.hex()
        row["record"] = readable(decode(value, BY_NAME[table].record))
    return row


def _transaction(data: bytes) -> dict[str, Any]:
    if len(data) > 1 and data == data[:1] * len(data):
        return {"repeat": data[:1].hex(), "times": len(data)}
    document: dict[str, Any] = {"hex": data.hex()}
    try:
        message = decode_message(decode(data, Transaction).message)
    except CodecError:
        return document
    return document | {"message": {"type": type(message).__name__, **readable(message)}}


def readable(value: Any) -> Any:
    """A record as names and plain values; bytes as hexadecimal."""
    if isinstance(value, Record):
        return {name: readable(getattr(value, name)) for name in type(value).__struct_fields__}
    if isinstance(value, tuple):
        return [readable(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.name if isinstance(value, Enum) else value


def _vector(document: dict[str, Any]) -> Vector:
    rows = {name: dict(map(_bytes_of_row, document[name])) for name in ("pre", "post")}
    return Vector(
        name=document["name"],
        height=document["context"]["height"],
        market_time_s=document["context"]["market_time_s"],
        transactions=tuple(map(_bytes_of_transaction, document["transactions"])),
        pre={slot: value for slot, value in rows["pre"].items() if value is not None},
        receipts=[(each["number"], each["field"]) for each in document["receipts"]],
        events=[(each["kind"], bytes.fromhex(each["key"])) for each in document["events"]],
        changes=rows["post"],
    )


def _bytes_of_row(row: dict[str, Any]) -> tuple[Slot, bytes | None]:
    slot = (row["table"], bytes.fromhex(row.get("scope", "")), bytes.fromhex(row["key"]))
    return slot, None if row["value"] is None else bytes.fromhex(row["value"])


def _bytes_of_transaction(document: dict[str, Any]) -> bytes:
    if "repeat" in document:
        return bytes.fromhex(document["repeat"]) * int(document["times"])
    return bytes.fromhex(document["hex"])
