"""What the tables say of each claim.

Knows their columns and how estimates are made.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.studies.estimates import Estimate, mean_of, share_of
from peerwatt.studies.v2v.lies import WAYS
from peerwatt.studies.v2v.parameters import V2V
from peerwatt.studies.v2v.sizes import RULES

ROUNDING = 1e-9


def estimates(tables: Mapping[str, pl.DataFrame], v2v: V2V) -> dict[str, Estimate]:
    """By claim, as far as there are tables."""
    found: dict[str, Estimate] = {}
    if "rounds" in tables:
        found |= of_rounds(tables["rounds"].filter(pl.col("adjustment") == v2v.adjustment))
    if "lies" in tables:
        rows = tables["lies"]
        found |= {f"lie_{way}": share_of(rows[f"{way}_pays"]) for way in WAYS}
    if "sizes" in tables:
        found |= of_sizes(tables["sizes"])
    return found


def of_rounds(rows: pl.DataFrame) -> dict[str, Estimate]:
    """Of both rounds at one adjustment."""
    trades = rows.filter(pl.col("second_kwh") > 0)
    traded = rows["first_kwh"] + rows["second_kwh"]
    return {
        "buyers_lose": pooled(rows["buyers_losing"], rows["buyers"]),
        "sellers_lose": pooled(rows["sellers_losing"], rows["sellers"]),
        "losers_lose": pooled(rows["losers_losing"], rows["losers"]),
        "signs_beyond": share_of(rows["signs_beyond"]),
        "signs_beyond_held": share_of(rows["signs_beyond_held"]),
        "second_destroys": share_of(trades["second_welfare"] < -ROUNDING),
        "refused": pooled(rows["second_kwh_free"], rows["second_kwh"]),
        "crosses": share_of(rows["crosses"].drop_nulls()),
        "crosses_held": share_of(rows["crosses_held"].drop_nulls()),
        "deficit": share_of(rows["surplus"] < -ROUNDING),
        "deficit_held": share_of(rows["surplus_held"] < -ROUNDING),
        "all_allocated": share_of(rows["all_allocated"]),
        "sold_of_have": pooled(traded, rows["have_kwh"]),
        "plan_done": pooled(traded, rows["planned_kwh"]),
        "grid_betters": share_of(trades["grid_betters"]),
        "grid_betters_held": share_of(rows["grid_betters_held"].drop_nulls()),
        "kept_held": mean_of(rows["kept_held"].drop_nulls()),
    }


def of_sizes(rows: pl.DataFrame) -> dict[str, Estimate]:
    """Welfare over the best, and by how much adding up energy betters counting orders."""
    found: dict[str, Estimate] = {}
    for (size,), group in rows.group_by("size", maintain_order=True):
        for rule in RULES:
            found[f"{rule}_{size}"] = mean_of(group[rule])
        found[f"volume_betters_{size}"] = mean_of(group["volume"] - group["count"])
        found[f"huang_betters_{size}"] = mean_of(group["huang"] - group["count"])
    return found


def pooled(hits: pl.Series, of: pl.Series) -> Estimate:
    """All markets' hits over all of what they are of. Markets are independent and what is in one
    of them is not, so that the interval is that of the ratio's linear part over markets."""
    whole = float(of.sum())
    if whole <= 0:
        raise ValueError("nothing to take the share of")
    ratio = float(hits.sum()) / whole
    found = mean_of(ratio + (hits - ratio * of) * (len(of) / whole))
    return Estimate(ratio, found.low, found.high, found.draws)
