"""Run folders that were tampered with: whatever was changed is found, and named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peerwatt.audit.folder import open_chain, verify_folder
from peerwatt.contracts import ledger
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.folder import read_blocks, read_genesis, read_witnesses, write_chain
from peerwatt.hosts.store import Store
from peerwatt.records.bundles import Verdict
from peerwatt.records.chain import sign_head
from peerwatt.records.codec import encode
from peerwatt.records.receipts import Block
from peerwatt.records.signing import SigningKey
from peerwatt.reporting.manifest import check_manifest
from peerwatt.simulation.run import DayRun

STRANGER = SigningKey(bytes(range(32)))
SIGNED = [
    *("rounds", "orders", "awards", "readings", "receipts", "refused", "cars"),
    *("ledger/genesis.bin", "ledger/blocks.bin", "ledger/witnesses.bin"),
    *("summary.json", "config.json", "report.html"),
]
FILES = [name if "." in name else f"{name}.parquet" for name in SIGNED]
PLOT = "plots/price_over_day.png"
Fails = Callable[..., list[str]]
Sign = Callable[..., None]


def flip(path: Path, at: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def rewrite(
    folder: Path, change: Callable[[list[Block]], list[Block]], witnesses: Any = None
) -> None:
    """The ledger's files with other blocks; with its own witnesses unless others are given."""
    path = folder / "ledger"
    kept = list(read_witnesses(path)) if witnesses is None else witnesses
    blocks = change(list(read_blocks(path)))
    write_chain(path, read_genesis(path), map(encode, blocks), map(encode, kept))


def test_an_untouched_folder_holds(small_folder: Path, small_run: DayRun) -> None:
    heard: list[int] = []
    report = verify_folder(small_folder, progress=heard.append)
    verdicts = [each.verdict for each in report.findings]
    assert Verdict.FAILS not in verdicts
    assert verdicts.count(Verdict.HOLDS) == 11
    assert heard == list(range(1, small_run.world.host.height + 1))
    words = "\n".join(each.text for each in report.findings)
    assert "internally consistent; its operator is not independently witnessed" in words
    assert f"co-signed by grid-operator, {grid_key(small_run).hex()}" in words
    assert "on no ledger" in words
    assert "anyone can derive its keys" in words
    assert [(row["where"], row["reason_name"]) for row in report.refused] == [
        (where, reason)
        for where in ("admission", "block")
        for reason in ("WRONG_NONCE", "UNFUNDED", "BAD_READING_SIGNATURE")
    ]


def grid_key(run: DayRun) -> bytes:
    return run.world.keys.key("grid-operator").public


def test_anchors_that_are_right_hold_and_others_do_not(
    small_run: DayRun, fails: Fails, folder: Path
) -> None:
    host = small_run.world.host
    old = host.block(40).signed_header.header.block_id
    assert fails(witness=grid_key(small_run)) == []
    assert fails(trusted_head=host.head_id) == []
    assert fails(trusted_head=old, witness=grid_key(small_run)) == []
    (wrong,) = fails(trusted_head=bytes(32))
    assert wrong == "the head that you trust, 0000000000000000…, is on this chain"
    (wrong,) = fails(witness=STRANGER.public)
    assert wrong == f"the head is co-signed by {STRANGER.public.hex()[:16]}…, whom you trust"
    anchored = verify_folder(folder, witness=grid_key(small_run)).findings
    assert not any("not independently witnessed" in each.text for each in anchored)


@pytest.mark.parametrize("name", [*FILES, PLOT])
def test_a_flipped_bit_is_found_and_named(name: str, folder: Path, fails: Fails) -> None:
    """At both ends and at random places; the whole check once, the manifest's at each."""
    size = (folder / name).stat().st_size
    chance = random.Random(name)
    places = [0, size - 1, *(chance.randrange(size) for _ in range(6))]
    for at in places:
        bit = 1 << chance.randrange(8)
        flip(folder / name, at, bit)
        assert check_manifest(folder) == [f"{name}: changed: its SHA-256 is another"], at
        flip(folder / name, at, bit)
    flip(folder / name, places[-1])
    wrong = fails()
    assert wrong[0] == f"{name}: changed: its SHA-256 is another"
    about_it = [line for line in wrong if line.startswith(name)]
    assert about_it == wrong, "and nothing else is blamed"


def test_a_flipped_bit_of_the_manifest_is_found(folder: Path, fails: Fails) -> None:
    path = folder / "manifest.json"
    good = path.read_bytes()
    chance = random.Random(5)
    for at in [0, len(good) - 1, *(chance.randrange(len(good)) for _ in range(25))]:
        flip(path, at, 1 << chance.randrange(8))
        wrong = fails() if at % 5 == 0 else check_manifest(folder)
        assert wrong, at
        assert all("\n" not in line for line in wrong)
        assert any("manifest.json" in line or "changed" in line for line in wrong), wrong
        path.write_bytes(good)
    assert fails() == []


