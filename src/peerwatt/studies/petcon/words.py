"""What the study's page says.

Knows estimates, tables and the page's parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from peerwatt.reporting.page_parts import Html, table
from peerwatt.reporting.study_page import Section
from peerwatt.studies.estimates import Estimate
from peerwatt.studies.petcon.parameters import Petcon

Found = Mapping[str, Estimate]
Tables = Mapping[str, pl.DataFrame]


def lead(tables: Tables, found: Found) -> list[str]:
    """What it comes to, in a few lines."""
    value = {name: estimate.value for name, estimate in found.items()}
    texts = []
    if "auctions" in tables:
        damped = float(tables["auctions"]["damped_converged"].to_numpy().mean())
        texts = [
            f"Found: {value['iterations']:.1f} iterations, an average payment of "
            f"{value['payment']:.2f} and a reward of {value['reward']:.2f} dollars, where the "
            "paper has 11.9, 2.50 and 2.04. But the algorithm as printed converges in "
            f"{value['converges_as_printed']:.0%} of draws; with damped bids, of which the paper "
            f"says nothing, in {damped:.0%}.",
            f"Of charging cars {value['cars_lose']:.0%} pay more than their utility, the "
            f"auctioneer loses in {value['auctioneer_loses']:.0%} of draws, and in "
            f"{value['truthful']:.0%} a car gains by understating what charging is worth to it. "
            "Claimed is none of the three.",
        ]
    if "secrets" in tables:
        texts.append(
            f"Two rounds of bids tell {value['weights_told']:.0%} of charging cars' states of "
            "charge and needs to the last digit, and one round what discharging costs "
            f"{value['costs_told']:.0%} of the others. Claimed is that bids keep these private."
        )
    return texts


def sections(tables: Tables, found: Found, petcon: Petcon) -> list[Section]:
    """The parts of the page for which there are tables."""
    parts = []
    if "lots" in tables:
        parts.append(_setting(petcon, tables["lots"]))
    if "turns" in tables and "auctions" in tables:
        parts.append(_convergence(tables))
    if "auctions" in tables:
        parts.append(_money(tables))
    if "hybrid" in tables:
        parts.append(_hybrid(found))
    if "noise" in tables:
        parts.append(_privacy(tables["noise"], tables["secrets"]))
    return [*parts, _assumed(petcon)]


def _setting(petcon: Petcon, lots: pl.DataFrame) -> Section:
    far_km = float(lots["to_hub_km"].to_numpy().max())
    return Section(
        name="setting",
        title="Where it is set",
        texts=[
            "The paper shows 58 parking lots on a map of Austin, Texas, and prints no "
            f"coordinates. These {lots.height} are ours, drawn at random in its box, with "
            f"{petcon.hubs} hubs (aggregators), of which it does not say how many there are. The "
            f"farthest lot lies {far_km:.2f} km from its hub. The lots enter no other figure: "
            f"every draw is one lot with {petcon.buyers} charging and {petcon.sellers} "
            "discharging cars.",
        ],
        figures=[("fig4_lots", "Fig. 4 again, with lots of our own.")],
    )


def _convergence(tables: Tables) -> Section:
    rows = tables["auctions"]
    texts = [
        "As printed, a car whose marginal value falls fast answers too much energy with too low a "
        "bid, and the other way round: bids end in a cycle of two. Damped, each takes only a part "
        "of its new bid. Both use the same messages. Whoever stops by how little bids change knows "
        "nothing of how far the optimum is; the gap here is certified against it.",
    ]
    figures = [("fig5a_welfare", "Fig. 5(a): welfare by iteration; the grey line is the 12th.")]
    figures.append(("fig5b_turns", "Fig. 5(b): iterations, beside the paper's."))
    figures.append(("fig7a_energy", "Fig. 7(a): energy of the first car of each side."))
    return Section(
        name="convergence",
        title="Does it converge?",
        texts=texts,
        figures=figures,
        table=_ways(rows),
    )


def _ways(rows: pl.DataFrame) -> Html:
    names = {
        "printed": "as printed",
        "damped": "damped by one number for all",
        "adaptive": "each damps by itself",
    }
    body = []
    for way, name in names.items():
        turns, gaps = rows[f"{way}_turns"].to_numpy(), rows[f"{way}_relative_gap"].to_numpy()
        share = float(rows[f"{way}_converged"].to_numpy().mean())
        cycles = float((rows[f"{way}_period"] == 2).to_numpy().mean())
        body.append(
            (
                *(name, f"{share:.1%}", f"{cycles:.1%}", f"{turns.mean():.1f}", f"{turns.max()}"),
                *(f"{float(gaps.mean()):.2g}", f"{float(gaps.max()):.2g}"),
            )
        )
    return table(
        ("Algorithm 1", "Converge", "Cycle of two", "Iterations", "Most", "Mean gap", "Worst"),
        body,
        numbers=range(1, 7),
    )


def _money(tables: Tables) -> Section:
    rows = tables["auctions"]
    figures = [("money", "Who is left with what.")]
    if "turns" in tables:
        figures.insert(0, ("fig7b_money", "Fig. 7(b): average payment and reward."))
    printed, at_prices = (
        float(rows[f"{rules}_buyers_losing"].to_numpy().mean())
        for rules in ("printed_rules", "at_prices")
    )
    return Section(
        name="money",
        title="Who pays, who is paid, who loses",
        texts=[
            "By the printed rules a charging car pays its bids, eq. (15), and a discharging car "
            "gets the sum of its squared asks over 4 l1 and a minimum reward, eq. (16). What it "
            "gets beyond its cost is the same whatever it sells, so the reward stimulates nothing. "
            "Beside it stands a settlement at prices: every kWh is paid at its seller's marginal "
            "cost and what its limit is worth. It balances, no discharging car can lose, and "
            f"{at_prices:.0%} of charging cars do instead of {printed:.0%}: eq. (1) values their "
            "minimum, which they take at any price, at nothing.",
        ],
        figures=figures,
        table=_settlements(rows),
    )


def _settlements(rows: pl.DataFrame) -> Html:
    body = []
    for rule, name in (("printed_rules", "as printed"), ("at_prices", "at prices")):
        means = {
            column: float(rows[f"{rule}_{column}"].to_numpy().mean())
            for column in (
                *("payment", "reward", "budget", "buyer_surplus", "seller_surplus"),
                *("buyers_losing", "sellers_losing"),
            )
        }
        loses = float((rows[f"{rule}_budget"] < -1e-6).to_numpy().mean())
        body.append(
            (
                *(name, f"{means['payment']:.3f}", f"{means['reward']:.3f}"),
                *(f"{means['budget']:z.2f}", f"{loses:.0%}"),
                *(f"{means['buyer_surplus']:.3f}", f"{means['buyers_losing']:.0%}"),
                *(f"{means['seller_surplus']:.3f}", f"{means['sellers_losing']:.0%}"),
            )
        )
    return table(
        (
            *("Settlement, $", "Payment", "Reward", "Left over", "Draws with a loss"),
            *("Charging car keeps", "lose", "Discharging car keeps", "lose"),
        ),
        body,
        numbers=range(1, 9),
    )


TRENDS = ("hybrid_cheaper", "hybrid_sends_more", "hybrid_same_if_dear", "selling_price_rises")


def _hybrid(found: Found) -> Section:
    held = min(found[name].value for name in (*TRENDS, "usable_falls"))
    return Section(
        name="hybrid",
        title="Beside the grid",
        texts=[
            "In the hybrid model the grid trades, too; 70% of what it sends or is sent arrives, "
            f"against 90% between cars. Every trend of Fig. 6 holds in at least {held:.0%} of "
            "draws. Prices are those of the optimum; the paper does not say how it counts, and "
            "the printed payments come to more. What the paper concludes does not follow: the "
            "hybrid model loses more energy, and its welfare is never lower, as it can do "
            "whatever PETCON can.",
        ],
        figures=[
            ("fig6a_grid_sells", "Fig. 6(a): the grid sells."),
            ("fig6b_grid_buys", "Fig. 6(b): the grid buys."),
        ],
    )


def _privacy(noise: pl.DataFrame, secrets: pl.DataFrame) -> Section:
    moved = float(secrets["moved"].to_numpy().mean())
    rows = noise.group_by("size").agg(
        pl.col("weight_error").median(),
        pl.col("relative_gap").mean().alias("mean_gap"),
        pl.col("relative_gap").max().alias("worst"),
    )
    return Section(
        name="privacy",
        title="What bids give away",
        texts=[
            "A bid over the energy that it is for is the car's marginal value, and one over that "
            "is a straight line in its energy: two rounds with different energies give away the "
            "line, with it what charging is worth (hence the state of charge) and how much is "
            f"needed. Energies differ for {moved:.0%} of charging cars between the first two "
            "rounds. Damping hides nothing. Noise on each bid hides something, at a cost in "
            "welfare that is certified; whoever hears all rounds averages much of it away.",
        ],
        figures=[("noise", "Noise on bids: what it hides, and what it costs.")],
        table=table(
            ("Noise on each bid", "Weight uncertain by", "Welfare lost, mean", "Worst draw"),
            [
                (
                    f"{row['size']:.1%}",
                    "–" if row["weight_error"] is None else f"{row['weight_error']:.1%}",
                    f"{row['mean_gap']:.3%}",
                    f"{row['worst']:.3%}",
                )
                for row in rows.sort("size").iter_rows(named=True)
            ],
            numbers=range(1, 4),
        ),
    )


def _assumed(petcon: Petcon) -> Section:
    return Section(
        name="assumed",
        title="What is assumed",
        texts=[
            "The paper gives ranges for needs, supplies and minimum rewards, the two cost factors "
            "and both efficiencies. It gives neither states of charge nor tau; only their ratio's "
            "mean can be told from its payment. Here states are uniform from 20 to 50% and tau is "
            f"{petcon.tau:g}. Signs in its eqs. (5) to (7), (11) and (12) are taken as they must "
            f"be. First bids are all alike: {petcon.first_payment:.2f} dollars a charging car in "
            "equal parts, and what the mean supply costs.",
            "Not reproduced: the algorithm of [6], which the paper does not describe; the slow "
            "settling of Fig. 7(a).",
        ],
    )
