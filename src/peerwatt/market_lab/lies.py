"""The search for lies that pay: one owner says another price, another quantity, or both.

Knows markets, their true owners and what a mechanism makes of what is said. All others say the
truth and lots stay as they were, so that a lie that pays proves that truth is not a dominant
strategy; that none is found proves nothing but that none is easy to find.

Between two neighbouring prices of others most mechanisms do not tell one price from another, so
the coarse search says one price in each gap, just beside each other's price, and at both ends;
the fine one parts the gaps beside the best again and again. Quantities are tried as multiples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from peerwatt.market_lab.subjects import Clear, Market, Outcome, saying

PRICE, QUANTITY, BOTH = "price", "quantity", "both"
KINDS = (PRICE, QUANTITY, BOTH)
FACTORS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
FINER, ROUNDS = 5, 2
"""Points between the best lie and its neighbours, and how often they are parted."""
BESIDE = 1e-6
LEAST_GAIN = 1e-7
"""Of the market's best welfare: less is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """One owner's best lie of a kind, whether or not it pays."""

    kind: str
    buyer: bool
    row: int
    price: float
    """What it says, at last."""
    kwh: float
    gain: float
    """Coin beyond what truth brings, by its true value or cost."""


def utility(truth: Market, outcome: Outcome, buyer: bool, row: int) -> float:
    """What an outcome is worth to one owner, in coin.

    A buyer has no use for more than it needs; a seller buys what it sold and does not have at
    retail.
    """
    if buyer:
        used = min(float(outcome.bought_kwh[row]), float(truth.need_kwh[row]))
        return float(truth.value[row]) * used - float(outcome.paid[row])
    sold, have = float(outcome.sold_kwh[row]), float(truth.have_kwh[row])
    short = max(sold - have, 0.0)
    bought_in = truth.band.retail * short
    return float(outcome.earned[row]) - float(truth.cost[row]) * (sold - short) - bought_in


def best_lie(clear: Clear, truth: Market, seed: int, buyer: bool, row: int, kind: str) -> Lie:
    """The best lie of a kind that the search finds for one owner."""
    price = float((truth.value if buyer else truth.cost)[row])
    kwh = float((truth.need_kwh if buyer else truth.have_kwh)[row])
    honest = utility(truth, clear(truth, seed), buyer, row)

    def gain(said_price: float, said_kwh: float) -> float:
        said = saying(truth, buyer, row, said_price, said_kwh)
        return utility(truth, clear(said, seed), buyer, row) - honest

    if kind == PRICE:
        tried = _searched(_prices(truth, buyer, row), lambda said: gain(said, kwh))
        best = max(((found, said, kwh) for found, said in tried))
    elif kind == QUANTITY:
        tried = _searched([factor * kwh for factor in FACTORS], lambda said: gain(price, said))
        best = max(((found, price, said) for found, said in tried))
    else:
        spread = _prices(truth, buyer, row)[::4]
        best = max((gain(p, f * kwh), p, f * kwh) for p in spread for f in FACTORS[1::2])
    return Lie(kind=kind, buyer=buyer, row=row, price=best[1], kwh=best[2], gain=best[0])


def _searched(coarse: list[float], gain: Callable[[float], float]) -> list[tuple[float, float]]:
    """(gain, what is said), coarse and then finer and finer about the best."""
    found = [(gain(said), said) for said in coarse]
    for _ in range(ROUNDS):
        said = sorted(each for _, each in found)
        at = said.index(max(found)[1])
        left, right = said[max(at - 1, 0)], said[min(at + 1, len(said) - 1)]
        fine = np.linspace(left, right, FINER + 2)[1:-1].tolist()
        found += [(gain(each), each) for each in fine]
    return found


def _prices(truth: Market, buyer: bool, row: int) -> list[float]:
    """One price in each gap between others', just beside each of them, and both ends."""
    others = np.concatenate(
        [
            np.delete(truth.value, row) if buyer else truth.value,
            truth.cost if buyer else np.delete(truth.cost, row),
        ]
    )
    low, high = truth.band.feed_in, truth.band.retail
    known = np.unique(np.concatenate([[low, high], others]))
    said = np.concatenate([known, (known[1:] + known[:-1]) / 2, others - BESIDE, others + BESIDE])
    return sorted(np.clip(said, low, high).tolist())


def auditees(truth: Market, seed: int, most_a_side: int) -> Iterator[tuple[bool, int]]:
    """Some owners of each side, drawn: (whether a buyer, row)."""
    chance = np.random.default_rng((seed, 7))
    for buyer, count in ((True, len(truth.value)), (False, len(truth.cost))):
        for row in chance.permutation(count)[:most_a_side]:
            yield buyer, int(row)


def lies_in(
    clear: Clear, truth: Market, seed: int, *, kinds: Iterable[str], most_a_side: int = 2
) -> list[Lie]:
    """Each auditee's best lie of each kind."""
    return [
        best_lie(clear, truth, seed, buyer, row, kind)
        for buyer, row in auditees(truth, seed, most_a_side)
        for kind in kinds
    ]
