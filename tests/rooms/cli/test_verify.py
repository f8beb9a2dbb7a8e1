"""`verify` and `receipt`: what they say, how they end, and receipts that were tampered with."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from peerwatt.audit.folder import open_chain
from peerwatt.records.bundles import ReceiptBundle
from peerwatt.records.codec import decode, encode
from peerwatt.reporting.clearing_gap import at_most, gap_ppb
from peerwatt.simulation.run import DayRun

Peerwatt = Callable[..., Any]


@pytest.fixture
def order(small_run: DayRun) -> str:
    """The id of the order that sold most."""
    awards = small_run.tables["awards"]
    found: str = awards.sort("metered_wh", descending=True)["order_id"][0]
    return found


@pytest.fixture
def receipt(small_folder: Path, peerwatt: Peerwatt, order: str, tmp_path: Path) -> Path:
    """That order's receipt."""
    outcome = peerwatt("receipt", small_folder, order, "--out", "a.receipt")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return tmp_path / "a.receipt"


def test_a_good_folder(peerwatt: Peerwatt, small_folder: Path, small_run: DayRun) -> None:
    outcome = peerwatt("verify", small_folder)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count(" ✓ ") == 11
    assert " ✗ " not in outcome.out
    assert " ? internally consistent; its operator is not independently witnessed" in outcome.out
    assert "Turned away at admission, 3:" in outcome.out
    assert "Refused on record, 3:" in outcome.out
    assert "ReportReadings in block" in outcome.out
    assert outcome.out.endswith("Everything that was checked holds.\n")
    witness = small_run.world.keys.key("grid-operator").public.hex()
    head = small_run.summary["ledger"]["head"]
    anchored = peerwatt("verify", small_folder, "--witness", witness, "--trusted-head", head)
    assert anchored.code == 0
    assert "not independently witnessed" not in anchored.out


def test_every_rounds_gap_is_shown(
    peerwatt: Peerwatt, pairs_folder: Path, pairs_run: DayRun
) -> None:
    outcome = peerwatt("verify", pairs_folder)
    assert (outcome.code, outcome.err) == (0, "")
    cleared = pairs_run.summary["rounds"]["cleared"]
    largest = at_most(pairs_run.summary["clearings"]["largest_gap_ppb"])
    assert f" ✓ no clearing of {cleared} rounds can be beaten by more than {largest} of" in (
        outcome.out
    )
    assert "up to the rounding to whole Wh" in outcome.out
    assert "(2019-06-12, America/Los_Angeles time; traded in coins, gap in ucoin):" in outcome.out
    lines = outcome.out.splitlines()
    (head,) = (at for at, line in enumerate(lines) if line.startswith("slot "))
    table = lines[head : head + 1 + cleared]
    assert max(map(len, table)) <= 80
    rounds = [row for row in pairs_run.tables["rounds"].to_dicts() if row["cleared_by"]]
    for line, row in zip(table[1:], rounds, strict=True):
        share = at_most(gap_ppb(row["gap_ucoin"], row["traded_ucoin"]))
        cells = ["welfare-pairs", "aggregator", str(row["orders"])]
        cells += [f"{row['traded_ucoin'] / 1e6:.2f}", str(row["gap_ucoin"]), share]
        assert line.split()[-6:] == cells


def test_of_very_many_rounds_the_ones_with_most_gap_are_shown(
    peerwatt: Peerwatt, small_folder: Path, small_run: DayRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peerwatt.cli.screen.MOST_CLEARINGS", 3)
    said = peerwatt("verify", small_folder).out
    assert len(re.findall(r"\bwelfare +ledger ", said)) == 3
    largest = max(filter(None, small_run.tables["rounds"]["gap_ucoin"].to_list()))
    assert f" {largest:,} " in said
    assert f"{small_run.summary['rounds']['cleared'] - 3} more rounds have no larger gap." in said


def test_a_changed_byte_is_named_and_exit_1(
    peerwatt: Peerwatt, small_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_folder, tmp_path / "day"))
    (folder / "awards.parquet").write_bytes((folder / "awards.parquet").read_bytes() + b"x")
    (folder / "[red]x.txt").write_text("")
    (folder / "a\x1b[31mb.txt").write_text("")
    outcome = peerwatt("verify", "day")
    assert (outcome.code, outcome.err) == (1, "")
    assert " ✗ awards.parquet: changed: has " in outcome.out
    assert " ✗ [red]x.txt: extra: not in the manifest" in outcome.out
    assert "\x1b" not in outcome.out
    assert outcome.out.endswith("It does not hold.\n")


@pytest.mark.parametrize("option", ["--trusted-head", "--witness"])
def test_anchors(option: str, peerwatt: Peerwatt, small_folder: Path, receipt: Path) -> None:
    for what in (small_folder, receipt):
        assert peerwatt("verify", what, option, "00" * 32).code == 1
        for bad in ("", "zz" * 32, "00" * 31, "00" * 33, "[red]"):
            words = f"{option}: must be 64 hexadecimal digits"
            assert peerwatt("verify", what, option, bad).complaint == words


def test_a_receipt_stands_alone(
    peerwatt: Peerwatt, receipt: Path, order: str, small_run: DayRun
) -> None:
    award = next(r for r in small_run.tables["awards"].to_dicts() if r["order_id"] == order)
    outcome = peerwatt("verify", receipt)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Order {order[:16]}…, {award['side']} at port {award['port']}: " in outcome.out
    assert f"metered {award['metered_wh']} Wh" in outcome.out
    assert "operator not independently witnessed" in outcome.out
    assert "the sealed settlements" in outcome.out
    host, keys = small_run.world.host, small_run.world.keys
    head, witness = host.head_id.hex(), keys.key("grid-operator").public.hex()
    anchored = peerwatt("verify", receipt, "--trusted-head", head, "--witness", witness)
    assert anchored.code == 0
    assert "not independently witnessed" not in anchored.out
    assert (
        peerwatt(
            "verify", receipt, "--trusted-head", host.block(7).signed_header.header.block_id.hex()
        ).code
        == 1
    )


