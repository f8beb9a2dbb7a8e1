"""A fuzzer's bytes as a life of the ledger: who sends what, in which blocks, and when time goes on.

Knows the bench and the moves. The message of a transaction is fuzzed behind valid signatures, so
that the fuzzer gets past them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz_bench import Bench, start
from fuzz_choices import ByteChoices, Choices
from fuzz_moves import KINDS, message

MAX_STEPS = 64
STARTS = ((1_000, 100), (1, 100), (1_000, 0), (1, 0))
AUCTION = ("RevealOrder", "ReviseOrder", "ReportAbsence", "ConfirmPresence", "ProposeAuction")
KIND = {kind.__name__: kind for kind in KINDS}


def one(kind: type[Any]) -> Callable[[Bench, Choices], None]:
    """A block of one message of this kind."""

    def step(bench: Bench, choices: Choices) -> None:
        bench.block(message(kind, bench, choices))

    return step


def several(bench: Bench, choices: Choices) -> None:
    """A block of some messages, all made before it."""
    kinds = [KINDS[choices.below(len(KINDS))] for _ in range(2 + choices.below(3))]
    bench.block(*(message(kind, bench, choices) for kind in kinds))


def time_passes(bench: Bench, choices: Choices) -> None:
    bench.block(message(KIND["Tick"], bench, choices, spoil=False))


def a_book(bench: Bench, choices: Choices) -> None:
    """A round with a few orders, all in good form; they may still be refused for what they say."""
    bench.block(message(KIND["OpenRound"], bench, choices, spoil=False))
    for _ in range(1 + choices.below(4)):
        name = ("PlaceBuyOrder", "PlaceSellOrder", "SealOrder")[choices.below(3)]
        bench.block(message(KIND[name], bench, choices, spoil=False))


def a_step_of_rounds(bench: Bench, choices: Choices) -> None:
    """Time passes; whoever has something to say about a round says it."""
    time_passes(bench, choices)
    for name in ("ProposeClearing", *AUCTION, "ReportReadings", "OpenDispute"):
        bench.block(message(KIND[name], bench, choices, spoil=False))


STEPS = (
    *(one(kind) for kind in KINDS),
    *(several, time_passes, time_passes),
    *(a_book, a_book, a_step_of_rounds, a_step_of_rounds, a_step_of_rounds),
)


def live(data: bytes) -> Bench:
    """The chain after all that these bytes make happen on it."""
    choices = ByteChoices(data)
    bench = Bench(start(*STARTS[choices.below(len(STARTS))]))
    for _ in range(MAX_STEPS):
        if choices.over:
            break
        STEPS[choices.below(len(STEPS))](bench, choices)
    return bench


def ledger(data: bytes) -> str:
    """The target; its outcome is all that was seen, a line each."""
    return "\n".join(live(data).seen)
