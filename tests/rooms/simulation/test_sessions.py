"""Session files: what is read, what is dropped and counted, what is refused and how."""

import gzip
from collections import Counter

import pytest

from peerwatt.simulation.sessions import (
    COLUMNS,
    SessionsError,
    bundled,
    by_date,
    drop_reasons,
    load_sessions,
)

GOOD = {
    "arrival": "2019-08-21 07:30:00-07:00",
    "departure": "2019-08-21 16:00:00-07:00",
    "requested_energy (kWh)": "20.0",
    "delivered_energy (kWh)": "11.2345",
    "station_id": "A-1",
    "session_id": "s1",
    "estimated_departure": "2019-08-21 17:00:00-07:00",
    "claimed": "True",
}


@pytest.fixture
def write(tmp_path):
    def write(*rows, header=COLUMNS, name="cars.csv"):
        path = tmp_path / name
        lines = [",".join(header)]
        lines += [",".join((GOOD | row)[c] for c in header if c in GOOD) for row in rows]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture(scope="module")
def jpl():
    return load_sessions(bundled("jpl"), "jpl")


def test_a_row_becomes_whole_units(write):
    (session,) = load_sessions([write({})], "here")
    assert (session.arrival_s, session.stay_s) == (1566397800, 8 * 3600 + 1800)
    assert (session.delivered_wh, session.requested_wh) == (11234, 20000)
    assert (session.site, session.station_id, session.claimed) == ("here", "A-1", True)
    assert f"{session.local_date}" == "2019-08-21"


def test_columns_may_stand_in_any_order_and_files_be_packed(write, tmp_path):
    plain = write({}, header=tuple(reversed(COLUMNS)))
    packed = tmp_path / "cars.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load_sessions([packed], "x") == load_sessions([plain], "x")


def test_the_local_date_is_the_sites_whatever_the_offset(write):
    late = {
        "arrival": "2019-08-22 05:00:00+00:00",  # ten in the evening in California
        "departure": "2019-08-22 08:00:00+00:00",
        "estimated_departure": "2019-08-22 08:00:00+00:00",
    }
    assert f"{load_sessions([write(late)], 'x')[0].local_date}" == "2019-08-21"


def test_blank_lines_are_no_rows(write):
    path = write({})
    path.write_text(path.read_text() + "\n\n")
    assert len(load_sessions([path], "x")) == 1


def test_oracle_rows_are_those_whose_statement_is_the_truth(write):
    copied = {"claimed": "False", "estimated_departure": GOOD["departure"]}
    lucky = {"session_id": "s2", "estimated_departure": GOOD["departure"]}
    first, second = load_sessions([write(copied, lucky)], "x")
    assert first.oracle
    assert not second.oracle


def test_dropped_rows_have_a_reason(write):
    rows = [
        {"session_id": "ok"},
        {"session_id": "short", "station_id": "A-2", "departure": "2019-08-21 07:44:59-07:00"},
        {"session_id": "edge", "station_id": "A-3", "departure": "2019-08-21 07:45:00-07:00"},
        {"session_id": "long", "station_id": "A-4", "departure": "2019-08-21 23:30:01-07:00"},
        {"session_id": "twice", "arrival": "2019-08-21 12:00:00-07:00"},
        {
            "session_id": "next",
            "arrival": "2019-08-21 16:00:00-07:00",
            "departure": "2019-08-21 17:00:00-07:00",
        },
    ]
    assert drop_reasons(load_sessions([write(*rows)], "x")) == {
        "short": "stay under 15 min",
        "long": "stay over 16 h",
        "twice": "station still taken",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"arrival": "yesterday"}, "row 2: arrival: must be a time with its offset, such as"),
        ({"arrival": "2019-08-21 07:30:00"}, "row 2: arrival: must be a time with its offset"),
        ({"departure": "1919-08-21 07:30:00-07:00"}, "row 2: departure: must lie between 1990"),
        (
            {"departure": "2019-08-21 07:29:59-07:00"},
            "row 2: departure: '2019-08-21 07:29:59-07:00' is before the arrival",
        ),
        (
            {"estimated_departure": "2019-08-20 17:00:00-07:00"},
            "row 2: estimated_departure: '2019-08-20 17:00:00-07:00' is before the arrival",
        ),
        ({"delivered_energy (kWh)": "-0.1"}, "delivered_energy (kWh): must be from 0 to 200 kWh"),
        ({"delivered_energy (kWh)": "200.1"}, "delivered_energy (kWh): must be from 0 to 200 kWh"),
        ({"delivered_energy (kWh)": "nan"}, "delivered_energy (kWh): must be from 0 to 200 kWh"),
        ({"requested_energy (kWh)": "inf"}, "requested_energy (kWh): must be from 0 to 1000 kWh"),
        ({"requested_energy (kWh)": "lots"}, "requested_energy (kWh): must be from 0 to 1000 kWh"),
        ({"claimed": "maybe"}, "row 2: claimed: must be True or False, is 'maybe'"),
        ({"session_id": " "}, "row 2: session_id: must not be empty"),
        ({"station_id": ""}, "row 2: station_id: must not be empty"),
        ({"station_id": "A,1"}, "row 2: must have 8 columns, has 9"),
    ],
)
def test_an_impossible_row_is_refused_by_file_row_and_column(write, row, message):
    with pytest.raises(SessionsError) as refused:
        load_sessions([write(row)], "x")
    assert message in str(refused.value)
    assert str(refused.value).startswith("cars.csv: ")
    assert "\n" not in str(refused.value)


def test_a_repeated_session_is_refused(write):
    with pytest.raises(SessionsError, match=r"cars.csv: row 3: session_id: repeats the one of "):
        load_sessions([write({}, {})], "x")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((*COLUMNS, "colour"), "row 1: unknown column 'colour'"),
        (COLUMNS[:-1], "row 1: missing column 'claimed'"),
        (("when", *COLUMNS[1:]), "row 1: unknown column 'when'; missing column 'arrival'"),
        ((*COLUMNS, "claimed"), "row 1: a column appears twice"),
        ((), "row 1: missing column 'arrival'"),
    ],
)
def test_a_wrong_header_is_refused(write, header, message):
    with pytest.raises(SessionsError) as refused:
        load_sessions([write(header=header)], "x")
    assert message in str(refused.value)


def test_what_is_no_csv_file_is_refused(tmp_path):
    with pytest.raises(SessionsError, match="cannot be read: No such file"):
        load_sessions([tmp_path / "none.csv"], "x")
    for name, content in (
        ("text.csv.gz", b"arrival"),
        ("cut.csv.gz", gzip.compress(b"arrival,departure\n" * 9)[:-9]),
        ("bent.csv.gz", gzip.compress(b"arrival,departure\n" * 9)[:10] + b"\xff" * 30),
        ("bytes.csv", b"\xff\xfe\x00"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SessionsError, match=name):
            load_sessions([path], "x")


def test_the_bundled_files_hold_what_is_said_of_them(jpl):
    caltech = load_sessions(bundled("caltech"), "caltech")
    assert (len(jpl), len(caltech)) == (14519, 7973)
    assert sum(s.oracle for s in (*jpl, *caltech)) == 1754
    assert sum(not s.claimed for s in (*jpl, *caltech)) == 1754
    dropped = Counter(drop_reasons(jpl).values()) + Counter(drop_reasons(caltech).values())
    assert dropped == {"stay under 15 min": 54, "stay over 16 h": 136}
    assert len(by_date(jpl)) == 351
