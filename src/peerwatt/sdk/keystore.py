"""An Ed25519 key in a file: encrypted by a pass-phrase, readable by its owner alone.

Knows the file's format and libsodium (Argon2id, XSalsa20-Poly1305). Version 1 is one JSON object:
format, public_key, salt, opslimit, memlimit, sealed_seed, checksum; bytes in hexadecimal. The
checksum, SHA-256 of the other fields' bytes, tells a damaged file from a wrong pass-phrase; who
changes a file on purpose meets the cipher's own tag.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import unicodedata
from pathlib import Path
from typing import Annotated

import msgspec
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from peerwatt.records.codec import digest
from peerwatt.records.signing import SigningKey

FORMAT = "peerwatt-key/1"
MAX_FILE_BYTES = 4_096
MAX_PASSPHRASE = 1_024
# A hostile file must not cost more time and memory than our own strongest.
MAX_OPSLIMIT = argon2id.OPSLIMIT_SENSITIVE
MAX_MEMLIMIT = argon2id.MEMLIMIT_MODERATE
OPSLIMIT = argon2id.OPSLIMIT_MODERATE
MEMLIMIT = argon2id.MEMLIMIT_MODERATE


class KeystoreError(ValueError):
    """A key file that cannot be made or opened: one line that names it and the reason."""


class WrongPassphraseError(KeystoreError):
    """The file is whole, and the pass-phrase does not open it."""


def _hex(length: int) -> msgspec.Meta:
    return msgspec.Meta(pattern=rf"^[0-9a-f]{{{2 * length}}}\Z")


class _Head(msgspec.Struct):
    format: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    public_key: Annotated[str, _hex(32)]
    salt: Annotated[str, _hex(argon2id.SALTBYTES)]
    opslimit: Annotated[int, msgspec.Meta(ge=argon2id.OPSLIMIT_MIN, le=MAX_OPSLIMIT)]
    memlimit: Annotated[int, msgspec.Meta(ge=argon2id.MEMLIMIT_MIN, le=MAX_MEMLIMIT)]
    sealed_seed: Annotated[str, _hex(32 + SecretBox.NONCE_SIZE + SecretBox.MACBYTES)]
    checksum: Annotated[str, _hex(32)] = ""

    def expected_checksum(self) -> str:
        fields = (self.public_key, self.salt, self.opslimit, self.memlimit, self.sealed_seed)
        return digest(" ".join(map(str, fields)).encode()).hex()


def create(
    path: Path | str, passphrase: str, *, opslimit: int = OPSLIMIT, memlimit: int = MEMLIMIT
) -> SigningKey:
    """A new random key, kept in a new file that its owner alone may read.

    Raises:
        KeystoreError: the pass-phrase is empty or endless, or the file exists or cannot be
            written.
    """
    path = Path(path)
    key = SigningKey(secrets.token_bytes(32))
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    box = SecretBox(_stretched(path, passphrase, salt, opslimit, memlimit))
    document = _File(
        format=FORMAT,
        public_key=key.public.hex(),
        salt=salt.hex(),
        opslimit=opslimit,
        memlimit=memlimit,
        sealed_seed=bytes(box.encrypt(key.seed)).hex(),
    )
    fields = msgspec.to_builtins(document) | {"checksum": document.expected_checksum()}
    _write_new(path, json.dumps(fields, indent=2) + "\n")
    return key


def load(path: Path | str, passphrase: str) -> SigningKey:
    """The key of a file.

    Raises:
        WrongPassphraseError: the file is whole, and the pass-phrase does not open it.
        KeystoreError: the file is missing, open to others, damaged or of another format.
    """
    path = Path(path)
    document = _parse(path, _read(path))
    salt = bytes.fromhex(document.salt)
    box = SecretBox(_stretched(path, passphrase, salt, document.opslimit, document.memlimit))
    try:
        key = SigningKey(box.decrypt(bytes.fromhex(document.sealed_seed)))
    except CryptoError:
        raise WrongPassphraseError(f"{path}: wrong pass-phrase") from None
    if key.public.hex() != document.public_key:
        raise KeystoreError(f"{path}: public_key: is not that of the key inside")
    return key


def _stretched(path: Path, passphrase: str, salt: bytes, opslimit: int, memlimit: int) -> bytes:
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


def _write_new(path: Path, text: str) -> None:
    """The whole file under its name, or nothing: written aside, then linked, which never replaces
    a file that is there."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
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
        _sync(path.parent)
    except FileExistsError:
        raise KeystoreError(f"{path}: exists already, and a key is never replaced") from None
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be written: {error.strerror}") from None


def _sync(folder: Path) -> None:
    """Have the name of a new file on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    """The bytes of a file that only its owner may open; never waits for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise KeystoreError(f"{path}: no key file (not a file at all)")
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeystoreError(f"{path}: others may open it; run: chmod 600 {path}")
    if len(data) > MAX_FILE_BYTES:
        raise KeystoreError(f"{path}: too large for a key file")
    return data


def _parse(path: Path, data: bytes) -> _File:
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            why = f"format: is {head.format!r}, this software knows {FORMAT}"
            raise KeystoreError(f"{path}: {why}")
        document = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeystoreError(f"{path}: no key file ({error})") from None
    if document.checksum != document.expected_checksum():
        raise KeystoreError(f"{path}: damaged, its checksum differs")
    return document
