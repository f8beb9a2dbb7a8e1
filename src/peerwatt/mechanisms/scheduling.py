"""A whole day planned at once: the least cost that anyone could reach who knew it all.

Knows cars, slots and prices as arrays. Knows no market, no ledger and no car by name. What it
returns are yardsticks, not offers: plug-and-charge is what happens without control, the
optimum is what no rule can beat. Every optimum carries slot prices from which its cost can be
checked without a solver.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class NoOptimumError(ValueError):
    """The solver did not end in a proven optimum."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayProblem:
    """B cars that charge, S cars that sell, T slots. Energy in kWh at the plug, money in USD."""

    need_kwh: Floats
    """(B,) wanted over the day."""
    charge_limit_kwh: Floats
    """(B, T) most that each can take in each slot; zero where it is away."""
    sale_kwh: Floats
    """(S,) for sale over the day."""
    discharge_limit_kwh: Floats
    """(S, T) most that each can give in each slot."""
    sale_cost_usd_per_kwh: Floats
    """(S,)"""
    retail_usd_per_kwh: Floats
    """(T,) price of the grid's energy."""
    pv_kwh: Floats
    """(T,) energy that costs nothing; what nobody takes is lost."""
    feed_in_usd_per_kwh: float
    """What the grid pays; at most the retail price where neither limit binds."""
    lost_load_usd_per_kwh: float
    """What a kWh costs that a car needs and does not get."""
    grid_limit_kwh: float = np.inf
    """Most that the grid delivers in a slot."""
    export_limit_kwh: float = np.inf
    """Most that the grid takes in a slot."""

    def __post_init__(self) -> None:
        cars, sellers, slots = len(self.need_kwh), len(self.sale_kwh), len(self.retail_usd_per_kwh)
        shapes = {
            "need_kwh": (cars,),
            "charge_limit_kwh": (cars, slots),
            "sale_kwh": (sellers,),
            "discharge_limit_kwh": (sellers, slots),
            "sale_cost_usd_per_kwh": (sellers,),
            "retail_usd_per_kwh": (slots,),
            "pv_kwh": (slots,),
        }
        for field in fields(self):
            value, shape = np.asarray(getattr(self, field.name)), shapes.get(field.name, ())
            if value.shape != shape:
                raise ValueError(f"{field.name}: must have shape {shape}, has {value.shape}")
            endless = field.name in ("grid_limit_kwh", "export_limit_kwh")
            if not np.all(value >= 0) or (not endless and not np.all(np.isfinite(value))):
                raise ValueError(f"{field.name}: must be finite and not negative")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """Who charges and discharges when, in kWh, and what the day then costs."""

    charge_kwh: Floats
    """(B, T)"""
    discharge_kwh: Floats
    """(S, T)"""
    grid_kwh: Floats
    """(T,) imported."""
    export_kwh: Floats
    """(T,)"""
    unmet_kwh: Floats
    """(B,) needed and not delivered."""
    cost_usd: float
    """Retail, sellers' cost and lost load, less what exports earn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """A cheapest schedule and the proof of it."""

    schedule: Schedule
    price_usd_per_kwh: Floats
    """(T,) what one more kWh in a slot would save: the duals of the slots' energy balances."""
    lower_bound_usd: float
    """What these prices prove that no schedule can go below; see `lower_bound`."""
    status: str
    """The solver's own word."""


def without_sellers(problem: DayProblem) -> DayProblem:
    """The same day with the grid and the roof alone: its optimum is the best grid-only plan."""
    return replace(
        problem,
        sale_kwh=problem.sale_kwh[:0],
        discharge_limit_kwh=problem.discharge_limit_kwh[:0],
        sale_cost_usd_per_kwh=problem.sale_cost_usd_per_kwh[:0],
    )


