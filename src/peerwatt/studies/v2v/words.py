"""What the study's page says.

Knows estimates, tables and the page's parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.reporting.page_parts import Html, table
from peerwatt.reporting.study_page import Section
from peerwatt.studies.estimates import Estimate
from peerwatt.studies.v2v.findings import of_rounds
from peerwatt.studies.v2v.lies import WAYS
from peerwatt.studies.v2v.parameters import V2V
from peerwatt.studies.v2v.sizes import RULES

Found = Mapping[str, Estimate]


def lead(found: Found) -> list[str]:
    """What it comes to, in a few lines."""
    texts = []
    if "buyers_lose" in found:
        texts.append(
            f"Of the cars that buy in the second round {found['buyers_lose'].value:.0%} pay more "
            f"than energy is worth to them, and {found['sellers_lose'].value:.0%} of those that "
            "sell get less than it costs them. Its prices do meet, and nobody has to add money; "
            "with new prices held inside the grid's two nobody signs what the grid betters."
        )
    if "lie_two" in found:
        texts.append(
            f"Truth is not a dominant strategy: in {found['lie_two'].value:.0%} of small markets "
            f"a lie about a price pays where all must sign, and in "
            f"{found['lie_two_free'].value:.0%} where losers may refuse."
        )
    return texts


def sections(tables: Mapping[str, pl.DataFrame], found: Found, v2v: V2V) -> list[Section]:
    """The parts of the page, as far as they were run."""
    parts = []
    if "rounds" in tables:
        parts.append(_rounds(tables["rounds"]))
    if "lies" in tables:
        parts.append(_lies(tables["lies"], found))
    if "sizes" in tables:
        parts.append(_sizes(tables["sizes"]))
    return [*parts, _assumed(v2v)]


def _rounds(rows: pl.DataFrame) -> Section:
    def cells(adjustment: float) -> tuple[str, ...]:
        found = of_rounds(rows.filter(pl.col("adjustment") == adjustment))
        names = (
            *("buyers_lose", "sellers_lose", "losers_lose", "signs_beyond"),
            *("signs_beyond_held", "grid_betters", "crosses"),
        )
        return f"{adjustment:g}", *(f"{found[name].value:.1%}" for name in names)

    return Section(
        name="rounds",
        title="The second round",
        texts=[
            "A loser's new price lies beyond the first round's, by n - 1 times what it was short "
            "of it, eq. (4). The paper concludes that all can then trade. They can; but a car "
            "that bid what energy is worth to it lost because the price was worse for it than "
            "that, and now pays a still worse one. Only beside the grid, which is dearer still, "
            "does it gain, and only if its new price is held inside the grid's two.",
        ],
        figures=[
            ("gains", "Each market's second round by the cars' own values."),
            ("grid", "Who loses, and how often a new price is one that the grid betters, by n."),
        ],
        table=table(
            (
                *("n", "Buyers lose", "Sellers lose", "First round's losers lose"),
                *("New prices beyond the grid's", "… if held", "Grid betters P", "Prices meet"),
            ),
            [cells(each) for each in rows["adjustment"].unique().sort().to_list()],
            numbers=range(8),
        ),
    )


def _lies(rows: pl.DataFrame, found: Found) -> Section:
    return Section(
        name="lies",
        title="Lies",
        texts=[
            "One car says another price, or another quantity, while all others say the truth. In "
            "the first round taken by itself no lie about a price was found to pay. The second "
            "round's price depends on what is said in the first: a winner with energy left keeps "
            "its bid, which may then be the least of all and the price; a buyer that could win "
            "bids low, loses, and buys for less. Where losers may refuse, who said less than the "
            "truth signs a new price that is no worse than the truth. A search proves lies that "
            "pay; where it finds none, it proves only that none is easy to find.",
        ],
        figures=[("lies", "Markets in which a lie pays, with 95% intervals.")],
        table=_lie_table(rows, found),
    )


def _lie_table(rows: pl.DataFrame, found: Found) -> Html:
    whole = float(rows["best_welfare"].sum())
    return table(
        ("Game and lie", "Markets in which one pays", "Mean best gain, of best welfare"),
        [
            (
                label,
                f"{found[f'lie_{way}'].value:.1%}",
                f"{float(rows[f'{way}_gain'].sum()) / whole:.2%}",
            )
            for way, (_, label) in WAYS.items()
        ],
        numbers=(1, 2),
    )


def _sizes(rows: pl.DataFrame) -> Section:
    means = rows.group_by("size", maintain_order=True).agg(pl.col(*RULES).mean(), pl.len())
    return Section(
        name="sizes",
        title="Orders of several sizes",
        texts=[
            "The paper counts orders: k buyers with k sellers, whatever they want or have. With "
            "orders of several sizes the k-th pair is not where supply meets demand. The others "
            "find the last pair by adding up energy.",
        ],
        figures=[("sizes", "What is missing of the best welfare; the axis is logarithmic.")],
        table=table(
            ("Orders a side", "By count (paper)", "By volume", "Huang et al.", "Markets"),
            [
                (f"{size}", f"{count:.3f}", f"{volume:.3f}", f"{huang:.3f}", f"{markets}")
                for size, count, volume, huang, markets in means.sort("size").iter_rows()
            ],
            numbers=range(5),
        ),
    )


def _assumed(v2v: V2V) -> Section:
    return Section(
        name="assumed",
        title="What is assumed",
        texts=[
            "The paper has no experiment and no number, and its eqs. (1) and (3) are missing from "
            "the text. Ours: the grid's prices are "
            f"{v2v.feed_in:g} and {v2v.retail:g}; values and costs are uniform between them; 2 to "
            f"{v2v.most_cars} cars a side; n is {v2v.adjustment:g} for all in the claims. What is "
            "traded at most follows from welfare, what a car gains from its price; the paper does "
            "not say how the two go together. The shorter side of the winners is served whole.",
        ],
    )
