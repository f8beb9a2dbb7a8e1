"""What a mechanism is worth, measured: lies that pay, who loses, who gains, what is left undone.

Knows markets, the search for lies and the best that any mechanism could do. Knows no files and no
screen. Every figure is over the markets that were looked at and says nothing of others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peerwatt.market_lab.lies import (
    BOTH,
    KINDS,
    LEAST_GAIN,
    PRICE,
    QUANTITY,
    Lie,
    lies_in,
    utility,
)
from peerwatt.market_lab.subjects import Market, Outcome, Subject, book_of
from peerwatt.mechanisms.merit_auction import clear_uniform_price


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The lie of a kind that pays best: the market's seed and what to say there replay it."""

    market: int
    """Its number among the markets, or its seed where they are drawn."""
    lie: Lie
    share: float
    """Of the market's best welfare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An audit of one mechanism; shares are of 1."""

    subject: Subject
    markets: int
    owners_tried: int
    lies_pay: dict[str, float]
    """Kind to the share of markets in which one of the owners tried gains by such a lie."""
    best: dict[str, Example]
    """Kind to the best example, where there is one."""
    worse_than_no_trade: float
    """Share of owners who lose by taking part and telling the truth."""
    worse_than_grid: float
    """Share of owners who pay more than retail, or get less than feed-in."""
    short: float
    """Share of markets in which the auctioneer had to add money."""
    buyers_gain: float
    """Of the best welfare that the markets had, in all, like the next two."""
    sellers_gain: float
    surplus: float
    traded: float
    """Energy of buyers over that of the best awards."""
    seconds: float
    """Median of clearing one market."""

    @property
    def welfare(self) -> float:
        """Share of the best welfare that is reached, whoever has it."""
        return self.buyers_gain + self.sellers_gain + self.surplus

    @property
    def broken(self) -> list[str]:
        """Claims that the markets contradict."""
        subject = self.subject
        claims = (
            ("truthful in price", subject.truthful_in_price and PRICE in self.best),
            ("truthful in quantity", subject.truthful_in_quantity and QUANTITY in self.best),
            (
                "truthful in both at once",
                subject.truthful_in_price and subject.truthful_in_quantity and BOTH in self.best,
            ),
            ("never short of money", subject.never_short and self.short > 0),
        )
        return [words for words, contradicted in claims if contradicted]

    def as_row(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "mechanism": self.subject.name,
            "markets": self.markets,
            "owners_tried": self.owners_tried,
            **{f"{kind}_lies_pay": self.lies_pay.get(kind) for kind in KINDS},
            "worse_than_no_trade": self.worse_than_no_trade,
            "worse_than_grid": self.worse_than_grid,
            "auctioneer_short": self.short,
            "welfare": self.welfare,
            "buyers_gain": self.buyers_gain,
            "sellers_gain": self.sellers_gain,
            "surplus": self.surplus,
            "traded": self.traded,
            "claims_broken": self.broken,
            "best_lies": {
                kind: {
                    "market": each.market,
                    "side": "buy" if each.lie.buyer else "sell",
                    "row": each.lie.row,
                    "says_price": each.lie.price,
                    "says_kwh": each.lie.kwh,
                    "gain": each.lie.gain,
                    "share_of_welfare": each.share,
                }
                for kind, each in self.best.items()
            },
        }


def audit(
    subject: Subject,
    markets: Sequence[tuple[int, Market]],
    *,
    most_a_side: int = 2,
    step: Callable[[int], None] = lambda done: None,
) -> Report:
    """Look at each (number, market), its number being also the seed of its lots."""
    tally = _Tally()
    kinds = (PRICE,) if subject.one_size else KINDS
    for done, (number, market) in enumerate(markets, 1):
        best = _best(market)
        began_s = time.perf_counter()
        outcome = subject.clear(market, number)
        tally.seconds.append(time.perf_counter() - began_s)
        tally.count_outcome(market, outcome, best)
        lies = lies_in(subject.clear, market, number, kinds=kinds, most_a_side=most_a_side)
        tally.count_lies(number, lies, best[0])
        step(done)
    return tally.report(subject, len(markets), kinds)


def _best(market: Market) -> tuple[float, float]:
    """The most welfare of a market, and the energy that reaches it."""
    found = clear_uniform_price(book_of(market))
    return found.welfare, float(found.bought_kwh.sum())


class _Tally:
    """Sums over markets."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.owners = self.tried = self.short = 0
        self.lost = self.beyond_grid = 0
        self.welfare = self.kwh = self.bought = 0.0
        self.gains = np.zeros(3)
        self.paying = dict.fromkeys(KINDS, 0)
        self.best: dict[str, Example] = {}

    def count_outcome(self, market: Market, outcome: Outcome, best: tuple[float, float]) -> None:
        buyers = [utility(market, outcome, True, row) for row in range(len(market.value))]
        sellers = [utility(market, outcome, False, row) for row in range(len(market.cost))]
        bought, sold = outcome.bought_kwh, outcome.sold_kwh
        surplus = float(outcome.paid.sum() - outcome.earned.sum())
        slack = LEAST_GAIN * max(best[0], 1.0)
        self.owners += len(buyers) + len(sellers)
        self.lost += sum(gain < -slack for gain in (*buyers, *sellers))
        over = (outcome.paid - market.band.retail * bought) > slack
        under = (market.band.feed_in * sold - outcome.earned) > slack
        self.beyond_grid += int(over.sum() + under.sum())
        self.short += surplus < -slack
        self.welfare += best[0]
        self.kwh += best[1]
        self.bought += float(bought.sum())
        self.gains += sum(buyers), sum(sellers), surplus

    def count_lies(self, number: int, lies: list[Lie], welfare: float) -> None:
        least = LEAST_GAIN * max(welfare, 1.0)
        self.tried += len({(lie.buyer, lie.row) for lie in lies})
        for kind in KINDS:
            top = max((lie for lie in lies if lie.kind == kind), key=_gain, default=None)
            if top is None or top.gain <= least:
                continue
            self.paying[kind] += 1
            known = self.best.get(kind)
            if known is None or top.gain > known.lie.gain:
                share = top.gain / welfare if welfare > 0 else np.inf
                self.best[kind] = Example(market=number, lie=top, share=share)

    def report(self, subject: Subject, markets: int, kinds: tuple[str, ...]) -> Report:
        gains = self.gains / self.welfare if self.welfare > 0 else self.gains
        return Report(
            subject=subject,
            markets=markets,
            owners_tried=self.tried,
            lies_pay={kind: self.paying[kind] / markets for kind in kinds},
            best=self.best,
            worse_than_no_trade=self.lost / self.owners,
            worse_than_grid=self.beyond_grid / self.owners,
            short=self.short / markets,
            buyers_gain=float(gains[0]),
            sellers_gain=float(gains[1]),
            surplus=float(gains[2]),
            traded=self.bought / self.kwh if self.kwh > 0 else 1.0,
            seconds=float(np.median(self.seconds)),
        )


def _gain(lie: Lie) -> float:
    return lie.gain
