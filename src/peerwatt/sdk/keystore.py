"""An Ed25519 key in a file: encrypted by a pass-phrase, readable by its owner alone.

Knows the file's format and libsodium (Argon2id, XSalsa20-Poly1305). Version 1 is one JSON object:
format, public_key, salt, opslimit, memlimit, sealed_seed; bytes in hexadecimal.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from peerwatt.records.signing import SigningKey

FORMAT = "peerwatt-key/1"
MAX_FILE_BYTES = 4_096
# A hostile file must not cost more time and memory than our own strongest.
MAX_OPSLIMIT = argon2id.OPSLIMIT_SENSITIVE
MAX_MEMLIMIT = argon2id.MEMLIMIT_MODERATE
OPSLIMIT = argon2id.OPSLIMIT_MODERATE
MEMLIMIT = argon2id.MEMLIMIT_MODERATE


class KeystoreError(ValueError):
    """A key file that cannot be made or opened: one line that names it and the reason."""


def _hex(length: int) -> msgspec.Meta:
    return msgspec.Meta(pattern=rf"^[0-9a-f]{{{2 * length}}}\Z")


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    public_key: Annotated[str, _hex(32)]
    salt: Annotated[str, _hex(argon2id.SALTBYTES)]
    opslimit: Annotated[int, msgspec.Meta(ge=argon2id.OPSLIMIT_MIN, le=MAX_OPSLIMIT)]
    memlimit: Annotated[int, msgspec.Meta(ge=argon2id.MEMLIMIT_MIN, le=MAX_MEMLIMIT)]
    sealed_seed: Annotated[str, _hex(32 + SecretBox.NONCE_SIZE + SecretBox.MACBYTES)]


def create(
    path: Path, passphrase: str, *, opslimit: int = OPSLIMIT, memlimit: int = MEMLIMIT
) -> SigningKey:
    """A new random key, kept in a new file that its owner alone may read.

    Raises:
        KeystoreError: the pass-phrase is empty, or the file exists or cannot be written.
    """
    if not passphrase:
        raise KeystoreError(f"{path}: the pass-phrase must not be empty")
    key = SigningKey(random(32))
    salt = random(argon2id.SALTBYTES)
    box = SecretBox(_stretched(passphrase, salt, opslimit, memlimit))
    document = _File(
        format=FORMAT,
        public_key=key.public.hex(),
        salt=salt.hex(),
        opslimit=opslimit,
        memlimit=memlimit,
        sealed_seed=bytes(box.encrypt(key.seed)).hex(),
    )
    _write_new(path, json.dumps(msgspec.to_builtins(document), indent=2) + "\n")
    return key


def load(path: Path, passphrase: str) -> SigningKey:
    """The key of a file.

    Raises:
        KeystoreError: the file is missing, open to others, damaged or of another format, or the
            pass-phrase is wrong.
    """
    document = _read(path)
    box = SecretBox(
        _stretched(passphrase, bytes.fromhex(document.salt), document.opslimit, document.memlimit)
    )
    try:
        key = SigningKey(box.decrypt(bytes.fromhex(document.sealed_seed)))
    except CryptoError:
        why = "wrong pass-phrase, or the file was changed"
        raise KeystoreError(f"{path}: {why}") from None
    if key.public.hex() != document.public_key:
        raise KeystoreError(f"{path}: public_key: is not that of the key inside")
    return key


def _stretched(passphrase: str, salt: bytes, opslimit: int, memlimit: int) -> bytes:
    key: bytes = argon2id.kdf(
        SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=opslimit, memlimit=memlimit
    )
    return key


def _write_new(path: Path, text: str) -> None:
    """The whole file under its name, or nothing: written aside, then linked, which never replaces
    a file that is there."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)
        finally:
            aside.unlink()
    except FileExistsError:
        raise KeystoreError(f"{path}: exists already, and a key is never replaced") from None
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be written: {error.strerror}") from None


def _read(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeystoreError(f"{path}: others may open it; run: chmod 600 {path}")
    if len(data) > MAX_FILE_BYTES:
        raise KeystoreError(f"{path}: too large for a key file")
    try:
        document = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeystoreError(f"{path}: no key file ({error})") from None
    if document.format != FORMAT:
        raise KeystoreError(f"{path}: format: is {document.format!r}, this software knows {FORMAT}")
    return document
