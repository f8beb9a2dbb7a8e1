"""Who learns what of a driver when a round is cleared in one way or another.

Knows the mechanisms' names. docs/privacy.md has the same, with the reasons.
"""

from __future__ import annotations

BIDS = (
    "everybody who reads the ledger sees each order's energy and prices in clear: a buyer's "
    "minimum, maximum and curve, a seller's ask and slope"
)
LIMITS = (
    "everybody who reads the ledger sees each order's energy and its one price in clear; in an "
    "auction that is truthful that price is what the energy is worth to a driver on average"
)
LESSONS = {
    "welfare": BIDS,
    "uniform": BIDS,
    "welfare-pairs": BIDS,
    "welfare-proposed": BIDS,
    "iterative-auction": (
        "an order says a limit alone, but the last two bids of every pair stand in the block, and "
        "two bids with their energies give a buyer's willingness and minimum exactly, if its "
        "energy moved; one bid to two buyers gives a seller's two cost factors"
    ),
    **dict.fromkeys(("pay-as-bid", "k-price", "mcafee", "mcafee-paper"), LIMITS),
    **dict.fromkeys(("huang", "sbba", "muda"), LIMITS),
    "v2v": (
        f"{BIDS}; beside them a limit, and of losers who sign one a second, which says by how much "
        "they would rather trade with a car than with the grid"
    ),
}
OTHERS = (
    "the site's operator sees which car is at which port: wallets hide nothing from it",
    "the issuer sees which deposit funds which wallet, the bank behind it whose the deposit is",
    "the registration authority knows whose every wallet is, and tells it in recorded disputes",
)
"""What some learn whatever the mechanism."""
