"""Three lies: turned away at admission, refused on record, and without effect on anybody."""

from __future__ import annotations

from typing import Any

import pytest

from peerwatt.records.codec import decode
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import PlaceBuyOrder, ReportReadings, Transaction, decode_message
from peerwatt.simulation.attacks import FORGED_WH, PORT
from peerwatt.simulation.consortium import CLOCK
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.world import World

LIES = [
    ("PlaceBuyOrder", Reason.WRONG_NONCE, "nonce"),
    ("PlaceBuyOrder", Reason.UNFUNDED, "max_wh"),
    ("ReportReadings", Reason.BAD_READING_SIGNATURE, "readings[0].signature"),
]


@pytest.fixture(scope="module")
def honest(demo_run: DayRun, jpl_sessions: Any) -> DayRun:
    run = DayRun(demo_run.config, jpl_sessions)
    run.found(World)
    run.live()
    return run


def test_each_lie_is_refused_at_admission_and_on_record(demo_run: DayRun) -> None:
    for where in ("admission", "block"):
        rows = [row for row in demo_run.tables["refused"].to_dicts() if row["where"] == where]
        found = [(row["message"], Reason(row["reason"]), row["field"]) for row in rows]
        assert found == LIES
        assert [row["words"] for row in rows] == [reason.words for _, reason, _ in LIES]
    assert demo_run.tables["refused"].height == 2 * len(LIES)
    assert [r.reason for r in demo_run.world.host.refused] == [int(reason) for _, reason, _ in LIES]


def refused_messages(run: DayRun) -> list[Any]:
    """What the refused transactions of record said."""
    host = run.world.host
    return [
        decode_message(decode(data, Transaction).message)
        for height in range(1, host.height + 1)
        for data, receipt in zip(
            host.block(height).transactions, host.receipts(height), strict=True
        )
        if not receipt.ok
    ]


def test_the_lies_are_what_they_are_said_to_be(demo_run: DayRun) -> None:
    host = demo_run.world.host
    _, overdrawn, forged = refused_messages(demo_run)
    receipts = demo_run.tables["receipts"]
    twice = receipts.filter(receipts["transaction_id"].is_duplicated())
    assert twice["reason_name"].to_list() == ["OK", "WRONG_NONCE"], "a replay: the very same bytes"
    assert set(twice["message"]) == {"PlaceBuyOrder"}
    assert isinstance(overdrawn, PlaceBuyOrder)
    guest = demo_run.world.keys.wallet(PORT).public
    assert overdrawn.signer == guest
    assert host.get("accounts", guest).free_ucoin == 0
    assert isinstance(forged, ReportReadings)
    (signed,) = forged.readings
    truth = next(
        each
        for slot in demo_run.world.readings.values()
        for each in slot.values()
        if each.reading.start_s == signed.reading.start_s
        and each.reading.meter == signed.reading.meter
    )
    assert signed.reading.exported_wh == truth.reading.exported_wh + FORGED_WH


def test_the_day_is_that_of_honest_people(demo_run: DayRun, honest: DayRun) -> None:
    lied, truth = demo_run.world.host, honest.world.host
    for name in ("rounds", "orders", "awards", "readings", "cars"):
        assert demo_run.tables[name].equals(honest.tables[name]), name
    keys = demo_run.world.keys
    clock, guest = keys.key(CLOCK).public, keys.wallet(PORT).public
    operator = keys.key("aggregator").public
    accounts, expected = dict(lied.items("accounts")), dict(truth.items("accounts"))
    mine = accounts.pop(guest)
    assert (mine.free_ucoin, mine.held_ucoin, mine.nonce) == (0, 0, 2)
    for key, account in expected.items():
        coins_alone = key in (operator, clock)
        same = ("free_ucoin", "held_ucoin") if coins_alone else account.__struct_fields__
        found = [getattr(accounts[key], name) for name in same]
        assert found == [getattr(account, name) for name in same]
    assert accounts.keys() == expected.keys()
    # A block for the guest to come in; its port, its check-in, and the refused report.
    assert accounts[clock].nonce == expected[clock].nonce + 1
    assert accounts[operator].nonce == expected[operator].nonce + 3
    same = ("energy_wh", "money_ucoin", "rounds", "baselines", "captured")
    assert {k: demo_run.summary[k] for k in same} == {k: honest.summary[k] for k in same}
    assert honest.tables["refused"].height == 0


def test_the_small_day_is_lied_to_as_well(small_run: DayRun) -> None:
    rows = small_run.tables["refused"].to_dicts()
    found = [(row["message"], Reason(row["reason"]), row["field"]) for row in rows]
    assert found == LIES * 2
