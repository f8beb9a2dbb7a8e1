"""The double auctions by name, with what truly holds for each; a book in, a result out.

Knows the mechanisms' rooms beside it. Knows neither ledger nor agents.

| | truthful in price | in quantity | budget | steps | minima |
|---|---|---|---|---|---|
| `uniform` | no | no | balanced | yes | yes |
| `pay-as-bid` | no | no | surplus | yes | yes |
| `mcafee` (by volume), `mcafee-paper` (by count) | yes | no | surplus | no | no |
| `huang` | yes | no | surplus | no | no |
| `sbba` | yes | one size | balanced | no | no |
| `muda` | yes | yes | balanced | yes | no |
| `vcg` | yes | yes | **deficit** | yes | no |

All are individually rational against not trading, and, where prices lie in the grid's band and
no fee or loss is charged, against the grid. Truthful is said of owners of one order each; the
seeds of lots are fixed before orders are known, or whoever draws them could choose the winners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from peerwatt.mechanisms.auction_book import Book
from peerwatt.mechanisms.auction_result import Auction
from peerwatt.mechanisms.merit_auction import clear_pay_as_bid, clear_uniform_price
from peerwatt.mechanisms.multi_unit_auction import clear_muda, clear_vcg
from peerwatt.mechanisms.reduced_auction import clear_huang, clear_mcafee, clear_sbba


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A double auction and what it claims; claims hold in every market, not in most."""

    clear: Callable[..., Auction]
    """Takes a `Book` and `seed=`."""
    truthful_in_price: bool = False
    truthful_in_quantity: bool = False
    budget: str = "balanced"
    """"balanced", "surplus" (never short) or "deficit"."""
    takes_steps: bool = False
    takes_minima: bool = False
    one_size: bool = False
    """Whether all orders must be of one size."""


MECHANISMS = {
    "uniform": Mechanism(clear=clear_uniform_price, takes_steps=True, takes_minima=True),
    "pay-as-bid": Mechanism(
        clear=clear_pay_as_bid, budget="surplus", takes_steps=True, takes_minima=True
    ),
    "mcafee": Mechanism(clear=clear_mcafee, truthful_in_price=True, budget="surplus"),
    "mcafee-paper": Mechanism(
        clear=partial(clear_mcafee, count="orders"), truthful_in_price=True, budget="surplus"
    ),
    "huang": Mechanism(clear=clear_huang, truthful_in_price=True, budget="surplus"),
    "sbba": Mechanism(clear=clear_sbba, truthful_in_price=True, one_size=True),
    "muda": Mechanism(
        clear=clear_muda, truthful_in_price=True, truthful_in_quantity=True, takes_steps=True
    ),
    "vcg": Mechanism(
        clear=clear_vcg,
        truthful_in_price=True,
        truthful_in_quantity=True,
        budget="deficit",
        takes_steps=True,
    ),
}


def clear_double_auction(book: Book, mechanism: str, *, seed: int = 0) -> Auction:
    """Clear `book` by the mechanism of that name; raises `ValueError` for a name that is none."""
    if mechanism not in MECHANISMS:
        raise ValueError(f"mechanism {mechanism!r} is none of {', '.join(MECHANISMS)}")
    return MECHANISMS[mechanism].clear(book, seed=seed)
