"""Where choices come from: a fuzzer's bytes, or who else can choose. Knows numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Choices(Protocol):
    """One of so many possibilities, again and again."""

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""


class ByteChoices:
    """Choices read from bytes, one byte for up to 256 possibilities; 0 once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def below(self, count: int) -> int:
        end = self._at + ((count - 1).bit_length() + 7) // 8
        number = int.from_bytes(self._data[self._at : end], "little")
        self._at = end
        return number % count


def pick(choices: Choices, among: Sequence[T]) -> T:
    return among[choices.below(len(among))]


def one_in(choices: Choices, count: int) -> bool:
    """True once in so many; never when a fuzzer's bytes are used up."""
    return choices.below(count) == count - 1
