"""A day with rewards: who sold most by the meter is paid, out of what the operator gave."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from peerwatt.audit.folder import verify_folder
from peerwatt.records.bundles import Verdict
from peerwatt.records.codec import decode
from peerwatt.records.market import Round, SettledAward, Side
from peerwatt.simulation.founding import SETUP_LEAD_S
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.timetable import REPORT_LAG_S
from peerwatt.units import S_PER_H, UCOIN_PER_COIN


def sold_wh(run: DayRun) -> dict[int, Counter[bytes]]:
    """What every wallet sold by its meter, by the epoch in which that was settled."""
    host, start_s = run.world.host, run.day.start_s - SETUP_LEAD_S
    found: dict[int, Counter[bytes]] = {}
    for key, each in host.items("rounds"):
        market_round: Round = each
        epoch = (market_round.slot_end_s + REPORT_LAG_S - start_s) // (12 * S_PER_H)
        for _, data in host.sealed("settlements", key):
            row = decode(data, SettledAward)
            if row.side == Side.SELL and row.metered_wh:
                found.setdefault(epoch, Counter())[row.owner] += row.metered_wh
    return found


def test_the_largest_seller_of_each_epoch_that_ended_is_paid(fresh_run: DayRun) -> None:
    events = [event for _, event in fresh_run.world.host.events()]
    paid = [event.key[-32:] for event in events if event.kind == "contribution_rewarded"]
    sold = sold_wh(fresh_run)
    assert len(paid) == 2
    for epoch, wallet in enumerate(paid):
        most = max(sold[epoch].values())
        assert wallet == min(key for key, wh in sold[epoch].items() if wh == most)


def test_the_summary_says_what_was_given_and_paid(fresh_run: DayRun) -> None:
    rewards = fresh_run.summary["rewards"]
    assert rewards["given_ucoin"] == 20 * UCOIN_PER_COIN
    cent = UCOIN_PER_COIN // 100
    assert rewards["paid_ucoin"] == 2 * UCOIN_PER_COIN + rewards["blocks"] * cent
    assert rewards["left_ucoin"] == rewards["given_ucoin"] - rewards["paid_ucoin"]
    assert rewards["contributions"] == 2


def test_a_folder_with_rewards_and_fresh_wallets_is_verified(fresh_folder: Path) -> None:
    report = verify_folder(fresh_folder)
    assert [each.text for each in report.findings if each.verdict is Verdict.FAILS] == []
    page = (fresh_folder / "report.html").read_text(encoding="utf-8")
    assert "Rewards are apart from this: of $20.00 that members gave" in page


def test_a_day_without_rewards_says_nothing_of_them(small_run: DayRun) -> None:
    assert "rewards" not in small_run.summary
    assert small_run.world.host.get("reward_terms", b"terms") is None
