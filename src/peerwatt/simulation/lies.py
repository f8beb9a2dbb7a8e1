"""Messages that are not what their senders may send: spoilt on the way, or signed lies.

Knows the messages and the parties' keys. All chance comes from one seeded generator.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from peerwatt.records import transactions as tx
from peerwatt.records.codec import CodecError, Record, decode, encode
from peerwatt.records.market import Mechanism
from peerwatt.records.readings import SignedReading, sign_reading
from peerwatt.simulation.parties import ANYONE, NEWCOMERS, SITES, SLOT_S, Parties
from peerwatt.units import MAX_TIME_S, MAX_UCOIN

MECHANISMS = (Mechanism.WELFARE, Mechanism.UNIFORM)
HUGE = bytes(tx.MAX_TRANSACTION_BYTES + 1)
WAYS = ("bit", "forged", "late", "chain", "nonce", "cosigner", "cosigner", "long")
OVERSIZED = 0.04
ENVELOPE = ("chain_id", "signer", "nonce", "valid_until_s")
STEPS = (0, 1, 2, 60, 600, SLOT_S, 86_400, 40 * 86_400)
NAMES = (*SITES, "east", "day", "night", "p1", "p2", "p4", "nowhere")


class Liar:
    """Turns true messages into false ones."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def spoil(self, transaction: bytes) -> bytes:
        """The transaction with a bit flipped, forged, too late, for another chain, or too big."""
        how = self._chance.choice(WAYS)
        if self._chance.random() < OVERSIZED:
            return HUGE
        if how == "bit":
            at = self._chance.randrange(len(transaction))
            flipped = transaction[at] ^ 1 << self._chance.randrange(8)
            return transaction[:at] + bytes([flipped]) + transaction[at + 1 :]
        found = self._opened(transaction)
        if found is None:
            return transaction
        message, signer, cosigner = found
        if how == "forged":
            signer = "stranger"
        elif how == "late":
            early_s = self._all.now_s - self._chance.choice((0, 1, 1))
            message = replace(message, valid_until_s=early_s)
        elif how == "chain":
            message = replace(message, chain_id="sim-another")
            if self._chance.random() < 0.5:
                return self._sealed(encode(message), signer)
        elif how == "long":  # the same message behind a longer array header
            data = encode(message)
            return self._sealed(bytes([0xDC, 0, data[0] & 0x0F]) + data[1:], signer)
        elif how == "nonce":
            message = replace(message, nonce=max(message.nonce + self._chance.choice((-1, 1)), 0))
        else:
            return self._with_cosigner(message, signer)
        return self._signed(message, signer, cosigner)

    def _with_cosigner(self, message: tx.Message, signer: str) -> bytes:
        """Another second signature: a role's, somebody's, the signer's own, or a false one."""
        who = self._chance.choice((*ANYONE, signer, signer))
        signed = self._signed(message, signer, who)
        if self._chance.random() < 0.5:
            return signed
        return self._sealed(encode(message), signer, self._all.key(who).public)

    def _sealed(self, data: bytes, signer: str, cosigner: bytes = b"") -> bytes:
        """Any bytes as a message, well signed for this chain; a cosigner is but named."""
        named = cosigner + bytes(64 if cosigner else 0)
        key, chain_id = self._all.key(signer), self._all.chain_id
        return encode(
            tx.Transaction(
                message=data,
                cosigner=named[:32],
                cosignature=named[32:],
                signature=key.sign(tx.TRANSACTION_DOMAIN, chain_id, data + named),
            )
        )

    def twist(self, transaction: bytes) -> bytes:
        """The same message with one thing in it changed, in all form signed by its sender."""
        found = self._opened(transaction)
        if found is None:
            return transaction
        message, signer, cosigner = found
        names = [name for name in message.__struct_fields__ if name not in ENVELOPE]
        name = self._chance.choice(names)
        twisted = replace(message, **{name: self._other(getattr(message, name))})
        try:  # beyond the bounds of a field nobody can write it
            tx.decode_message(encode(twisted))
        except CodecError:
            return transaction
        return self._signed(twisted, signer, cosigner)

    def _opened(self, transaction: bytes) -> tuple[tx.Message, str, str] | None:
        try:
            carried = decode(transaction, tx.Transaction)
            message = tx.decode_message(carried.message)
        except CodecError:  # an amount beyond all bounds is spoilt already
            return None
        names = self._all.names
        return message, names[message.signer], names.get(carried.cosigner, "")

    def _signed(self, message: tx.Message, signer: str, cosigner: str) -> bytes:
        second = self._all.key(cosigner) if cosigner else None
        return tx.sign_message(message, self._all.key(signer), second)

    def _other(self, value: Any) -> Any:
        """Something else of the same form."""
        chance = self._chance
        match value:
            case bool() | None:
                return value
            case Mechanism():
                return chance.choice(MECHANISMS)
            case int():
                step = chance.choice(STEPS)
                ends = (0, 1, value // 2, value * 2, MAX_TIME_S, MAX_UCOIN)
                return max(chance.choice((value - step, value + step, *ends)), 0)
            case str():
                return chance.choice(NAMES)
            case bytes() if len(value) == 32:
                return self._all.key(chance.choice((*ANYONE, *NEWCOMERS))).public
            case bytes() if len(value) == 64:
                return bytes([value[0] ^ 1]) + value[1:]
            case bytes():
                rounds = [key for key, _ in self._all.host.items("rounds")]
                return chance.choice((*rounds, value[:-1] + b"?"))
            case tuple():
                return self._other_list(value)
            case _:
                return self._other_record(value)

    def _other_list(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        how = self._chance.choice(("none", "twice", "turned", "one", "one", "one", "one", "one"))
        if how == "none" or not values:
            return ()
        if how == "twice":
            return (*values, values[-1])
        if how == "turned":
            return values[::-1]
        at = self._chance.randrange(len(values))
        return (*values[:at], self._other(values[at]), *values[at + 1 :])

    def _other_record(self, record: Any) -> Any:
        if isinstance(record, SignedReading):
            return self._other_reading(record)
        if not isinstance(record, Record):
            return record
        name = self._chance.choice(record.__struct_fields__)
        return replace(record, **{name: self._other(getattr(record, name))})

    def _other_reading(self, signed: SignedReading) -> SignedReading:
        """Another meter's, or with a register turned; most meters sign what they are told."""
        reading = signed.reading
        meters = [(key, meter) for key, meter in self._all.host.items("meters")]
        if self._chance.random() < 0.2:
            reading = replace(reading, meter=self._chance.choice(meters)[0])
        else:
            reading = self._other_record(reading)
        at = dict(meters).get(reading.meter)
        if at is None or self._chance.random() < 0.15:
            return msgspec.structs.replace(signed, reading=reading)
        return sign_reading(reading, self._all.meter(at.site, at.port), self._all.chain_id)
