"""The register in a file: sealed by a pass-phrase, replaced whole at every change.

Knows libsodium's secret box and the files of secrets. Version 1 is one JSON object: format, salt,
opslimit, memlimit, sealed_book; bytes in hexadecimal.
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

from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.signing import SigningKey
from peerwatt.registry.register import Book, Register
from peerwatt.sdk.keystore import MAX_MEMLIMIT, MAX_OPSLIMIT, MEMLIMIT, OPSLIMIT
from peerwatt.sdk.secret_files import KeystoreError, read_own, stretched, write_new, write_over

FORMAT = "peerwatt-register/1"
MAX_FILE_BYTES = 1 << 28


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    salt: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{2 * argon2id.SALTBYTES}}}\Z")]
    opslimit: Annotated[int, msgspec.Meta(ge=argon2id.OPSLIMIT_MIN, le=MAX_OPSLIMIT)]
    memlimit: Annotated[int, msgspec.Meta(ge=argon2id.MEMLIMIT_MIN, le=MAX_MEMLIMIT)]
    sealed_book: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})+\Z")]


class RegisterFile:
    """A register that is on the disk: `save` after each change, before anything is handed out."""

    def __init__(self, path: Path, box: SecretBox, head: _File, register: Register) -> None:
        self._path, self._box, self._head = path, box, head
        self.register = register

    def save(self) -> None:
        """Replace the file by the register as it is; KeystoreError if that fails."""
        write_over(self._path, _text(self._head, self._box, self.register.book))


def create(
    path: Path,
    passphrase: str,
    key: SigningKey,
    chain_id: str,
    name: str,
    *,
    opslimit: int = OPSLIMIT,
    memlimit: int = MEMLIMIT,
) -> RegisterFile:
    """A new, empty register of this authority, in a new file.

    Raises:
        KeystoreError: the pass-phrase will not do, or the file exists or cannot be written.
    """
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    box = SecretBox(stretched(path, passphrase, salt, opslimit, memlimit))
    book = Book(chain_id=chain_id, authority=key.public, name=name, secret=secrets.token_bytes(32))
    head = _File(
        format=FORMAT, salt=salt.hex(), opslimit=opslimit, memlimit=memlimit, sealed_book="00"
    )
    write_new(path, _text(head, box, book))
    return RegisterFile(path, box, head, Register(key, book))


def load(path: Path, passphrase: str, key: SigningKey) -> RegisterFile:
    """The register of a file.

    Raises:
        KeystoreError: the file is missing, open to others, damaged or sealed by another
            pass-phrase.
        RegisterError: it is another authority's.
    """
    data = read_own(path, MAX_FILE_BYTES, "register")
    try:
        head = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeystoreError(f"{path}: no register ({error})") from None
    if head.format != FORMAT:
        raise KeystoreError(f"{path}: format: is {head.format!r}, this software knows {FORMAT}")
    salt = bytes.fromhex(head.salt)
    box = SecretBox(stretched(path, passphrase, salt, head.opslimit, head.memlimit))
    try:
        book = decode(box.decrypt(bytes.fromhex(head.sealed_book)), Book)
    except (CryptoError, ValueError) as error:
        if isinstance(error, CodecError):
            raise KeystoreError(f"{path}: sealed_book: {error}") from None
        raise KeystoreError(f"{path}: wrong pass-phrase, or damaged") from None
    return RegisterFile(path, box, head, Register(key, book))


def _text(head: _File, box: SecretBox, book: Book) -> str:
    fields = msgspec.to_builtins(head) | {"sealed_book": bytes(box.encrypt(encode(book))).hex()}
    return json.dumps(fields, indent=2) + "\n"