def plug_and_charge(problem: DayProblem) -> Schedule:
    """No control: each car charges all it can from its arrival until it has what it needs.

    Where the cars want more than grid and roof can give, all are cut in the same proportion
    and go on wanting the rest. Nobody sells.
    """
    left = problem.need_kwh.astype(np.float64)
    charge = np.zeros_like(problem.charge_limit_kwh, dtype=np.float64)
    for slot, pv_kwh in enumerate(problem.pv_kwh):
        wanted = np.minimum(left, problem.charge_limit_kwh[:, slot])
        supply_kwh = problem.grid_limit_kwh + pv_kwh
        total_kwh = wanted.sum()
        if total_kwh > supply_kwh:
            wanted *= supply_kwh / total_kwh
        charge[:, slot] = wanted
        left -= wanted
    net_kwh = charge.sum(axis=0) - problem.pv_kwh
    return _priced(
        problem,
        charge_kwh=charge,
        discharge_kwh=np.zeros_like(problem.discharge_limit_kwh, dtype=np.float64),
        grid_kwh=np.maximum(net_kwh, 0),
        export_kwh=np.clip(-net_kwh, 0, problem.export_limit_kwh),
        unmet_kwh=np.maximum(left, 0),
    )


def optimal_schedule(problem: DayProblem) -> Optimum:
    """The cheapest schedule, by linear programming with HiGHS.

    Minimises retail x grid - feed-in x export + sellers' cost x discharge + lost load x unmet
    over the energy balance of each slot, the grid's limits, each plug's limits, each seller's
    energy, and charge + unmet = need for each car. Raises NoOptimumError for any end but a
    proven optimum, such as a feed-in above retail without a limit.
    """
    solution, status = _solve(problem)
    slots, cars = len(problem.retail_usd_per_kwh), len(problem.need_kwh)
    charge_at, discharge_at = problem.charge_limit_kwh > 0, problem.discharge_limit_kwh > 0
    widths = [charge_at.sum(), discharge_at.sum(), slots, slots, cars]
    columns = np.maximum(np.array(solution.col_value, dtype=np.float64), 0)
    charged, discharged, grid, export, unmet = np.split(columns, np.cumsum(widths)[:-1])
    charge, discharge = np.zeros(charge_at.shape), np.zeros(discharge_at.shape)
    charge[charge_at], discharge[discharge_at] = charged, discharged
    price = np.maximum(np.array(solution.row_dual, dtype=np.float64)[:slots], 0)
    return Optimum(
        schedule=_priced(
            problem,
            charge_kwh=charge,
            discharge_kwh=discharge,
            grid_kwh=grid,
            export_kwh=export,
            unmet_kwh=unmet,
        ),
        price_usd_per_kwh=price,
        lower_bound_usd=lower_bound(problem, price),
        status=status,
    )


def lower_bound(problem: DayProblem, price_usd_per_kwh: Floats) -> float:
    """A cost in USD that no schedule of the day can go below, whatever the prices (T,) given.

    By weak duality: if all energy were bought and sold at these slot prices, each party alone
    could do no better than the sum computed here, and any schedule is one such set of choices.
    At the duals of an optimum the bound meets its cost. Needs no solver.
    """
    price = np.maximum(price_usd_per_kwh, 0)
    if np.isinf(problem.export_limit_kwh):
        price = np.maximum(price, problem.feed_in_usd_per_kwh)
    if np.isinf(problem.grid_limit_kwh):
        price = np.minimum(price, problem.retail_usd_per_kwh)
    resale = np.minimum(problem.retail_usd_per_kwh - price, 0)
    feeding = np.minimum(price - problem.feed_in_usd_per_kwh, 0)
    bound = float(problem.lost_load_usd_per_kwh * problem.need_kwh.sum() - price @ problem.pv_kwh)
    for gain, limit_kwh in (
        (resale, problem.grid_limit_kwh),
        (feeding, problem.export_limit_kwh),
    ):
        if gain.any():  # an endless limit times no gain is no gain, not NaN
            bound += float(gain.sum() * limit_kwh)
    bound += _best_response(
        price - problem.lost_load_usd_per_kwh, problem.charge_limit_kwh, problem.need_kwh
    )
    return bound + _best_response(
        problem.sale_cost_usd_per_kwh[:, None] - price,
        problem.discharge_limit_kwh,
        problem.sale_kwh,
    )


def _best_response(net_price: Floats, limit_kwh: Floats, energy_kwh: Floats) -> float:
    """Least sum of price x energy when each car fills its cheapest slots first, USD."""
    prices = np.broadcast_to(net_price, limit_kwh.shape)
    order = np.argsort(prices, axis=1, kind="stable")
    prices = np.take_along_axis(prices, order, axis=1)
    limits = np.take_along_axis(limit_kwh, order, axis=1)
    before = np.cumsum(limits, axis=1) - limits
    taken = np.clip(energy_kwh[:, None] - before, 0, limits)
    return float((np.minimum(prices, 0) * taken).sum())


