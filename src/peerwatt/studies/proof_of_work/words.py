"""What the study's page says.

Knows means by scheme, estimates and the page's parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.reporting.page_parts import Html, table
from peerwatt.reporting.study_page import Section
from peerwatt.studies.estimates import Estimate
from peerwatt.studies.proof_of_work.figures import FAULTS, MANY, NAMES
from peerwatt.studies.proof_of_work.setting import Setting


def lead(found: Mapping[str, Estimate]) -> list[str]:
    """What it comes to, in a few lines."""
    texts = []
    if {"finality_by_votes", "energy_by_votes", "messages_by_votes"} <= found.keys():
        texts.append(
            f"The minute is the race, and the race is a choice. The same consortium agrees by "
            f"votes in {found['finality_by_votes'].value:.2f} s, with "
            f"{found['messages_by_votes'].value:.2f} times the messages and one "
            f"{found['energy_by_votes'].value:,.0f}th of the energy."
        )
    if {"silent_one", "bad_blocks"} <= found.keys():
        texts.append(
            f"With one silent LAG {found['silent_one'].value:.0%} of blocks are decided, as the "
            "audit waits for all. A compromised majority has a bad block stored in "
            f"{found['bad_blocks'].value:.0%} of cases, and the LAGs that object blamed."
        )
    return texts


def sections(means: pl.DataFrame, setting: Setting) -> list[Section]:
    """The parts of the page."""
    return [
        Section(
            name="costs",
            title="A sound block",
            texts=[
                "Both schemes run on the same links with the same audits. A race of mean length "
                "T costs every LAG T seconds of hashing; the audit sends one signed result from "
                "each LAG to each, votes send two.",
            ],
            figures=[
                ("costs", "A sound block: time, messages, energy. Vertical axes are logarithmic.")
            ],
            table=_costs(means),
        ),
        Section(
            name="leaders",
            title="Two leaders",
            texts=[
                "While news of a hash is under way another LAG may find one. The paper does not "
                "say what happens then. Here the earlier one counts, and what was audited of the "
                "later one was in vain.",
            ],
            figures=[("leaders", "Points have 95% intervals; lines are exact.")],
        ),
        Section(
            name="faults",
            title="Faults",
            texts=[
                "Blame falls on who is in the minority after the second look; the paper says that "
                "compromised LAGs are found out and not how. Votes blame nobody for a vote: the "
                "block is decided without it.",
            ],
            figures=[("faults", "What becomes of blocks, and how often a good LAG is blamed.")],
            table=_faults(means),
        ),
        Section(
            name="assumed",
            title="What is assumed",
            texts=[
                f"Ours, as the paper gives no number but the minute: {setting.latency_s:g} s and "
                f"more on each link, blocks of {setting.block_bytes / 1000:g} kB, audits of "
                f"{setting.audit_s:g} s, {setting.mining_w:g} W a LAG while it races and "
                f"{setting.audit_w:g} W while it audits, one LAG with {setting.strongest:g} times "
                "the hash rate of any other. Energy is in proportion to the assumed power; "
                "config.json has every number, and --set changes it.",
                "Not modelled: lost messages, links that part, LAGs that tell different members "
                "different things.",
            ],
        ),
    ]


def _costs(means: pl.DataFrame) -> Html:
    # Votes do not race: their rows differ from race to race by nothing.
    once = (pl.col("scheme") == "race") | (pl.col("race_s_mean") == pl.col("race_s_mean").max())
    sound = means.filter((pl.col("fault") == "none") & once)
    rows = sound.sort("race_s_mean", "members", descending=[True, False])
    return table(
        ("Scheme", "LAGs", "Race, s", "Final, s", "Messages", "Sent, MB", "Energy, kJ", "Two lead"),
        [
            (
                NAMES[row["scheme"]],
                str(row["members"]),
                f"{row['race_s_mean']:g}" if row["scheme"] == "race" else "–",
                "never" if row["finality_s"] is None else f"{row['finality_s']:.2f}",
                f"{row['messages']:,.0f}",
                f"{row['sent_bytes'] / 1e6:.2f}",
                f"{row['energy_j'] / 1000:,.3g}",
                f"{row['two_leaders']:.1%}" if row["scheme"] == "race" else "–",
            )
            for row in rows.iter_rows(named=True)
        ],
        numbers=range(1, 8),
    )


def _faults(means: pl.DataFrame) -> Html:
    rows = means.filter(pl.col("fault") != "none")
    return table(
        (
            *("Fault", "How many", "Scheme", "LAGs", "Decided", "Bad stored"),
            *("Faulty blamed", "Good blamed", "Rounds"),
        ),
        [
            (
                FAULTS[row["fault"]],
                MANY[row["how_many"]],
                row["scheme"],
                str(row["members"]),
                f"{row['decided']:.0%}",
                f"{row['bad_stored']:.0%}",
                f"{row['faulty_blamed']:.0%}",
                f"{row['innocent_blamed']:.0%}",
                f"{row['rounds']:.2f}",
            )
            for row in rows.iter_rows(named=True)
        ],
        numbers=range(3, 9),
        tall="Every fault",
    )
