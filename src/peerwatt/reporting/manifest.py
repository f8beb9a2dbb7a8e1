"""Seals a folder: one signed list of its files, against which any changed byte is found.

Knows files, SHA-256 and Ed25519. Knows nothing of what the files mean, nor whose key should have
signed: the caller compares the manifest's key with the one that it trusts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import ChainId

MANIFEST = "manifest.json"
FORMAT = "peerwatt-run/1"
DESCRIBED = "peerwatt-results/1"
"""Of a manifest without a signature."""
DOMAIN = "manifest"

Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex64 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]


class ManifestError(ValueError):
    """A folder that cannot be sealed, or a manifest that cannot be read: one line, why."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file's bytes must be."""

    sha256: Hex32
    size: Annotated[int, msgspec.Meta(ge=0)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signed list of a folder's files. Names are relative, with `/` between folders.

    Files in `unsigned` belong to the folder, but may change or be absent.
    """

    format: str
    chain_id: ChainId
    files: dict[str, FileEntry]
    unsigned: list[str]
    public_key: Hex32
    signature: Hex64

    @property
    def is_signed(self) -> bool:
        """Whether the key that the manifest names signed it, for the chain that it names."""
        key, signature = bytes.fromhex(self.public_key), bytes.fromhex(self.signature)
        data = _signed_part(msgspec.to_builtins(self))
        return verify(key, DOMAIN, self.chain_id, data, signature)


def canonical_json(value: Any) -> bytes:
    """The one way in which JSON is written here: sorted keys, no NaN, a newline at the end."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def seal(folder: Path, key: SigningKey, chain_id: str, unsigned: Collection[str] = ()) -> Manifest:
    """Write and return the signed manifest of all that the folder holds now.

    Raises ManifestError for what is neither a folder nor a regular file.
    """
    files = _entries(folder, unsigned)
    unsealed = {
        "format": FORMAT,
        "chain_id": chain_id,
        "files": msgspec.to_builtins(files),
        "unsigned": sorted(unsigned),
        "public_key": key.public.hex(),
    }
    signature = key.sign(DOMAIN, chain_id, _signed_part(unsealed))
    manifest = msgspec.convert(unsealed | {"signature": signature.hex()}, Manifest)
    (folder / MANIFEST).write_bytes(canonical_json(msgspec.to_builtins(manifest)))
    return manifest


def describe(folder: Path, about: Mapping[str, Any], unlisted: Collection[str] = ()) -> None:
    """Write a manifest that nobody signs: what the folder is, and its files' hashes.

    For results that stand for themselves, as anyone can compute them again. Raises ManifestError
    as `seal` does.
    """
    files = msgspec.to_builtins(_entries(folder, unlisted))
    whole = {"about": dict(about), "files": files, "unlisted": sorted(unlisted)}
    (folder / MANIFEST).write_bytes(canonical_json({"format": DESCRIBED} | whole))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a sealed folder; nothing of it is checked against the files yet.

    Raises ManifestError with one line if there is none, or it is not what `seal` writes.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: is not a folder")
    path = folder / MANIFEST
    if not path.exists():
        raise ManifestError(f"{MANIFEST}: missing, so nothing in {folder} can be checked")
    if not _is_regular(path):
        raise ManifestError(f"{MANIFEST}: is not a regular file")
    data = path.read_bytes()
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{MANIFEST}: malformed: {error}") from None
    if manifest.format != FORMAT:
        raise ManifestError(f"{MANIFEST}: format: must be {FORMAT!r}, is {_shown(manifest.format)}")
    if canonical_json(msgspec.to_builtins(manifest)) != data:
        raise ManifestError(f"{MANIFEST}: changed: not in the form in which it was written")
    return manifest


def check_manifest(folder: Path) -> list[str]:
    """All that is wrong with a sealed folder, one line each, naming the file; empty if nothing is.

    A manifest that cannot be read is the only line, since nothing can be said without it.
    """
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return [str(error)]
    found = dict(_below(folder))
    problems = []
    if not manifest.is_signed:
        problems.append(f"{MANIFEST}: bad signature: its key did not sign this list of files")
    for name in sorted(found.keys() | manifest.files.keys()):
        expected = manifest.files.get(name)
        if name not in found:
            problems.append(f"{_shown(name)}: missing")
        elif expected is not None:
            problems += _compare(name, found[name], expected)
        elif name not in manifest.unsigned:
            problems.append(f"{_shown(name)}: extra: not in the manifest")
    return problems


def _entries(folder: Path, left_out: Collection[str]) -> dict[str, FileEntry]:
    files = {}
    for name, path in _below(folder):
        if not _is_regular(path):
            raise ManifestError(f"{_shown(name)}: is not a regular file")
        if name not in left_out:
            files[name] = _entry(path)
    return files


def _compare(name: str, path: Path, expected: FileEntry) -> Iterator[str]:
    if not _is_regular(path):
        yield f"{_shown(name)}: changed: is not a regular file"
        return
    try:
        actual = _entry(path)
    except OSError as error:
        yield f"{_shown(name)}: cannot be read: {error.strerror}"
        return
    if actual.size != expected.size:
        yield f"{_shown(name)}: changed: has {actual.size} bytes, had {expected.size}"
    elif actual.sha256 != expected.sha256:
        yield f"{_shown(name)}: changed: its SHA-256 is another"


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Everything but folders and the manifest itself; links are named and never followed."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST and (path.is_symlink() or not path.is_dir()):
            yield name, path


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(sha256=sha256, size=file.tell())


def _signed_part(fields: dict[str, Any]) -> bytes:
    return canonical_json({name: v for name, v in fields.items() if name != "signature"})


def _shown(name: str) -> str:
    """A name that cannot steer the terminal on which it is printed."""
    return name if name.isprintable() else ascii(name)
