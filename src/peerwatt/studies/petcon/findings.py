"""What the tables of all draws say of each claim.

Knows the tables' columns and the claims' names in the study's file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from peerwatt.studies.estimates import Estimate, exact, mean_of, share_of
from peerwatt.studies.petcon.lots import box_km
from peerwatt.studies.petcon.parameters import Petcon

TWELVE = 12
SETTLED = 0.01
SETTLE = ("cv1_settles", "dv1_settles")
NOISE = 0.03
SAME = 1e-6


def estimates(tables: Mapping[str, pl.DataFrame], petcon: Petcon) -> dict[str, Estimate]:
    """By claim; what these tables do not tell is left out."""
    found: dict[str, Estimate] = {}
    if "auctions" in tables:
        found |= of_auctions(tables["auctions"])
    if "turns" in tables:
        found |= of_turns(tables["turns"])
    if "rival" in tables:
        found |= of_rival(tables["rival"], petcon)
    if "hybrid" in tables:
        found |= of_hybrid(tables["hybrid"])
    if "secrets" in tables:
        found |= of_secrets(tables["secrets"], tables["noise"])
    if "lots" in tables:
        height_km, width_km = box_km()
        found |= {"box_height": exact(height_km), "box_width": exact(width_km)}
    return found


def of_auctions(rows: pl.DataFrame) -> dict[str, Estimate]:
    """Turns, money, and who loses."""
    nothing = rows["reward_for_nothing"] / rows["printed_rules_reward"]
    return {
        "iterations": mean_of(rows["damped_turns"]),
        "converges_as_printed": share_of(rows["printed_converged"]),
        "iterations_adaptive": mean_of(rows["adaptive_turns"]),
        "payment": mean_of(rows["printed_rules_payment"]),
        "reward": mean_of(rows["printed_rules_reward"]),
        "auctioneer_loses": share_of(rows["printed_rules_budget"] < 0),
        "auctioneer_budget": mean_of(rows["printed_rules_budget"]),
        "cars_lose": mean_of(rows["printed_rules_buyers_losing"]),
        "reward_for_nothing": mean_of(nothing),
        "truthful": share_of(rows["gain_by_shading"] > 0),
    }


def of_turns(rows: pl.DataFrame) -> dict[str, Estimate]:
    """What is missing of the optimum, and when one car of each side stands still."""
    damped = rows.filter(pl.col("way") == "damped")
    found = {name: mean_of(settling_turns(damped, f"{name[:3]}_kwh")) for name in SETTLE}
    twelfth = damped.filter(pl.col("turn") == TWELVE)
    if twelfth.height:
        found["near_optimum"] = mean_of(twelfth["short_of_optimum"])
    return found


def settling_turns(rows: pl.DataFrame, column: str) -> list[int]:
    """By draw, the first turn from which a column stays within 1 % of its last value."""
    found = []
    for _, group in rows.group_by("draw", maintain_order=True):
        values = group.sort("turn")[column].to_numpy()
        moving = np.flatnonzero(np.abs(values - values[-1]) > SETTLED * values[-1])
        found.append(int(moving[-1]) + 2 if len(moving) else 1)
    return found


def of_rival(rows: pl.DataFrame, petcon: Petcon) -> dict[str, Estimate]:
    """At the middle one of its speeds."""
    step = sorted(petcon.rival_steps)[len(petcon.rival_steps) // 2]
    return {"rival_turns": mean_of(rows.filter(pl.col("step") == step)["turns"])}


def of_hybrid(rows: pl.DataFrame) -> dict[str, Estimate]:
    """In how many draws each statement of Fig. 6 holds."""
    prices = rows["price"].unique().sort().to_list()
    alone = rows.filter((pl.col("grid") == "none") & (pl.col("price") == prices[0])).sort("draw")
    low, high = (
        rows.filter((pl.col("grid") == "sells") & (pl.col("price") == price)).sort("draw")
        for price in (prices[0], prices[-1])
    )
    change = (high["buying_price"] / alone["buying_price"] - 1).abs()
    with_grid = rows.filter(pl.col("grid") != "none")
    welfare = with_grid.join(alone.select("draw", petcon_alone="welfare"), on="draw")
    better = welfare.with_columns(
        better=pl.col("petcon_alone") > pl.col("welfare") + SAME * pl.col("petcon_alone").abs()
    )
    buys = rows.filter(pl.col("grid") == "buys")
    return {
        "hybrid_cheaper": share_of(low["buying_price"] < alone["buying_price"]),
        "hybrid_sends_more": share_of(low["sent_kwh_a_buyer"] > alone["sent_kwh_a_buyer"]),
        "hybrid_same_if_dear": share_of(change < SAME),
        "selling_price_rises": share_of(_goes(buys, "selling_price", 1.0)),
        "usable_falls": share_of(_goes(buys, "usable_kwh_a_seller", -1.0)),
        "hybrid_welfare": share_of(
            better.group_by("draw", maintain_order=True).agg(pl.col("better").any())["better"]
        ),
    }


def _goes(rows: pl.DataFrame, column: str, sign: float) -> list[bool]:
    """By draw, whether a column goes up (down) with the grid's price, and never the other way."""
    found = []
    for _, group in rows.group_by("draw", maintain_order=True):
        values = sign * group.sort("price")[column].to_numpy()
        steps = np.diff(values)
        found.append(bool(np.all(steps >= -SAME * np.abs(values[0])) and values[-1] > values[0]))
    return found


def of_secrets(rows: pl.DataFrame, noise: pl.DataFrame) -> dict[str, Estimate]:
    """What two rounds told, and what hiding it by noise did."""
    found = {
        "weights_told": mean_of(rows["weights_known"]),
        "minima_told": mean_of(rows["minima_known"]),
        "costs_told": mean_of(rows["costs_known"]),
    }
    some = noise.filter(pl.col("size") == NOISE)
    if some.height:
        found["noise_cost"] = mean_of(some["relative_gap"])
        found["noise_hides"] = mean_of(some["weight_error"].drop_nulls())
    return found