def _priced(
    problem: DayProblem,
    *,
    charge_kwh: Floats,
    discharge_kwh: Floats,
    grid_kwh: Floats,
    export_kwh: Floats,
    unmet_kwh: Floats,
) -> Schedule:
    cost = problem.retail_usd_per_kwh @ grid_kwh - problem.feed_in_usd_per_kwh * export_kwh.sum()
    cost += problem.sale_cost_usd_per_kwh @ discharge_kwh.sum(axis=1)
    cost += problem.lost_load_usd_per_kwh * unmet_kwh.sum()
    return Schedule(
        charge_kwh=charge_kwh,
        discharge_kwh=discharge_kwh,
        grid_kwh=grid_kwh,
        export_kwh=export_kwh,
        unmet_kwh=unmet_kwh,
        cost_usd=float(cost),
    )


def _solve(problem: DayProblem) -> tuple[Any, str]:
    import highspy

    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.passModel(_model(problem))
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise NoOptimumError(f"no optimum: HiGHS says {solver.modelStatusToString(status)}")
    return solver.getSolution(), solver.modelStatusToString(status)


class _Columns(NamedTuple):
    """Columns of one kind: n of them, each from 0 to `upper`, with the same signs in its rows."""

    rows: npt.NDArray[np.int64]
    """(n, entries of a column)"""
    signs: tuple[float, ...]
    cost: Floats
    upper: Floats


def _columns(problem: DayProblem) -> list[_Columns]:
    """Charge and discharge where a car is present, grid, export, unmet."""
    slots = np.arange(len(problem.retail_usd_per_kwh))
    cars, sellers = len(problem.need_kwh), len(problem.sale_kwh)
    need_row = len(slots) + np.arange(cars)
    sale_row = len(slots) + cars + np.arange(sellers)
    car, charge_slot = np.nonzero(problem.charge_limit_kwh > 0)
    seller, discharge_slot = np.nonzero(problem.discharge_limit_kwh > 0)
    each = np.ones(len(slots))
    return [
        _Columns(
            np.stack([charge_slot, need_row[car]], axis=1),
            (-1, 1),
            np.zeros(len(car)),
            problem.charge_limit_kwh[car, charge_slot],
        ),
        _Columns(
            np.stack([discharge_slot, sale_row[seller]], axis=1),
            (1, 1),
            problem.sale_cost_usd_per_kwh[seller],
            problem.discharge_limit_kwh[seller, discharge_slot],
        ),
        _Columns(slots[:, None], (1,), problem.retail_usd_per_kwh, each * problem.grid_limit_kwh),
        _Columns(
            slots[:, None],
            (-1,),
            each * -problem.feed_in_usd_per_kwh,
            each * problem.export_limit_kwh,
        ),
        _Columns(
            need_row[:, None],
            (1,),
            np.full(cars, problem.lost_load_usd_per_kwh),
            problem.need_kwh,
        ),
    ]


def _model(problem: DayProblem) -> Any:
    """The rows: each slot's supply less use >= -PV, then each car's charge + unmet = need,
    then each seller's discharge <= its energy."""
    import highspy

    slots, sellers = len(problem.retail_usd_per_kwh), len(problem.sale_kwh)
    kinds = _columns(problem)
    entries = np.concatenate([np.full(len(kind.rows), len(kind.signs)) for kind in kinds])
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(entries), slots + len(problem.need_kwh) + sellers
    lp.col_cost_ = np.concatenate([kind.cost for kind in kinds])
    lp.col_lower_ = np.zeros(len(entries))
    lp.col_upper_ = np.concatenate([kind.upper for kind in kinds])
    lp.row_lower_ = np.concatenate([-problem.pv_kwh, problem.need_kwh, np.full(sellers, -np.inf)])
    lp.row_upper_ = np.concatenate([np.full(slots, np.inf), problem.need_kwh, problem.sale_kwh])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(entries)]).astype(np.int32)
    lp.a_matrix_.index_ = np.concatenate([kind.rows.ravel() for kind in kinds]).astype(np.int32)
    lp.a_matrix_.value_ = np.concatenate([np.tile(kind.signs, len(kind.rows)) for kind in kinds])
    return lp
