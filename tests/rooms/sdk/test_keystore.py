"""Keys in files: only the owner opens them, and every way of failing has its own words."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from nacl.exceptions import RuntimeError as NaClRuntimeError
from nacl.pwhash import argon2id

from peerwatt.records.signing import verify
from peerwatt.sdk import keystore
from peerwatt.sdk.keystore import KeystoreError, WrongPassphraseError, create, load

WEAK = {"opslimit": argon2id.OPSLIMIT_MIN, "memlimit": argon2id.MEMLIMIT_MIN}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driver.key"


def changed(path: Path, **fields: object) -> None:
    """Damage a file: the checksum stays as it was."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def forged(path: Path, **fields: object) -> None:
    """Change a file on purpose, checksum and all."""
    document = json.loads(path.read_text()) | fields
    del document["checksum"]
    checksum = keystore._File(**document).expected_checksum()
    path.write_text(json.dumps(document | {"checksum": checksum}))


def flipped(text: str, at: int) -> str:
    """The text with another hexadecimal digit in one place."""
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


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


@pytest.mark.parametrize(
    ("passphrase", "words"),
    [("", "must not be empty"), (" \t", "must not be empty"), ("x" * 1_025, "more than 1024")],
)
def test_an_empty_or_endless_passphrase_is_refused(path: Path, passphrase: str, words: str) -> None:
    with pytest.raises(KeystoreError, match=words):
        create(path, passphrase, **WEAK)
    assert not path.exists()
    create(path, "x", **WEAK)
    with pytest.raises(KeystoreError, match=words):
        load(path, passphrase)


def test_a_wrong_passphrase_is_said_so(path: Path) -> None:
    create(path, "x", **WEAK)
    for wrong in ("y", "X", "x ", "xx"):
        with pytest.raises(WrongPassphraseError, match=r"driver\.key: wrong pass-phrase$"):
            load(path, wrong)


def test_a_passphrase_is_the_same_however_it_is_typed(path: Path) -> None:
    """One keyboard sends an umlaut as one character, another as two."""
    kept = create(path, "gru\u0308n", **WEAK)
    assert load(path, "gr\u00fcn").public == kept.public


@pytest.mark.parametrize("field", ["public_key", "salt", "sealed_seed", "checksum"])
@pytest.mark.parametrize("at", [0, 17, -1])
def test_damage_is_told_from_a_wrong_passphrase(path: Path, field: str, at: int) -> None:
    create(path, "x", **WEAK)
    text = json.loads(path.read_text())[field]
    changed(path, **{field: flipped(text, at % len(text))})
    with pytest.raises(KeystoreError, match="damaged, its checksum differs") as caught:
        load(path, "x")
    assert not isinstance(caught.value, WrongPassphraseError)


@pytest.mark.parametrize("at", [0, 60, -1])
def test_a_forged_seal_does_not_open(path: Path, at: int) -> None:
    create(path, "x", **WEAK)
    sealed = json.loads(path.read_text())["sealed_seed"]
    forged(path, sealed_seed=flipped(sealed, at % len(sealed)))
    with pytest.raises(WrongPassphraseError):
        load(path, "x")


def test_a_forged_public_key_is_found(path: Path) -> None:
    """Else its owner would be told of coins at an address that is not its own."""
    create(path, "x", **WEAK)
    forged(path, public_key="00" * 32)
    with pytest.raises(KeystoreError, match="public_key: is not that of the key inside"):
        load(path, "x")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "peerwatt-key/2"}, "format: is 'peerwatt-key/2', this software knows"),
        ({"format": "peerwatt-key/2", "kdf": "newer"}, "format: is 'peerwatt-key/2'"),
        ({"format": 7}, "format"),
        ({"memlimit": 0}, "memlimit"),
        ({"memlimit": 1 << 29}, "memlimit"),
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


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(KeystoreError, match=r"no key file|cannot be read"):
            load(tmp_path / name, "x")


def test_a_path_may_be_text(path: Path) -> None:
    assert create(str(path), "x", **WEAK).public == load(str(path), "x").public


def test_too_little_memory_is_said_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise NaClRuntimeError("Unexpected failure in key derivation")

    create(path, "x", **WEAK)
    monkeypatch.setattr(argon2id, "kdf", fails)
    with pytest.raises(KeystoreError, match="takes 8192 bytes of memory"):
        load(path, "x")
