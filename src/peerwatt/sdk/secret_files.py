"""Files with secrets: a key stretched from a pass-phrase, written whole, read by their owner alone.

Knows the file system and libsodium's Argon2id; not what is in the files.
"""

from __future__ import annotations

import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

MAX_PASSPHRASE = 1_024


class KeystoreError(ValueError):
    """A file of secrets that cannot be made or opened: one line that names it and the reason."""


def stretched(path: Path, passphrase: str, salt: bytes, opslimit: int, memlimit: int) -> bytes:
    """The cipher's key; the same however a keyboard composes the pass-phrase's characters."""
    if not passphrase.strip():
        raise KeystoreError(f"{path}: the pass-phrase must not be empty")
    if len(passphrase) > MAX_PASSPHRASE:
        raise KeystoreError(f"{path}: the pass-phrase has more than {MAX_PASSPHRASE} characters")
    secret = unicodedata.normalize("NFKC", passphrase).encode()
    try:
        key: bytes = argon2id.kdf(
            SecretBox.KEY_SIZE, secret, salt, opslimit=opslimit, memlimit=memlimit
        )
    except CryptoError:
        raise KeystoreError(f"{path}: opening it takes {memlimit} bytes of memory") from None
    return key


def write_new(path: Path, text: str) -> None:
    """The whole file under its name, or nothing: written aside, then linked, which never replaces
    a file that is there."""
    try:
        with _written_aside(path, text) as aside:
            os.link(aside, path)
    except FileExistsError:
        raise KeystoreError(f"{path}: exists already, and a key is never replaced") from None
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be written: {error.strerror}") from None


def write_over(path: Path, text: str) -> None:
    """The whole file in the place of the one that is there, which stays whole if this fails."""
    try:
        with _written_aside(path, text) as aside:
            aside.replace(path)
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _written_aside(path: Path, text: str) -> Iterator[Path]:
    """A file with this text beside `path`, on the disk and gone in the end, however that comes."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Have the name of a new file on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_own(path: Path, max_bytes: int, what: str) -> bytes:
    """The bytes of a file that only its owner may open; never waits for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(max_bytes + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise KeystoreError(f"{path}: no {what} (not a file at all)")
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeystoreError(f"{path}: others may open it; run: chmod 600 {path}")
    if len(data) > max_bytes:
        raise KeystoreError(f"{path}: too large for a {what}")
    return data
