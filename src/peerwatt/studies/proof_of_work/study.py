"""The study: both schemes make the same blocks on the same links, sound and with faults.

Knows the two schemes and what their blocks come to. Every block has its own stream of chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import numpy as np
import polars as pl

from peerwatt.studies.estimates import Estimate, exact, mean_of, share_of
from peerwatt.studies.proof_of_work.consortium import race_for_block
from peerwatt.studies.proof_of_work.figures import costs, faults, leaders
from peerwatt.studies.proof_of_work.race import (
    difficulty_for,
    leader_share,
    two_leaders_chance,
)
from peerwatt.studies.proof_of_work.setting import Setting
from peerwatt.studies.proof_of_work.votes import vote_for_block
from peerwatt.studies.proof_of_work.words import lead, sections
from peerwatt.studies.study import Conclusion, Row, Study, Tables

RACE, VOTES = "race", "votes"
SCHEMES = {RACE: race_for_block, VOTES: vote_for_block}
PAPER_RACE_S = 60.0
SHORT_RACE_S = 1.0
"""In longer ones two leaders are too rare to be counted."""


def blocks_of(setting: Setting) -> int:
    """Faults are tried with the paper's minute alone: they have nothing to do with the race."""
    if setting.fault == "none":
        return setting.blocks if setting.faulty == "one" else 0
    return setting.blocks if setting.race_s == PAPER_RACE_S else 0


def run(setting: Setting, draws: range) -> Tables:
    """Table `blocks`: a row a block and scheme."""
    point = {
        "members": setting.members,
        "race_s_mean": setting.race_s,
        "fault": setting.fault,
        "faulty": setting.faulty_members,
        "how_many": setting.faulty if setting.fault != "none" else "none",
    }
    rows: list[Row] = []
    for draw in draws:
        for scheme, make in SCHEMES.items():
            chance = np.random.default_rng([setting.seed, draw, scheme == VOTES])
            rows.append(point | {"scheme": scheme, "draw": draw} | asdict(make(setting, chance)))
    return {"blocks": rows}


def conclude(tables: Mapping[str, pl.DataFrame], setting: Setting) -> Conclusion:
    """Claims of the paper, and our own, from all blocks."""
    blocks = tables["blocks"]
    found = _Found(blocks, setting)
    estimates = {name: value for name, value in found.estimates().items() if value is not None}
    means = _means(blocks)
    return Conclusion(
        estimates=estimates,
        facts={"means": means.to_dicts()},
        lead=lead(estimates),
        sections=sections(means, setting),
        figures={
            "costs": lambda: costs(means),
            "faults": lambda: faults(means),
            "leaders": lambda: leaders(_leaders(blocks, setting), _theory(blocks, setting)),
        },
    )


class _Found:
    """What the blocks say of each claim; None where they cannot."""

    def __init__(self, blocks: pl.DataFrame, setting: Setting) -> None:
        self._blocks, self._setting = blocks, setting
        sizes = blocks["members"].unique().sort().to_list()
        self._smallest, self._largest = sizes[0], sizes[-1]
        # Ten is the size at which a third and a half are told apart without waiting long.
        self._size = 10 if 10 in sizes else self._largest
        self._minute: float = max(blocks["race_s_mean"].to_list())

    def estimates(self) -> dict[str, Estimate | None]:
        sound = self._of(RACE, "none", "none", race_s=self._minute)
        voted = self._of(VOTES, "none", "none", race_s=self._minute)
        liars = self._of(RACE, "lying-audit", "third").filter(~pl.col("leader_faulty"))
        most = self._of(RACE, "lying-audit", "most")
        return {
            "minute": self._finality(self._size),
            "size_when_tuned": self._by_size(),
            "size_when_fixed": self._by_size_untuned(),
            "liars_blamed": _share(liars["blamed_faulty"] == liars["faulty"]),
            "innocent_blamed": _share(most["blamed_good"] > 0),
            "bad_blocks": _share(self._of(RACE, "bad-block", "most")["bad_stored"]),
            "bad_blocks_by_votes": _share(self._of(VOTES, "bad-block", "most")["bad_stored"]),
            "silent_one": _share(self._of(RACE, "silent", "one")["decided"]),
            "silent_third_by_votes": _share(self._of(VOTES, "silent", "third")["decided"]),
            "two_leaders": self._two_leaders(),
            "strongest_leads": self._strongest(),
            "finality_by_votes": _mean(voted["finality_s"]),
            "messages_by_votes": _ratio(_mean(voted["messages"]), _mean(sound["messages"])),
            "energy_by_votes": _ratio(_mean(sound["energy_j"]), _mean(voted["energy_j"])),
        }

    def _of(
        self,
        scheme: str,
        fault: str,
        how_many: str,
        *,
        members: int | None = None,
        race_s: float | None = None,
    ) -> pl.DataFrame:
        chosen = self._blocks.filter(
            (pl.col("scheme") == scheme)
            & (pl.col("fault") == fault)
            & (pl.col("how_many") == how_many)
            & (pl.col("members") == (self._size if members is None else members))
        )
        return chosen if race_s is None else chosen.filter(pl.col("race_s_mean") == race_s)

    def _finality(self, members: int) -> Estimate | None:
        """The race's known mean, and what is measured of the rest."""
        rows = self._of(RACE, "none", "none", members=members, race_s=self._minute)
        if not rows.height:
            return None
        rest = mean_of((rows["finality_s"] - rows["race_s"]).to_list())
        mean_s = float(rows["race_s_mean"][0])
        return Estimate(mean_s + rest.value, mean_s + rest.low, mean_s + rest.high, rest.draws)

    def _by_size(self) -> Estimate | None:
        return _ratio(self._finality(self._largest), self._finality(self._smallest))

    def _by_size_untuned(self) -> Estimate | None:
        """Difficulty as it is right for the smallest network, in the largest one."""
        small, large = (
            self._setting.model_copy(update={"members": members}).hash_rates.sum()
            for members in (self._smallest, self._largest)
        )
        return exact(small / large) if small < large else None

    def _two_leaders(self) -> Estimate | None:
        rows = _leaders(self._blocks, self._setting).filter(
            (pl.col("members") == self._size) & (pl.col("race_s_mean") == SHORT_RACE_S)
        )
        if not rows.height:
            return None
        last = rows.row(0, named=True)
        theory = last["theory"]
        low, high = last["low"] / theory, last["high"] / theory
        return Estimate(last["measured"] / theory, low, high, last["blocks"])

    def _strongest(self) -> Estimate | None:
        rows = self._of(RACE, "none", "none", race_s=self._minute)
        share = _share(rows["leader"] == 0)
        rates = self._setting.model_copy(update={"members": self._size}).hash_rates
        return _ratio(share, exact(float(leader_share(rates)[0])))


