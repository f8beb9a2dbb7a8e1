"""Keys in files: only the owner opens them, and every way of failing has its own words."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from nacl.pwhash import argon2id

from peerwatt.records.signing import verify
from peerwatt.sdk.keystore import KeystoreError, create, load

WEAK = {"opslimit": argon2id.OPSLIMIT_MIN, "memlimit": argon2id.MEMLIMIT_MIN}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driver.key"


def changed(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_key_comes_back_and_signs(path: Path) -> None:
    made = create(path, "correct horse", **WEAK)
    key = load(path, "correct horse")
    assert key.public == made.public
    assert verify(made.public, "test", "chain", b"data", key.sign("test", "chain", b"data"))
    assert "correct" not in path.read_text()
    assert made.seed.hex() not in path.read_text()


def test_our_own_strength_can_be_opened(path: Path) -> None:
    assert create(path, "long").public == load(path, "long").public


def test_two_keys_differ(tmp_path: Path) -> None:
    one, other = (create(tmp_path / name, "x", **WEAK) for name in ("a", "b"))
    assert one.public != other.public


def test_only_the_owner_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        create(path, "x", **WEAK)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_open_to_others_is_not_loaded(path: Path, mode: int) -> None:
    create(path, "x", **WEAK)
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="chmod 600"):
        load(path, "x")


def test_a_key_is_never_replaced(path: Path) -> None:
    kept = create(path, "x", **WEAK)
    with pytest.raises(KeystoreError, match="exists already"):
        create(path, "y", **WEAK)
    assert load(path, "x").public == kept.public
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_passphrase_is_refused(path: Path) -> None:
    with pytest.raises(KeystoreError, match="must not be empty"):
        create(path, "", **WEAK)
    assert not path.exists()


def test_a_wrong_passphrase_is_said_so(path: Path) -> None:
    create(path, "x", **WEAK)
    with pytest.raises(KeystoreError, match="wrong pass-phrase"):
        load(path, "y")


def test_a_changed_seal_does_not_open(path: Path) -> None:
    create(path, "x", **WEAK)
    sealed = json.loads(path.read_text())["sealed_seed"]
    changed(path, sealed_seed=sealed[:-1] + ("0" if sealed[-1] != "0" else "1"))
    with pytest.raises(KeystoreError, match="was changed"):
        load(path, "x")


def test_a_foreign_public_key_is_found(path: Path) -> None:
    create(path, "x", **WEAK)
    changed(path, public_key="00" * 32)
    with pytest.raises(KeystoreError, match="public_key: is not that"):
        load(path, "x")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "peerwatt-key/2"}, "format: is 'peerwatt-key/2'"),
        ({"memlimit": 1 << 40}, "memlimit"),
        ({"opslimit": 1 << 30}, "opslimit"),
        ({"salt": "00"}, "salt"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_that_is_no_key_file_is_refused(
    path: Path, fields: dict[str, object], words: str
) -> None:
    create(path, "x", **WEAK)
    changed(path, **fields)
    with pytest.raises(KeystoreError, match=words):
        load(path, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 5_000, b"x" * 10_000])
def test_damaged_bytes_are_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeystoreError) as caught:
        load(path, "x")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="cannot be read"):
        load(tmp_path / "none.key", "x")
    with pytest.raises(KeystoreError, match="cannot be written"):
        create(tmp_path / "no" / "key", "x", **WEAK)