def test_timings_are_not_signed_and_may_change(folder: Path, fails: Fails) -> None:
    (folder / "timings.json").write_text("{}")
    assert fails() == []
    (folder / "timings.json").unlink()
    assert fails() == []


@pytest.mark.parametrize("name", [*FILES, PLOT, "manifest.json"])
def test_a_missing_file_is_named(name: str, folder: Path, fails: Fails) -> None:
    (folder / name).unlink()
    wrong = fails()
    assert wrong[0].startswith(f"{name}: missing")
    assert all(line.startswith(name) for line in wrong)


def test_files_that_do_not_belong_are_named(folder: Path, fails: Fails) -> None:
    (folder / "extra.txt").write_text("")
    (folder / "ledger" / "blocks[red].bin").write_text("")
    (folder / "linked").symlink_to(folder / "summary.json")
    assert [line.split(":")[0] for line in fails()] == [
        *("extra.txt", "ledger/blocks[red].bin", "linked")
    ]


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    (only,) = verify_folder(tmp_path).findings
    assert only.verdict is Verdict.FAILS
    assert only.text.startswith("manifest.json: missing")
    (only,) = verify_folder(tmp_path / "none").findings
    assert only.text.endswith("is not a folder")


def test_swapped_blocks_are_found_even_if_signed_again(
    folder: Path, sign_again: Sign, fails: Fails
) -> None:
    rewrite(folder, lambda blocks: [*blocks[:50], blocks[51], blocks[50], *blocks[52:]])
    sign_again()
    assert fails() == [fails()[0]]
    assert fails()[0].startswith("ledger/blocks.bin: block 51: height: is 52, must be 51")


def test_a_cut_block_is_found_by_its_witness_its_summary_and_any_anchor(
    folder: Path, small_run: DayRun, sign_again: Sign, fails: Fails
) -> None:
    """The last block is empty: without it only the head is another."""
    head, height = small_run.world.host.head_id, small_run.world.host.height
    rewrite(folder, lambda blocks: blocks[:-1])
    assert fails()[0].startswith("ledger/blocks.bin: changed: has ")
    sign_again()
    assert fails()[0].startswith(f"ledger/witnesses.bin: height: there is no block {height}")
    rewrite(folder, lambda blocks: blocks, witnesses=[])
    sign_again()
    assert [line.split(": ")[1] for line in fails()] == ["ledger.height", "ledger.head"]
    assert fails(trusted_head=head)[-1].endswith("is on this chain")
    assert fails(witness=grid_key(small_run))[-1].endswith("whom you trust")


def test_a_chain_cut_by_hours_is_missed_by_summary_and_tables(
    folder: Path, sign_again: Sign, fails: Fails
) -> None:
    rewrite(folder, lambda blocks: blocks[:200], witnesses=[])
    sign_again()
    wrong = {line.split(":")[0] for line in fails()}
    assert wrong == {f"{name}.parquet" for name in ("rounds", "orders", "awards")} | {
        *("readings.parquet", "receipts.parquet")
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda b: [*b[:9], b[10], *b[11:]], "block 10: height: is 11, must be 10"),
        (lambda b: b[:30] + b[29:], "block 31: height: is 30, must be 31"),
        (
            lambda b: [
                *b[:60],
                Block(signed_header=b[60].signed_header, transactions=b[60].transactions[:-1]),
                *b[61:],
            ],
            "block 61: transactions_root: ",
        ),
        (
            lambda b: [
                *b[:60],
                Block(
                    signed_header=type(b[60].signed_header)(
                        header=b[60].signed_header.header, signature=bytes(64)
                    ),
                    transactions=b[60].transactions,
                ),
                *b[61:],
            ],
            "block 61: signature: is not the proposer's of this header",
        ),
    ],
    ids=["block left out", "block twice", "transaction left out", "signature gone"],
)
def test_changed_blocks_are_found_though_the_folder_is_signed_again(
    change: Any, why: str, folder: Path, sign_again: Sign, fails: Fails
) -> None:
    rewrite(folder, change)
    sign_again()
    assert len(fails()) == 1
    assert fails()[0].startswith(f"ledger/blocks.bin: {why}")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("blocks.bin", b"\x00\x00", "entry 1: is cut off"),
        ("blocks.bin", b"\x00\x00\x00\x01\xc0", "entry 1: "),
        ("blocks.bin", b"\xff" * 40, "entry 1: is cut off"),
        ("genesis.bin", b"", "encoding: "),
        ("genesis.bin", b"\x91\x91" * 2000, "encoding: "),
        ("witnesses.bin", b"\x00\x00\x00\x01\xc0", "entry 1: "),
    ],
)
def test_what_is_no_ledger_is_one_line(
    name: str, data: bytes, why: str, folder: Path, sign_again: Sign, fails: Fails
) -> None:
    (folder / "ledger" / name).write_bytes(data)
    sign_again()
    assert fails()[0].startswith(f"ledger/{name}: {why}"), fails()