def _leaders(blocks: pl.DataFrame, setting: Setting) -> pl.DataFrame:
    """How often there were two leaders in sound races, beside theory."""
    rows = []
    sound = blocks.filter((pl.col("scheme") == RACE) & (pl.col("fault") == "none"))
    for (members, race_s), group in sound.group_by("members", "race_s_mean", maintain_order=True):
        share = share_of(group["two_leaders"])
        rows.append(
            {
                "members": members,
                "race_s_mean": race_s,
                "blocks": share.draws,
                "measured": share.value,
                "low": share.low,
                "high": share.high,
                "theory": _two_lead(setting, int(str(members)), float(str(race_s))),
            }
        )
    return pl.DataFrame(rows)


def _theory(blocks: pl.DataFrame, setting: Setting) -> pl.DataFrame:
    """The same by theory, for races between the shortest and the longest."""
    measured = blocks["race_s_mean"].to_list()
    races = np.geomspace(min(measured), max(measured), 60).tolist()
    rows = [
        {"members": size, "race_s_mean": race_s, "theory": _two_lead(setting, size, race_s)}
        for size in blocks["members"].unique().sort().to_list()
        for race_s in races
    ]
    return pl.DataFrame(rows)


def _two_lead(setting: Setting, members: int, race_s: float) -> float:
    rates = setting.model_copy(update={"members": members}).hash_rates
    delay_s = setting.latency_s + setting.block_bytes / setting.bytes_per_s
    return two_leaders_chance(rates, difficulty_for(rates, race_s), delay_s, setting.jitter_s)


def _means(blocks: pl.DataFrame) -> pl.DataFrame:
    """What blocks of one kind come to on average."""
    keys = ["scheme", "members", "race_s_mean", "fault", "how_many"]
    return blocks.group_by(keys, maintain_order=True).agg(
        pl.len().alias("blocks"),
        pl.col("decided", "two_leaders", "bad_stored").mean(),
        pl.col("finality_s", "messages", "sent_bytes", "energy_j", "rounds").mean(),
        (pl.col("blamed_good") > 0).mean().alias("innocent_blamed"),
        (pl.col("blamed_faulty") > 0).mean().alias("faulty_blamed"),
    )


def _share(hits: Iterable[bool]) -> Estimate | None:
    sample = list(hits)
    return share_of(sample) if sample else None


def _mean(values: pl.Series) -> Estimate | None:
    known = values.drop_nulls().to_list()
    return mean_of(known) if known else None


def _ratio(above: Estimate | None, below: Estimate | None) -> Estimate | None:
    """Of two independent means, with the interval of their logarithms' difference."""
    if above is None or below is None or min(above.value, below.value) <= 0:
        return None
    value = above.value / below.value
    spread = np.hypot(
        (above.high - above.low) / (2 * above.value), (below.high - below.low) / (2 * below.value)
    )
    low, high = value * np.exp(-spread), value * np.exp(spread)
    return Estimate(value, float(low), float(high), min(above.draws, below.draws))


STUDY = Study(
    name="proof-of-work",
    parameters=Setting,
    draws=blocks_of,
    run=run,
    conclude=conclude,
)
