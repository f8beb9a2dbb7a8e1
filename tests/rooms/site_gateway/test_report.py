"""What is reported is what the meters signed; what is not is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from peerwatt.records.codec import decode
from peerwatt.records.readings import SignedReading, sign_reading
from peerwatt.records.signing import derive_key
from peerwatt.records.transactions import ReportReadings, Transaction, decode_message
from peerwatt.site_gateway.dispatch import Target
from peerwatt.site_gateway.report import Report, report_readings

CHAIN = "sim-test"
ROUND = bytes(8) + b"jpl"
OPERATOR = derive_key(1, "operator", CHAIN)

SiteOf = Callable[..., Any]
TargetOf = Callable[[int, int], Target]


@pytest.fixture
def site(site_of: SiteOf) -> Any:
    site = site_of(5)
    for place in range(5):
        site.plug_in(place)
    return site


@pytest.fixture
def readings(site: Any, target: TargetOf) -> dict[str, SignedReading]:
    return dict(site.run_slot([target(place, 100 + place) for place in range(5)]).signed)


def report(
    site: Any, readings: dict[str, SignedReading], per_message: int = 1_000, nonce: int = 7
) -> Report:
    return report_readings(
        readings,
        registered=site.keys,
        start_s=site.hub.now_s - 900,
        end_s=site.hub.now_s,
        round_id=ROUND,
        operator=OPERATOR,
        chain_id=CHAIN,
        nonce=nonce,
        valid_until_s=site.hub.now_s + 900,
        per_message=per_message,
    )


def messages(report: Report) -> list[ReportReadings]:
    """The messages, each of whose transactions the operator has signed."""
    found = []
    for data in report.transactions:
        transaction = decode(data, Transaction)
        assert transaction.is_signed(OPERATOR.public, CHAIN)
        message = decode_message(transaction.message)
        assert isinstance(message, ReportReadings)
        found.append(message)
    return found


def test_main_meter_first_then_ports_in_order(
    site: Any, readings: dict[str, SignedReading]
) -> None:
    (message,) = messages(report(site, readings))
    assert (message.signer, message.nonce, message.round_id) == (OPERATOR.public, 7, ROUND)
    ports = ["", "p0", "p1", "p2", "p3", "p4"]
    assert [signed.reading.meter for signed in message.readings] == [site.keys[p] for p in ports]
    assert [signed.reading.imported_wh for signed in message.readings] == [
        510, 100, 101, 102, 103, 104,
    ]  # fmt: skip
    assert all(signed.is_signed(CHAIN) for signed in message.readings)


def test_parts_are_bounded_and_their_nonces_rise(
    site: Any, readings: dict[str, SignedReading]
) -> None:
    done = report(site, readings, per_message=4)
    assert [len(message.readings) for message in messages(done)] == [4, 2]
    assert [message.nonce for message in messages(done)] == [7, 8]
    assert done.next_nonce == 9
    for bad in (0, 1_001):
        with pytest.raises(ValueError, match="per_message"):
            report(site, readings, per_message=bad)


def test_bad_readings_are_dropped_and_named(site: Any, readings: dict[str, SignedReading]) -> None:
    thief = derive_key(1, "thief", CHAIN)
    more = replace(readings["p0"].reading, import_end_wh=10**6)
    readings["p0"] = replace(readings["p0"], reading=more)
    readings["p1"] = sign_reading(replace(readings["p1"].reading, meter=thief.public), thief, CHAIN)
    readings["p2"] = sign_reading(
        readings["p2"].reading, derive_key(1, "meter 2", CHAIN), "sim-other"
    )
    readings["p3"] = resigned(readings["p3"], "meter 3", start_s=0)
    readings["p4"] = resigned(readings["p4"], "meter 4", export_start_wh=5)
    readings["p9"] = readings["roof"] = readings[""]
    done = report(site, readings)
    assert [(each.port, each.why.split(":")[0]) for each in done.dropped] == [
        ("p0", "signature"),
        ("p1", "meter"),
        ("p2", "signature"),
        ("p3", "start_s, end_s"),
        ("p4", "import_end_wh, export_end_wh"),
        ("p9", "no meter is registered at this port"),
        ("roof", "meter"),
    ]
    assert all(each.reading is readings[each.port] for each in done.dropped)
    (message,) = messages(done)
    assert message.readings == (readings[""],)


def test_nothing_good_is_no_message(site: Any, readings: dict[str, SignedReading]) -> None:
    done = report(site, {"p9": readings["p0"]})
    assert (done.transactions, done.next_nonce, len(done.dropped)) == ((), 7, 1)


def resigned(signed: SignedReading, meter: str, **changes: int) -> SignedReading:
    """What a broken meter would sign with its own key."""
    return sign_reading(replace(signed.reading, **changes), derive_key(1, meter, CHAIN), CHAIN)
