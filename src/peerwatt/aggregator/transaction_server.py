"""The transaction server: collects requests and answers, says the demand, pairs what was settled.

Knows who is in use at the hub, and settled awards. It clears nothing: the ledger does, from the
orders themselves; what it announces binds nobody. The switches of the poles follow the awards, by
`site_gateway.dispatch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peerwatt.aggregator.account_pool import AccountPool, PoolRefused
from peerwatt.hosts.host import View
from peerwatt.records.market import SettledAward, Side
from peerwatt.records.requests import EnergyRequest, is_said


class Demand(NamedTuple):
    """What all who charge here ask for together; each request as until when and how much."""

    total_wh: int
    due: tuple[tuple[int, int], ...]
    """(unix seconds, Wh) of each request, by its account's index."""


class Answers(NamedTuple):
    """What sellers offered in answer, together, in how many orders."""

    offered_wh: int
    orders: int


class TradedPair(NamedTuple):
    """Energy that went from one car to another, as far as that can be said of a pool."""

    order_id: bytes
    sale_id: bytes
    energy_wh: int


class TransactionServer:
    """Between the cars of one hub.

    Args:
        site: the hub's name on the ledger.
        view: the ledger.
        pool: the wallets in use here.
    """

    def __init__(self, site: str, view: View, pool: AccountPool) -> None:
        self._site, self._view, self._pool = site, view, pool
        self._requests: dict[bytes, EnergyRequest] = {}

    def request(self, request: EnergyRequest, signature: bytes) -> None:
        """Take in what a car asks for, in the place of what it asked for before.

        Raises:
            PoolRefused: it was not asked here, by a wallet in use here, or is no newer than the
                wallet's last one.
        """
        if request.chain_id != self._view.chain_id:
            raise PoolRefused(f"chain_id: this hub is on '{self._view.chain_id}'")
        if request.site != self._site:
            raise PoolRefused(f"site: this is '{self._site}'")
        if self._pool.index_of(request.wallet) is None:
            raise PoolRefused("wallet: is not in use here")
        if not is_said(request, signature):
            raise PoolRefused("signature: is not the wallet's")
        before = self._requests.get(request.wallet)
        if before is not None and request.at_s <= before.at_s:
            raise PoolRefused(f"at_s: is no later than the last request's, {before.at_s}")
        if request.until_s <= request.from_s:
            raise PoolRefused("until_s: is not after from_s")
        self._requests[request.wallet] = request

    def done(self, wallet: bytes) -> None:
        """A car asks for nothing any more; nothing if it did not."""
        self._requests.pop(wallet, None)

    def demand(self) -> Demand:
        """What is announced to those who could sell."""
        asked = sorted(self._requests.values(), key=self._place)
        return Demand(
            total_wh=sum(each.amount_wh for each in asked),
            due=tuple((each.until_s, each.amount_wh) for each in asked),
        )

    def _place(self, request: EnergyRequest) -> int:
        index = self._pool.index_of(request.wallet)
        return -1 if index is None else index

    def answers(self, round_id: bytes) -> Answers:
        """What sellers have offered in a round whose book is open."""
        orders = [order for _, order in self._view.items("orders", round_id)]
        offered = [order.max_wh for order in orders if hasattr(order, "ask_ucoin_per_kwh")]
        return Answers(offered_wh=sum(offered), orders=len(offered))


def traded_pairs(settled: Sequence[SettledAward]) -> tuple[TradedPair, ...]:
    """Whose energy went to whom in a settled round, in whole Wh.

    A pool has no such pairs, so this is a convention: of what sellers gave every buyer has the same
    share, rounded by largest remainder; then sellers are taken up one after another, both sides in
    the order of their ids. No pair is empty, and a seller's pairs add up to what it gave, but for
    what was sold to the grid, which goes from the last sellers first.
    """
    bought = _moved(settled, Side.BUY)
    sold = _moved(settled, Side.SELL)
    wanted = _shares([wh for _, wh in bought], min(sum(wh for _, wh in sold), _sum(bought)))
    pairs, at = [], 0
    left = [wh for _, wh in sold]
    for (order_id, _), share in zip(bought, wanted, strict=True):
        need = share
        while need > 0:
            energy = min(need, left[at])
            if energy:
                pairs.append(TradedPair(order_id, sold[at][0], energy))
            need -= energy
            left[at] -= energy
            at += left[at] == 0
    return tuple(pairs)


def _moved(settled: Sequence[SettledAward], side: Side) -> list[tuple[bytes, int]]:
    rows = [(each.order_id, each.metered_wh) for each in settled if each.side == side]
    return sorted(row for row in rows if row[1])


def _sum(rows: Sequence[tuple[bytes, int]]) -> int:
    return sum(energy_wh for _, energy_wh in rows)


def _shares(amounts: Sequence[int], total: int) -> list[int]:
    """`total` in proportion to the amounts, none above its own; the rest to the largest parts."""
    whole = sum(amounts)
    if whole == 0:
        return []
    shares = [total * amount // whole for amount in amounts]
    rest = sorted(range(len(amounts)), key=lambda at: (-(total * amounts[at] % whole), at))
    for at in rest[: total - sum(shares)]:
        shares[at] += 1
    return shares