def test_a_ledger_without_blocks_says_other_than_the_tables(
    folder: Path, sign_again: Sign, fails: Fails
) -> None:
    rewrite(folder, lambda blocks: [], witnesses=[])
    sign_again()
    wrong = fails()
    assert "the folder is signed by its chain's own proposer" in wrong
    assert "rounds.parquet: says other than the ledger" in wrong


def test_another_key_cannot_sign_for_the_operator(
    folder: Path, sign_again: Sign, fails: Fails
) -> None:
    summary = folder / "summary.json"
    summary.write_text(summary.read_text().replace('"sum": 0', '"sum": 1'))
    sign_again(STRANGER)
    wrong = fails()
    assert wrong[0] == "the folder is signed by its chain's own proposer"
    assert wrong[1:] == ["summary.json: money_ucoin.sum: says 1, comes to 0"]


def test_a_manifest_of_another_chain_is_found(folder: Path, sign_again: Sign, fails: Fails) -> None:
    sign_again(chain_id="sim-other")
    assert fails() == ["the folder is signed by its chain's own proposer"]


def test_forged_witnesses_are_found(
    folder: Path, small_run: DayRun, sign_again: Sign, fails: Fails
) -> None:
    path = folder / "ledger"
    (good,) = read_witnesses(path)
    host = small_run.world.host

    def put(*signatures: Any) -> list[str]:
        rewrite(folder, lambda blocks: blocks, witnesses=signatures)
        sign_again()
        return fails(witness=good.witness)

    assert put(good) == []
    forged = sign_head(STRANGER, host.chain_id, host.height, host.head_id)
    impostor = type(forged)(
        witness=good.witness,
        height=forged.height,
        block_id=forged.block_id,
        signature=forged.signature,
    )
    text = f"ledger/witnesses.bin: signature: is not the witness's of block {host.height}"
    assert put(impostor)[0] == text
    elsewhere = sign_head(STRANGER, host.chain_id, host.height, bytes(32))
    assert put(good, elsewhere) == [
        f"ledger/witnesses.bin: block_id: is not that of block {host.height}"
    ]
    early = sign_head(
        small_run.world.keys.key("grid-operator"),
        host.chain_id,
        9,
        host.block(9).signed_header.header.block_id,
    )
    assert put(early) == [f"the head is co-signed by {good.witness.hex()[:16]}…, whom you trust"]
    assert put(good, forged) == []
    words = [each.text for each in verify_folder(folder).findings]
    assert any(f"no member, {STRANGER.public.hex()}" in text for text in words)


def test_an_operator_can_write_another_history_but_not_under_a_trusted_head(
    folder: Path, small_run: DayRun, sign_again: Sign, fails: Fails
) -> None:
    """It proposes the last hours anew and leaves an order out: a sound chain that says other than
    the tables, and that no anchor from elsewhere is on."""
    keys, path = small_run.world.keys, folder / "ledger"
    blocks = list(read_blocks(path))
    anew = EmbeddedHost(ledger, Store(None), keys.key("aggregator"), read_genesis(path))
    for number, block in enumerate(blocks):
        kept = block.transactions[:-1] if number == 120 else block.transactions
        anew.seal(block.signed_header.header.block_time_s, extra=kept)
    anew.export(path)
    sign_again()
    wrong = fails(trusted_head=small_run.world.host.head_id)
    assert wrong[-1].endswith("is on this chain")
    assert wrong[:-1] == [
        f"{name}.parquet: says other than the ledger" for name in wrong_tables(wrong)
    ]
    assert {"orders", "receipts"} <= wrong_tables(wrong).keys()


def wrong_tables(lines: list[str]) -> dict[str, None]:
    return dict.fromkeys(line.split(".")[0] for line in lines if ".parquet: " in line)


def test_a_chain_is_opened_only_if_it_holds(
    small_folder: Path, folder: Path, small_run: DayRun
) -> None:
    assert open_chain(small_folder).app_hash == small_run.world.host.app_hash
    flip(folder / "ledger" / "blocks.bin", 5000)
    with pytest.raises(ValueError, match=r"^ledger/blocks.bin: "):
        open_chain(folder)
    shutil.rmtree(folder / "ledger")
    with pytest.raises(ValueError, match=r"^ledger/genesis.bin: No such file"):
        open_chain(folder)
