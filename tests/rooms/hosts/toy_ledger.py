"""A ledger of counters for the hosts' tests: keys move units about, rounds are sealed at the end.

Message: signer (one byte, 32 times), nonce, receiver, units; no signatures. A move to a key that
is all zeros seals a round: the moves since the last one are its orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from peerwatt.hosts.host import State
from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.market import Round
from peerwatt.records.members import Account, Genesis, Member
from peerwatt.records.receipts import BlockContext, BlockResult, Event, Reason, Receipt


class Move(Record):
    """The toy's only message."""

    signer: bytes
    nonce: int
    to: bytes
    units: int


@dataclass(frozen=True)
class Kind:
    """A table."""

    name: str
    record: Any
    hashed: bool


ACCOUNTS = Kind("accounts", Account, True)
ROUNDS = Kind("rounds", Round, True)
MOVES = Kind("moves", Move, False)
TABLES = (ACCOUNTS, ROUNDS, MOVES)
SEALS = bytes(32)


def blank(record_type: Any, **known: Any) -> Any:
    """A record that says nothing but what is given."""
    for each in msgspec.structs.fields(record_type):
        if each.name not in known and each.required:
            known[each.name] = _blank(msgspec.inspect.type_info(each.type))
    return record_type(**known)


def _blank(kind: msgspec.inspect.Type) -> Any:
    match kind:
        case msgspec.inspect.IntType():
            return kind.ge or 0
        case msgspec.inspect.BytesType():
            return bytes(kind.min_length or 0)
        case msgspec.inspect.StrType():
            return "toy"
        case msgspec.inspect.EnumType():
            return next(iter(kind.cls))
        case msgspec.inspect.StructType():
            return blank(kind.cls)
        case _:
            return None


EMPTY_ROUND = blank(Round)


def key(number: int) -> bytes:
    return bytes([number]) * 32


def move(signer: int, nonce: int, to: int, units: int) -> bytes:
    return encode(Move(signer=key(signer), nonce=nonce, to=key(to), units=units))


def read(transaction: bytes) -> Move:
    return decode(transaction, Move)


def genesis(chain_id: str = "sim-toy") -> bytes:
    return encode(
        Genesis(
            chain_id=chain_id, tick_key=b"", start_s=0, rules_version=1,
            members=tuple(Member(key=key(n), name=f"m{n}", roles=0) for n in range(1, 9)),
            mint_epoch_s=1, mint_cap_ucoin=1000, max_orders=9, max_work=9, dispute_window_s=0,
        )
    )  # fmt: skip


def round_id(number: int) -> bytes:
    return number.to_bytes(8, "big") + b"toy"


def init_chain(state: State, genesis: bytes) -> None:
    document = decode(genesis, Genesis)
    if not document.members:
        raise ValueError("members: must be given")
    for member in document.members:
        state.put(ACCOUNTS, member.key, Account(free_ucoin=document.mint_cap_ucoin))


def market_time_s(state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
    return block_time_s


def check_tx(state: State, context: BlockContext, transaction: bytes) -> Receipt:
    reason, field = _apply(state, context, transaction)
    return Receipt(transaction_id=digest(transaction), reason=reason, field=field)


def apply_block(state: State, context: BlockContext, transactions: Sequence[bytes]) -> BlockResult:
    receipts = tuple(check_tx(state, context, each) for each in transactions)
    events = [Event(kind="moved", key=each.transaction_id) for each in receipts if each.ok]
    return BlockResult(receipts=receipts, events=tuple(events))


def _apply(state: State, context: BlockContext, transaction: bytes) -> tuple[int, str]:
    try:
        message = decode(transaction, Move)
    except CodecError as error:
        return Reason.MALFORMED, error.field
    sender = state.get(ACCOUNTS, message.signer)
    if sender is None:
        return Reason.UNKNOWN_SIGNER, "signer"
    if message.nonce != sender.nonce:
        return Reason.WRONG_NONCE, "nonce"
    if message.units > sender.free_ucoin:
        return Reason.UNFUNDED, "units"
    paid = Account(nonce=sender.nonce + 1, free_ucoin=sender.free_ucoin - message.units)
    state.put(ACCOUNTS, message.signer, paid)
    if message.to == SEALS:
        _seal(state, context)
        return Reason.OK, ""
    got = state.get(ACCOUNTS, message.to) or Account()
    state.put(
        ACCOUNTS, message.to, Account(nonce=got.nonce, free_ucoin=got.free_ucoin + message.units)
    )
    state.put(MOVES, digest(transaction), message, message.to)
    return Reason.OK, ""


def _seal(state: State, context: BlockContext) -> None:
    number = len(state.items(ROUNDS))
    orders = []
    for receiver in range(1, 12):
        for move_id, message in state.items(MOVES, key(receiver)):
            orders.append((move_id, encode(message)))
            state.delete(MOVES, move_id, key(receiver))
    root = state.seal("orders", round_id(number), sorted(orders))
    record = replace(EMPTY_ROUND, slot_start_s=context.market_time_s, orders_root=root)
    state.put(ROUNDS, round_id(number), record)
