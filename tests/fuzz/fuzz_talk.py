"""Fuzzing target: what a line brings to an auctioneer or to agents, in pieces of any size.

Knows the framing. Whatever bytes come, words and refusal are the same whole and byte by byte, and
every word that is let in has the bytes that it came in.
"""

from __future__ import annotations

from peerwatt.records.codec import CodecError
from peerwatt.records.talk import Unpacker, Word, pack

MOST_BY_BYTE = 4_096
"""Longer inputs are read in two pieces."""


def talk(data: bytes) -> str:
    """The words of a line, and where it went wrong."""
    words, refusal = _heard(data, max(len(data), 1))
    step = 1 if len(data) <= MOST_BY_BYTE else len(data) // 2
    assert (words, refusal) == _heard(data, step), "pieces of another size say something else"
    said = b"".join(map(pack, words))
    assert data.startswith(said), "a word has other bytes than it came in"
    return "\n".join([*(type(word).__name__ for word in words), refusal])


def _heard(data: bytes, step: int) -> tuple[list[Word], str]:
    unpacker, words = Unpacker(), []
    try:
        for at in range(0, len(data), step):
            for word in unpacker.feed(data[at : at + step]):
                words.append(word)
    except CodecError as error:
        return words, f"refused: {error.field}"
    return words, "more is awaited or all is read"