def test_every_settled_order_has_a_receipt(small_folder: Path, small_run: DayRun) -> None:
    chain = open_chain(small_folder)
    rounds = {each.slot_start_s: key for key, each in chain.items("rounds")}
    for row in small_run.tables["awards"].to_dicts()[::9]:
        key = rounds[row["slot_start_s"]]
        bundle = chain.receipt("settlements", key, bytes.fromhex(row["order_id"]))
        assert bundle.entry.holds()
        assert bundle.round.holds()
        assert len(encode(bundle)) < 20_000


def test_any_flipped_bit_of_a_receipt_is_found(
    peerwatt: Peerwatt, receipt: Path, tmp_path: Path
) -> None:
    good = receipt.read_bytes()
    chance = random.Random(3)
    step = max(len(good) // 150, 1)
    seen = set()
    for at in [0, len(good) - 1, *range(1, len(good), step)]:
        data = bytearray(good)
        data[at] ^= 1 << chance.randrange(8)
        (tmp_path / "bent").write_bytes(data)
        outcome = peerwatt("verify", "bent")
        seen.add(outcome.code)
        if outcome.code == 1:
            assert " ✗ " in outcome.out, at
            assert outcome.err == ""
        else:
            assert outcome.complaint, at
        assert "\x1b" not in outcome.out
    assert seen == {1, 2}


@pytest.mark.parametrize("data", [b"", b"\xc0", b"{}", b"\x95" * 9999, bytes(range(256)) * 9])
def test_what_is_no_receipt(data: bytes, peerwatt: Peerwatt, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert peerwatt("verify", "x").complaint.startswith("x: no receipt (")


def test_a_cut_receipt_is_one_line(peerwatt: Peerwatt, receipt: Path, tmp_path: Path) -> None:
    good = receipt.read_bytes()
    for size in range(1, len(good), 97):
        (tmp_path / "cut").write_bytes(good[:size])
        assert peerwatt("verify", "cut").complaint.startswith("cut: no receipt (")


def test_words_in_a_receipt_cannot_style_or_steer_the_terminal(
    peerwatt: Peerwatt, receipt: Path, tmp_path: Path
) -> None:
    bundle = decode(receipt.read_bytes(), ReceiptBundle)
    for tree in ("[/nonsense]", "[bold red]fine[/]", "a\nb\x1b[2J", "settlements "):
        forged = replace(bundle, entry=replace(bundle.entry, tree=tree))
        (tmp_path / "forged").write_bytes(encode(forged))
        outcome = peerwatt("verify", "forged")
        assert (outcome.code, outcome.err) == (1, "")
        assert "\x1b" not in outcome.out
        if "\n" not in tree:
            assert f"is in the sealed {tree}" in outcome.out


def test_a_settlement_that_cannot_be_read_is_one_line(
    peerwatt: Peerwatt, receipt: Path, tmp_path: Path
) -> None:
    bundle = decode(receipt.read_bytes(), ReceiptBundle)
    forged = replace(bundle, entry=replace(bundle.entry, item=b"\xc0"))
    (tmp_path / "forged").write_bytes(encode(forged))
    complaint = peerwatt("verify", "forged").complaint
    assert complaint.startswith("the receipt's entry is no settlement (")


def test_nothing_to_verify(peerwatt: Peerwatt, tmp_path: Path) -> None:
    assert peerwatt("verify", "none").complaint == "none: No such file or directory"
    outcome = peerwatt("verify", tmp_path)
    assert outcome.code == 1
    assert " ✗ manifest.json: missing, so nothing in " in outcome.out


def test_writing_a_receipt(
    peerwatt: Peerwatt, small_folder: Path, order: str, tmp_path: Path
) -> None:
    named = peerwatt("receipt", small_folder, order[:12].upper())
    assert (named.code, named.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [f"{order[:16]}.receipt"]
    assert f"Check it: peerwatt verify {order[:16]}.receipt" in named.out
    again = peerwatt("receipt", small_folder, order).complaint
    assert again == f"{order[:16]}.receipt: exists already"
    for begin, words in (
        ("", "ORDER: "),
        ("xyz", "ORDER: no settled orders begin with 'xyz'"),
        (order[:1], f"settled orders begin with '{order[:1]}'"),
    ):
        assert words in peerwatt("receipt", small_folder, begin).complaint
    for out in (".", "none/a.receipt", f"{order[:16]}.receipt/a"):
        assert peerwatt("receipt", small_folder, order, "--out", out).complaint.startswith(
            f"{out}: " if out == "." else f"{out}"
        )


def test_no_receipt_from_what_is_no_run(
    peerwatt: Peerwatt, small_folder: Path, tmp_path: Path
) -> None:
    assert peerwatt("receipt", tmp_path, "00").complaint.startswith("manifest.json: missing")
    assert peerwatt("receipt", "none", "00").complaint == "none: is not a folder"
    folder = Path(shutil.copytree(small_folder, tmp_path / "day"))
    blocks = folder / "ledger" / "blocks.bin"
    blocks.write_bytes(blocks.read_bytes()[:-1])
    assert peerwatt("receipt", folder, "00").complaint.startswith("ledger/blocks.bin: entry ")
