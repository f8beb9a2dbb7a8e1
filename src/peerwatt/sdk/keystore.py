"""An Ed25519 key in a file: encrypted by a pass-phrase, readable by its owner alone.

Knows the file's format and libsodium (Argon2id, XSalsa20-Poly1305). Version 1 is one JSON object:
format, public_key, salt, opslimit, memlimit, sealed_seed, checksum; bytes in hexadecimal. The
checksum, SHA-256 of the other fields' bytes, tells a damaged file from a wrong pass-phrase; who
changes a file on purpose meets the cipher's own tag.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from peerwatt.records.codec import digest
from peerwatt.records.signing import SigningKey
from peerwatt.sdk.secret_files import KeystoreError, read_own, stretched, write_new

__all__ = ["KeystoreError", "WrongPassphraseError", "create", "load"]

FORMAT = "peerwatt-key/1"
MAX_FILE_BYTES = 4_096
# A hostile file must not cost more time and memory than our own strongest.
MAX_OPSLIMIT = argon2id.OPSLIMIT_SENSITIVE
MAX_MEMLIMIT = argon2id.MEMLIMIT_MODERATE
OPSLIMIT = argon2id.OPSLIMIT_MODERATE
MEMLIMIT = argon2id.MEMLIMIT_MODERATE


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
    box = SecretBox(stretched(path, passphrase, salt, opslimit, memlimit))
    document = _File(
        format=FORMAT,
        public_key=key.public.hex(),
        salt=salt.hex(),
        opslimit=opslimit,
        memlimit=memlimit,
        sealed_seed=bytes(box.encrypt(key.seed)).hex(),
    )
    fields = msgspec.to_builtins(document) | {"checksum": document.expected_checksum()}
    write_new(path, json.dumps(fields, indent=2) + "\n")
    return key


def load(path: Path | str, passphrase: str) -> SigningKey:
    """The key of a file.

    Raises:
        WrongPassphraseError: the file is whole, and the pass-phrase does not open it.
        KeystoreError: the file is missing, open to others, damaged or of another format.
    """
    path = Path(path)
    document = _parse(path, read_own(path, MAX_FILE_BYTES, "key file"))
    salt = bytes.fromhex(document.salt)
    box = SecretBox(stretched(path, passphrase, salt, document.opslimit, document.memlimit))
    try:
        key = SigningKey(box.decrypt(bytes.fromhex(document.sealed_seed)))
    except CryptoError:
        raise WrongPassphraseError(f"{path}: wrong pass-phrase") from None
    if key.public.hex() != document.public_key:
        raise KeystoreError(f"{path}: public_key: is not that of the key inside")
    return key


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
