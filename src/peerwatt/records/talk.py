"""What goes over a line between an auctioneer and agents, and how it is framed.

Knows the records. Knows no sockets: bytes go in and words come out. A frame is four bytes of
length, most significant first, and the canonical bytes of one word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from peerwatt.records.auction import RoundId, SignedAllocation, SignedBid, SignedInvitation
from peerwatt.records.bundles import ReceiptBundle
from peerwatt.records.codec import CodecError, Record, decode, encode
from peerwatt.records.receipts import Receipt
from peerwatt.units import Hash, TotalWh

LENGTH_BYTES = 4
MAX_WORD_BYTES = 1 << 20
Reason = Annotated[str, Meta(max_length=200)]


class Bring(Record, tag=1):
    """Agents bring signed transactions for the ledger; none: they want nothing of this step."""

    transactions: tuple[bytes, ...]


class Brought(Record, tag=2):
    """What the ledger's admission said to each of them."""

    receipts: tuple[Receipt, ...]


class Demand(Record, tag=3):
    """What all buyers of a round want together; whoever has energy to spare may offer it now."""

    round_id: RoundId
    energy_wh: TotalWh


class Invite(Record, tag=4):
    """To everybody: who takes part in a run."""

    signed: SignedInvitation


class Allocate(Record, tag=5):
    """To one order's agent: what it would get."""

    signed: SignedAllocation


class Answer(Record, tag=6):
    """One order's bid."""

    signed: SignedBid


class Refuse(Record, tag=7):
    """Why a bid, or a line, is refused; an order of zero bytes stands for the line."""

    order_id: Hash
    why: Reason


class End(Record, tag=8):
    """To one order's agent: its award, or that it has none, with all that proves it."""

    receipt: ReceiptBundle


Word = Bring | Brought | Demand | Invite | Allocate | Answer | Refuse | End


def pack(word: Word) -> bytes:
    """A word as a frame."""
    data = encode(word)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class Unpacker:
    """Turns what a line brings, in pieces of any size, into words."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Word]:
        """The words that are complete now.

        Raises:
            CodecError: a frame that is too long, or is no word; the line is of no more use.
        """
        self._data += data
        while len(self._data) >= LENGTH_BYTES:
            size = int.from_bytes(self._data[:LENGTH_BYTES], "big")
            if size > MAX_WORD_BYTES:
                raise CodecError("length", f"must be at most {MAX_WORD_BYTES}, is {size}")
            end = LENGTH_BYTES + size
            if len(self._data) < end:
                return
            word = bytes(self._data[LENGTH_BYTES:end])
            del self._data[:end]
            yield decode(word, Word)  # type: ignore[arg-type]
