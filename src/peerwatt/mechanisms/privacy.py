"""What an iterative auction tells about its bidders, whether or not it means to.

Knows numpy and what is said in the auction: energies, and the bids and asks that answer them. Knows
neither ledger nor agents, and no bidder's parameters: it finds them.

PETCON (doi:10.1109/TII.2017.2709784, section VI.A) holds that bids alone keep private what energy
is worth to whom. They do not. Of the energy D_i that it would have in all, at the bus, a buyer says
m_i = b_ij / d_ij, and 1 / m_i is a straight line in D_i:

    1 / m_i = D_i / w_i - (minimum_i - scale_i) / (a_i w_i),

so that two turns with different D_i give away w_i (hence its state of charge) and its minimum. Who
is at the same limit in both gives away one number; where its minimum is known, that is w_i. A
seller's asks are a straight line in what it sends, s_ji = 2 l1_j d_ji + l2_j: two pairs give away
both costs. Damping hides nothing, as it is the same for all pairs:

    ln b' - ln b = theta (ln d - ln b) + theta ln m.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_rounds import Disguise
from peerwatt.mechanisms.iterative_auction import STANDS_STILL
from peerwatt.mechanisms.welfare_book import RangeError


class RevealedBuyers(NamedTuple):
    """Each (I,), NaN for whose energy stood still."""

    weight: FloatArray
    minimum_kwh: FloatArray


class RevealedSellers(NamedTuple):
    """Each (J,)."""

    quadratic_cost: FloatArray
    linear_cost: FloatArray


class RevealedValues(NamedTuple):
    """Each (I,), NaN for who damps and had the same of all."""

    value: FloatArray
    """m_i, what one more kWh at the bus is worth."""
    theta: FloatArray


def reveal_values(before: FloatArray, kwh: FloatArray, after: FloatArray) -> RevealedValues:
    """What damped bids `after` (I, J) tell of those who were given `kwh` for bids `before`.

    The line through ln(d / b) and ln(b' / b), by least squares over those on whom i bids.
    """
    said = (before > 0) & (kwh > 0) & (after > 0)
    run, rise = np.zeros_like(kwh), np.zeros_like(kwh)
    np.log(np.divide(kwh, before, where=said, out=np.ones_like(kwh)), where=said, out=run)
    np.log(np.divide(after, before, where=said, out=np.ones_like(kwh)), where=said, out=rise)
    theta, along = _line(run.T, rise.T, said.T)
    with np.errstate(divide="ignore", over="ignore"):
        return RevealedValues(np.exp(along / theta), theta)


def reveal_buyers(
    values: FloatArray,
    energies: FloatArray,
    *,
    efficiency: FloatArray | float,
    scale_kwh: FloatArray | float = 1.0,
) -> RevealedBuyers:
    """Weights and minima from T >= 2 turns' values m and energies D, (T, I), at the bus.

    `efficiency` a and `scale_kwh` are everybody's, as in PETCON; one number or (I,). Of more turns
    than two the line is that of least squares, against noise.
    """
    slope, level = _line(energies, 1.0 / values, np.ones(values.shape, dtype=np.bool_))
    weight = 1.0 / slope
    return RevealedBuyers(weight, np.asarray(scale_kwh - efficiency * weight * level))


def reveal_sellers(
    asks: FloatArray, kwh: FloatArray, *, efficiency: FloatArray | float
) -> RevealedSellers:
    """Costs per kWh sent from the asks (I, J) that answer `kwh`, both at the bus, of one turn.

    `efficiency`, one number or (J,), is what of a kWh sent reaches the bus. A seller that sends all
    buyers the same tells less: NaN. Damped asks tell as much: the share that is new is public.
    """
    slope, level = _line(kwh / efficiency, asks * efficiency, np.ones(kwh.shape, dtype=np.bool_))
    return RevealedSellers(slope / 2.0, level)


def noise(size: float, seed: int) -> Disguise:
    """Bids times exp(size g), g standard normal, drawn anew from `seed` for each bid that is said.

    Bids then never stand still to much less than `size`, and reveal to so much; over T turns and J
    sellers whoever listens averages over T J of them. What it costs all is the certified gap of
    `auction_rounds.run_auction`. Raises `RangeError` for a size below zero.
    """
    if not (np.isfinite(size) and size >= 0):
        raise RangeError(f"size must be a number of at least zero, not {size}")
    rng = np.random.default_rng(seed)

    def disguise(bids: FloatArray) -> FloatArray:
        return np.asarray(bids * np.exp(size * rng.standard_normal(bids.shape)))

    return disguise


def _line(
    x: FloatArray, y: FloatArray, said: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> tuple[FloatArray, FloatArray]:
    """(slope, level at x = 0) of each column's line of least squares; NaN where x stands still."""
    count = np.maximum(np.add.reduce(said, axis=0), 1)
    mean_x, mean_y = (np.add.reduce(np.where(said, each, 0.0), axis=0) / count for each in (x, y))
    apart = np.where(said, x - mean_x, 0.0)
    spread = np.add.reduce(apart * apart, axis=0)
    known = spread > count * (STANDS_STILL * mean_x) ** 2
    slope = np.divide(
        np.add.reduce(apart * (y - mean_y), axis=0),
        spread,
        out=np.full(spread.shape, np.nan),
        where=known,
    )
    return slope, mean_y - slope * mean_x
