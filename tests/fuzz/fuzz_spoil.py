"""How messages are spoilt: a field changed, another party, a forged name, too late, again.

Knows the bench and what stands on it. Every decision comes from `Choices`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fuzz_bench import PEOPLE, Bench, key
from fuzz_choices import Choices, one_in, pick
from msgspec.structs import replace
from small_hub import SITE, START_S, public

from peerwatt.contracts.state import ROUNDS
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.transactions import TRANSACTION_DOMAIN, Transaction

NONE = digest(b"nothing has this id")
NUMBERS = (0, 1, 2, 999, 10**6, 10**9, 10**9 + 1, 10**12, 10**16, 2**53, 2**53 + 1, 2**63, -1)


class Move(NamedTuple):
    """A message before it is signed: who sends it, who signs too, and its own fields."""

    by: str
    fields: dict[str, Any]
    cosigner: str = ""


def twisted(bench: Bench, choices: Choices, value: Any) -> Any:
    """Another value of the same type: its neighbours, the bounds, what else is on the ledger."""
    match value:
        case int():
            times_s = (bench.now_s - 1, bench.now_s, bench.now_s + 1, START_S + 40 * 86_400)
            return pick(choices, (value - 1, value + 1, value * 2, *NUMBERS, *times_s))
        case str():
            return pick(
                choices, ("", "p1", "p9", SITE, "yard", "day", "night", "No Name", "a" * 49)
            )
        case bytes():
            rounds = [at for at, _ in bench.state.items(ROUNDS)]
            keys = [public(name) for name in PEOPLE]
            return pick(choices, [*keys, b"", bytes(32), NONE, value[:-1], value + b"\0", *rounds])
        case tuple():
            return pick(choices, ((), value + value[:1], value[::-1], value[:-1], value * 30))
    return value


def _field(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    name = pick(choices, type(made).__struct_fields__)
    changed = replace(made, **{name: twisted(bench, choices, getattr(made, name))})
    return bench.signed(changed, move.by, move.cosigner)


def _another(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    """The same message from somebody else, in that party's own name."""
    by = pick(choices, PEOPLE)
    own = replace(made, signer=public(by), nonce=bench.nonce(by))
    return bench.signed(own, by, move.cosigner)


def _cosigned(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    return bench.signed(made, move.by, pick(choices, ("", *PEOPLE)))


def _forged(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    return bench.signed(made, pick(choices, PEOPLE), move.cosigner)


def _late(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    last_s = bench.now_s - choices.below(2)
    return bench.signed(replace(made, valid_until_s=last_s), move.by, move.cosigner)


def _again(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    return pick(choices, bench.sent or [b""])


def _bytes(bench: Bench, choices: Choices, made: Any, move: Move) -> bytes:
    """A byte of the transaction changed, or of its message and then signed."""
    transaction = bench.signed(made, move.by, move.cosigner)
    if one_in(choices, 2):
        data = _flipped(choices, decode(transaction, Transaction).message)
        signature = key(move.by).sign(TRANSACTION_DOMAIN, bench.chain_id, data)
        return encode(Transaction(message=data, signature=signature))
    return _flipped(choices, transaction)


def _flipped(choices: Choices, data: bytes) -> bytes:
    at = choices.below(len(data))
    return data[:at] + bytes([choices.below(256)]) + data[at + 1 :]


SPOILERS = (_field, _field, _field, _another, _another, _cosigned, _forged, _late, _again, _bytes)
