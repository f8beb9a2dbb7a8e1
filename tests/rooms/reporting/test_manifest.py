"""A sealed folder: any byte that changes, goes or comes is found and named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.records.signing import SigningKey, derive_key
from peerwatt.reporting.manifest import (
    MANIFEST,
    ManifestError,
    canonical_json,
    check_manifest,
    read_manifest,
    seal,
)

CHAIN = "sim-test"
KEY = derive_key(1, "operator", CHAIN)
CONTENT = {"a.json": b"{}\n", "deep/er/b.parquet": b"PAR1", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in CONTENT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "timings.json").write_bytes(b"1")
    seal(tmp_path, KEY, CHAIN, ["timings.json"])
    return tmp_path


def test_a_sealed_folder_has_nothing_wrong(folder: Path) -> None:
    assert check_manifest(folder) == []
    manifest = read_manifest(folder)
    assert list(manifest.files) == sorted(CONTENT)
    assert manifest.files["a.json"].size == 3
    assert manifest.unsigned == ["timings.json"]
    assert manifest.public_key == KEY.public.hex()
    assert manifest.chain_id == CHAIN


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "a.json").write_bytes(b"[]\n")
    (folder / "empty").write_bytes(b"x")
    assert check_manifest(folder) == [
        "a.json: changed: its SHA-256 is another",
        "empty: changed: has 1 bytes, had 0",
    ]


def test_missing_and_extra_files_are_named(folder: Path) -> None:
    (folder / "deep/er/b.parquet").rename(folder / "deep/c.parquet")
    (folder / ".hidden").write_bytes(b"")
    assert check_manifest(folder) == [
        ".hidden: extra: not in the manifest",
        "deep/c.parquet: extra: not in the manifest",
        "deep/er/b.parquet: missing",
    ]


def test_an_unsigned_file_may_change_or_go_but_no_other_may_come(folder: Path) -> None:
    (folder / "timings.json").write_bytes(b"2")
    assert check_manifest(folder) == []
    (folder / "timings.json").rename(folder / "timings2.json")
    assert check_manifest(folder) == ["timings2.json: extra: not in the manifest"]


def test_a_link_in_place_of_a_file_is_named_and_not_followed(folder: Path) -> None:
    target = folder.parent / "elsewhere"
    target.write_bytes(CONTENT["a.json"])
    (folder / "a.json").unlink()
    (folder / "a.json").symlink_to(target)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert check_manifest(folder) == [
        "a.json: changed: is not a regular file",
        "loop: extra: not in the manifest",
        "pipe: extra: not in the manifest",
    ]


def test_a_name_cannot_steer_the_terminal(folder: Path) -> None:
    (folder / "ok\x1b[2K").write_bytes(b"")
    assert check_manifest(folder) == ["'ok\\x1b[2K': extra: not in the manifest"]


def test_a_manifest_under_another_key_or_chain_is_not_signed(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_bytes())
    for change in (
        {"public_key": SigningKey(bytes(32)).public.hex()},
        {"chain_id": "sim-other"},
        {"signature": "00" * 64},
        {"unsigned": ["a.json", "timings.json"]},
    ):
        (folder / MANIFEST).write_bytes(canonical_json(fields | change))
        [problem] = check_manifest(folder)
        assert problem.startswith("manifest.json: bad signature")


def test_a_manifest_rewritten_for_changed_files_is_not_signed(folder: Path) -> None:
    (folder / "a.json").write_bytes(b"[]\n")
    original = read_manifest(folder)
    seal(folder, SigningKey(bytes(32)), CHAIN, ["timings.json"])
    assert read_manifest(folder).is_signed
    assert read_manifest(folder).public_key != original.public_key


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "malformed: Input data was truncated"),
        (b"{", "malformed: "),
        (b"\xff", "malformed: "),
        (b"[" * 100_000, "malformed: "),
        (b"[]", "malformed: Expected `object`, got `array`"),
        (b"{}", "malformed: Object missing required field `format`"),
    ],
)
def test_a_malformed_manifest_is_one_clear_line(folder: Path, data: bytes, why: str) -> None:
    (folder / MANIFEST).write_bytes(data)
    [problem] = check_manifest(folder)
    assert problem.startswith(f"manifest.json: {why}")
    assert "\n" not in problem


def test_fields_of_a_manifest_are_checked(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_bytes())
    for change, why in (
        ({"format": "peerwatt-run/2"}, "format: must be 'peerwatt-run/1', is peerwatt-run/2"),
        ({"more": 1}, "malformed: Object contains unknown field `more`"),
        ({"public_key": "AB" * 32}, "malformed: Expected `str` matching regex"),
        ({"files": {"a.json": {"sha256": "0" * 64, "size": -1}}}, "malformed: Expected `int` >= 0"),
    ):
        (folder / MANIFEST).write_bytes(canonical_json(fields | change))
        [problem] = check_manifest(folder)
        assert problem.startswith(f"manifest.json: {why}")


def test_a_manifest_in_another_form_is_changed(folder: Path) -> None:
    data = (folder / MANIFEST).read_bytes()
    doubled = data.replace(b'  "format"', b'  "format": "x",\n  "format"')
    for other in (data + b" ", data.replace(b"  ", b"   ", 1), doubled):
        (folder / MANIFEST).write_bytes(other)
        assert check_manifest(folder) == [
            "manifest.json: changed: not in the form in which it was written"
        ]


def test_without_a_manifest_or_a_folder_nothing_can_be_said(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert check_manifest(folder) == [
        f"manifest.json: missing, so nothing in {folder} can be checked"
    ]
    (folder / MANIFEST).symlink_to(folder / "a.json")
    assert check_manifest(folder) == ["manifest.json: is not a regular file"]
    with pytest.raises(ManifestError, match=r"a\.json: is not a folder"):
        read_manifest(folder / "a.json")


def test_what_is_no_file_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ManifestError, match="link: is not a regular file"):
        seal(tmp_path, KEY, CHAIN)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_anywhere_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        folder.mkdir()
        (folder / "a.json").write_bytes(canonical_json({"a": [1, "ä"]}))
        (folder / "b.bin").write_bytes(bytes(range(64)))
        seal(folder, KEY, CHAIN)
    name = data.draw(st.sampled_from(["a.json", "b.bin", MANIFEST]))
    original = (folder / name).read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    (folder / name).write_bytes(changed)
    try:
        problems = check_manifest(folder)
    finally:
        (folder / name).write_bytes(original)
    assert problems
    assert any(problem.startswith(name) for problem in problems)
