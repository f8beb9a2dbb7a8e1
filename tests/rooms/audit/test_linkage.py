"""Joining orders: each kind of evidence on orders made up by hand, and on two whole days."""

from __future__ import annotations

from typing import Any

import pytest

from peerwatt.audit.lessons import LESSONS
from peerwatt.audit.linkage import EVIDENCE, Seen, linkage, seen_orders
from peerwatt.records.market import Mechanism
from peerwatt.reporting.linkage import Joined, linkage_plot
from peerwatt.simulation.cast import ROOF
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.tables import mechanism_name


def seen(at: int, slot: int, **changes: Any) -> Seen:
    """An order in a slot, of a wallet, port, stay and deposit of its own."""
    usual: dict[str, Any] = {
        "order_id": bytes([at]) * 32,
        "slot": slot.to_bytes(8, "big"),
        "wallet": bytes([at]) * 32,
        "place": f"site/p{at}",
        "stay": at,
        "deposit": (at, at),
        "group": bytes([at]) * 32,
        "side": "buy",
        "figures": (0, 1_000 * at, 400, 200),
    }
    return Seen(**(usual | changes))


def joined(evidence: str, orders: list[Seen], cars: str) -> Joined:
    """What one kind joins; `cars` has a letter for each order."""
    truth = {order.order_id: car for order, car in zip(orders, cars, strict=True)}
    [found] = [each for each in linkage(orders, truth) if each.evidence == evidence]
    return found


ALIKE: dict[str, dict[str, Any]] = {
    "wallet": {"wallet": b"w" * 32},
    "port, meter": {"place": "site/p"},
    "port and time": {"stay": 99},
    "funding": {"deposit": (7, 7)},
    "transfers": {"group": b"g" * 32},
}


@pytest.mark.parametrize("evidence", ALIKE)
def test_orders_that_are_alike_are_joined(evidence: str) -> None:
    alike = ALIKE[evidence]
    orders = [seen(1, 1, **alike), seen(2, 1), seen(3, 2, **alike), seen(4, 3, **alike)]
    found = joined(evidence, orders, "abaa")
    assert (found.later, found.guessed, found.right) == (2, 2, 2)
    assert (found.cars, found.whole) == (1, 1)
    wrong = joined(evidence, orders, "abca")
    assert (wrong.later, wrong.guessed, wrong.right) == (1, 2, 0)
    assert (wrong.cars, wrong.whole) == (1, 0), "another car is in its chain"


def test_orders_of_one_slot_are_not_joined() -> None:
    same = ALIKE["wallet"]
    assert joined("wallet", [seen(1, 1, **same), seen(2, 1, **same)], "aa").guessed == 0


def test_a_transfer_joins_wallets_and_not_a_wallet_with_itself() -> None:
    same = ALIKE["transfers"] | ALIKE["wallet"]
    assert joined("transfers", [seen(1, 1, **same), seen(2, 2, **same)], "aa").guessed == 0


def test_the_nearest_figures_of_the_slot_before_are_chosen() -> None:
    ask = {"side": "sell", "figures": (900, 150, 10)}
    orders = [
        seen(1, 1, figures=(0, 2_000, 400, 200)),
        seen(2, 1, figures=(0, 1_000, 400, 200)),
        seen(3, 1, **ask),
        seen(4, 2, figures=(0, 990, 400, 200)),
        seen(5, 2, **ask | {"figures": (400, 150, 10)}),
        seen(6, 4, figures=(0, 990, 400, 200)),
    ]
    found = joined("amounts, prices", orders, "abcbcb")
    assert (found.later, found.guessed, found.right) == (3, 3, 3)


def test_whoever_is_not_known_is_left_out() -> None:
    orders = [seen(1, 1, **ALIKE["wallet"]), seen(2, 2, **ALIKE["wallet"])]
    rows = linkage(orders, {orders[1].order_id: "a"})
    assert [each.evidence for each in rows] == list(EVIDENCE)
    assert all((each.later, each.guessed, each.found, each.sure) == (0,) * 4 for each in rows)


def shares(run: DayRun) -> dict[str, float]:
    truth = {
        bytes.fromhex(row["order_id"]): row["car"]
        for row in run.tables["orders"].iter_rows(named=True)
        if row["car"] != ROOF
    }
    return {each.evidence: each.found for each in linkage(seen_orders(run.world.host), truth)}


def test_fresh_wallets_hide_all_but_the_port(small_run: DayRun, fresh_run: DayRun) -> None:
    session, fresh = shares(small_run), shares(fresh_run)
    assert session["wallet"] == 1
    assert fresh["wallet"] == fresh["transfers"] == 0
    assert fresh["funding"] == fresh["a blind guess"] < session["funding"]
    assert fresh["port and time"] == fresh["all together"] == 1


def test_of_every_mechanism_it_is_said_what_it_gives_away() -> None:
    assert set(LESSONS) == {mechanism_name(each) for each in Mechanism}


def test_the_plot_has_a_bar_for_each_day_and_evidence() -> None:
    rows = [Joined(name, 10, 8, at, 2, 1) for at, name in enumerate(EVIDENCE)]
    figure = linkage_plot({"one": rows, "other": rows})
    [axes] = figure.axes
    assert len(axes.patches) == 2 * len(EVIDENCE)
    assert [patch.get_width() for patch in axes.patches[: len(rows)]] == [
        10 * at for at in range(len(rows))
    ]
